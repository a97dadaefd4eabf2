"""The printed scores agree with the printed averages by our numbers of rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.benchmarks import BENCHMARKS, PAPER
from pipelines.published import AVERAGES, OVERALL, SCORES
from pipelines.schema import GuardTask

MODELS = ("GuardReasoner-1B", "GuardReasoner-3B", "GuardReasoner-8B")


def weighted(model: str, names: tuple[str, ...]) -> float:
    rows = {name: BENCHMARKS[name].published_rows or 0 for name in names}
    return sum(SCORES[model][name] * rows[name] for name in names) / sum(rows.values())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", GuardTask)
def test_rows_and_scores_give_the_printed_average(model: str, task: GuardTask) -> None:
    names = tuple(name for name in PAPER if BENCHMARKS[name].task is task)
    assert round(weighted(model, names), 2) == AVERAGES[model][task]


def test_the_public_number_of_refusal_rows_does_not() -> None:
    """449 rows, as in the authors' file, give 88.44, 86.08 and 89.87 instead."""
    for model in MODELS:
        scores = SCORES[model]
        mean = (scores["XSTestResponseRefusal"] * 449 + scores["WildGuardTestRefusal"] * 1777) / (
            449 + 1777
        )
        assert abs(mean - AVERAGES[model][GuardTask.REFUSAL]) > 0.05


@pytest.mark.parametrize("model", MODELS)
def test_the_overall_is_the_plain_mean_of_the_tasks(model: str) -> None:
    means = [AVERAGES[model][task] for task in GuardTask]
    assert round(sum(means) / 3, 2) == AVERAGES[model][OVERALL]
    assert abs(weighted(model, PAPER) - AVERAGES[model][OVERALL]) > 1


def test_every_benchmark_of_the_paper_has_a_score() -> None:
    assert tuple(SCORES) == tuple(AVERAGES) == MODELS
    assert all(set(SCORES[model]) == set(PAPER) for model in MODELS)


@pytest.mark.realdata
def test_scores_are_those_on_record(realdata: Path) -> None:
    recorded = json.loads((realdata / "expected_scores.json").read_text("utf-8"))["published"]
    for size, scores in recorded.items():
        ours = SCORES[f"GuardReasoner-{size}"]
        means = AVERAGES[f"GuardReasoner-{size}"]
        for name, score in scores.items():
            group, _, task = name.partition("/")
            if group == "avg":
                task_of = {one.value.split("_")[0]: one for one in GuardTask}
                assert means[task_of[task]] == score
            else:
                assert ours[group + task.capitalize()] == score
