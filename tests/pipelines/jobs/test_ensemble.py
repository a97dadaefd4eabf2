"""The jobs of ensemble mining: who is trained without what, and who mines what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.jobs.ensemble import ensemble_steps
from pipelines.jobs.steps import Step
from pipelines.schema import InputError

PAPER = {"WildGuard": 6, "Aegis": 2, "BeaverTails": 3, "ToxicChat": 1}


@pytest.fixture
def stages() -> None:
    """The real stages: the throw-away ones read no rows."""


def rows_of(folder: Path, counts: Mapping[str, int]) -> str:
    lines = [
        json.dumps({"text": f"{source} {n}", "label": "safe", "source": source})
        for source, count in counts.items()
        for n in range(count)
    ]
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def steps_of(folder: Path, counts: Mapping[str, int], **values: Any) -> Sequence[Step]:
    return ensemble_steps({"dataset": rows_of(folder, counts), **values})


def mined(steps: Sequence[Step]) -> dict[str, list[str]]:
    """model -> the sources that it mines."""
    return {
        str(step.links["adapter"]): list(step.values["sources"])
        for step in steps
        if step.stage == "mine"
    }


def test_the_papers_four_sources_give_the_papers_ensemble(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, PAPER)
    trained = {s.key: s.values.get("without_sources") for s in steps if s.stage == "rsft"}
    assert trained == {
        "main": None,
        "variant-1": ["Aegis"],
        "variant-2": ["BeaverTails"],
        "variant-3": ["ToxicChat"],
    }
    assert mined(steps) == {
        "main": ["WildGuard"],
        "variant-1": ["BeaverTails", "ToxicChat"],
        "variant-2": ["Aegis", "ToxicChat"],
        "variant-3": ["Aegis", "BeaverTails"],
    }
    merge, last = steps[-2:]
    assert merge.links == {
        "sets": ["mine-main", "mine-variant-1", "mine-variant-2", "mine-variant-3"]
    }
    assert (last.stage, last.links) == ("hsdpo", {"adapter": "main", "pairs": "merge"})


@pytest.mark.parametrize("count", [3, 5, 6])
def test_each_source_is_mined_by_all_variants_that_saw_it(tmp_path: Path, count: int) -> None:
    counts = {f"s{n}": n for n in range(1, count + 1)}
    steps = steps_of(tmp_path, counts)
    unseen = {s.key: s.values["without_sources"] for s in steps if s.key.startswith("variant")}
    assert len(unseen) == count - 1
    by_model = mined(steps)
    assert by_model.pop("main") == [f"s{count}"]
    for source in counts:
        miners = {model for model, sources in by_model.items() if source in sources}
        saw = {model for model, without in unseen.items() if source not in without}
        assert miners == (saw if source != f"s{count}" else set())


def test_the_remaining_source_can_be_chosen(tmp_path: Path) -> None:
    assert mined(steps_of(tmp_path, PAPER, remaining="Aegis"))["main"] == ["Aegis"]
    with pytest.raises(InputError, match=r"remaining=Agis: .* Aegis \(2\), BeaverTails \(3\)"):
        steps_of(tmp_path, PAPER, remaining="Agis")


def test_what_is_left_out_altogether_is_trained_on_and_mined_by_none(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, PAPER, without_sources=["WildGuard"])
    assert steps[1].values["without_sources"] == ["WildGuard", "Aegis"]
    assert mined(steps)["main"] == ["BeaverTails"]
    assert not any("WildGuard" in sources for sources in mined(steps).values())


def test_fewer_than_three_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 2 sources, a \(1\), b \(2\); .* at least 3") as told:
        steps_of(tmp_path, {"a": 1, "b": 2})
    assert "exp19" in str(told.value.advice)


def test_a_dataset_that_has_yet_to_be_made_is_refused() -> None:
    with pytest.raises(InputError, match="dataset=job:4: has yet to be made"):
        ensemble_steps({"dataset": "job:4"})
