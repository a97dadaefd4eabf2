"""What arms are, and their answers side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluations import BenchmarkInfo, Evaluation, EvaluationInfo, write_evaluation
from pipelines.predictions import Prediction
from pipelines.schema import GuardExample, GuardTask, InputError, NotFoundError
from pipelines.studies.arms import Key, arms_of, joined, key_of, merged, verdicts_of
from tests.tiny_runs import answer, write_rows

PROMPT, REFUSAL, RESPONSE = GuardTask
TRACE = "# Task 1\n\n## Reasoning Step 1\nIt is about {}.\n\n---\n\n"


def said(words: str, *labels: str) -> str:
    return TRACE.format(words) + answer(*labels)


def prediction(prompt: str, raw: str, predicted: str | None = "harmful", **more: Any) -> Prediction:
    fields: dict[str, Any] = {
        "benchmark": "Bench",
        "task": PROMPT,
        "row_id": prompt,
        "prompt": prompt,
        "response": None,
        "gold": "harmful",
        "predicted": predicted,
        "raw": raw,
    }
    return Prediction(**(fields | more))


def evaluation(folder: Path, rows: list[Prediction], **more: Any) -> Evaluation:
    tasks = {one.benchmark: one.task for one in rows}
    benchmarks = [
        BenchmarkInfo(name=name, task=task, rows=count, of_rows=count)
        for name, task in tasks.items()
        if (count := sum(one.benchmark == name for one in rows))
    ]
    fields: dict[str, Any] = {
        "name": "Guard",
        "kind": "adapter",
        "reference": "/gone",
        "mode": "reason",
    }
    return write_evaluation(folder, EvaluationInfo(benchmarks=benchmarks, **(fields | more)), rows)


def wanted(*rows: Prediction) -> dict[Key, GuardExample]:
    examples = [GuardExample(one.prompt, one.response, {one.task: one.gold}) for one in rows]
    return merged(examples)[0]


def test_arms_of_each_kind_in_the_order_given(tmp_path: Path, tiny_base: Path) -> None:
    evaluation(tmp_path / "evaluated", [prediction("a", said("a"))])
    stored = tmp_path / "Reasoner-8B"
    stored.mkdir()
    write_rows(stored / "SafeRLHF.jsonl", [{"prompt": "a"}])
    refs = [str(stored), str(tmp_path / "evaluated"), str(tiny_base), "demo"]
    refs[3] = str(write_rows(tmp_path / "answers.jsonl", [{"prompt": "a"}]))
    arms = arms_of([*refs, "smollm2-135m-instruct"], ["", "R-SFT"])
    assert [one.subject.kind for one in arms] == [
        *("predictions", "adapter", "adapter", "predictions", "base")
    ]
    assert [one.name for one in arms][:2] == ["Reasoner-8B", "R-SFT"]
    assert [bool(one.answers) for one in arms] == [False, True, False, False, False]
    assert len({one.name for one in arms}) == 5


@pytest.mark.parametrize(
    ("arms", "error", "words"),
    [
        ([], InputError, "arms=none: two or more are needed"),
        (["one"], InputError, "arms=one: two or more"),
        (["one", "one"], InputError, "arms=one: named twice"),
        (["/nowhere", "/else"], NotFoundError, "/nowhere"),
    ],
)
def test_what_is_no_arm(arms: list[str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        arms_of(arms)


def test_an_evaluation_without_traces_is_no_arm(tmp_path: Path) -> None:
    for name, mode in (("a", "fast"), ("b", "computed")):
        evaluation(tmp_path / name, [prediction("a", "")], mode=mode)
    with pytest.raises(InputError, match="was fast, without a trace"):
        arms_of([str(tmp_path / "a"), str(tmp_path / "b")])
    (tmp_path / "a" / "evaluation.json").unlink()
    with pytest.raises(InputError, match="no finished evaluation"):
        arms_of([str(tmp_path / "a"), str(tmp_path / "b")])


def test_a_conversation_has_the_labels_of_all_its_rows() -> None:
    both = [
        GuardExample("a  b", "c", {REFUSAL: "compliance"}),
        GuardExample("a b", "c ", {RESPONSE: "harmful"}, category="tea"),
        GuardExample("torn", None, {PROMPT: "harmful"}),
        GuardExample("torn", None, {PROMPT: "unharmful"}),
    ]
    found, torn = merged(both)
    assert [one.prompt for one in found.values()] == ["a  b"], "as the first row writes it"
    (one,) = found.values()
    assert one.gold == {REFUSAL: "compliance", RESPONSE: "harmful"}
    assert one.category == "tea"
    assert torn == {key_of(both[2])}


def test_right_is_every_gold_label_met(tmp_path: Path) -> None:
    good = said("tea", "unharmful", "compliance", "harmful")
    rows = [
        prediction("a", good, "compliance", response="r", task=REFUSAL, gold="compliance"),
        prediction("a", good, response="r", task=RESPONSE, benchmark="Other"),
    ]
    keys = wanted(*rows)
    poor = said("rain", "unharmful", "compliance", "unharmful")
    other = [
        prediction("a", poor, "compliance", response="r", task=REFUSAL, gold="compliance"),
        prediction("a", good, response="r", task=RESPONSE, benchmark="Other"),
    ]
    first, second = (
        verdicts_of(evaluation(tmp_path / name, found), keys)
        for name, found in (("a", rows), ("b", other))
    )
    (row,) = joined(keys, [first, second]).rows
    assert (row.right(0), row.right(1)) == (True, False), "the first row's text counts"
    assert row.verdicts[1].raw == poor
    assert row.verdicts[1].error is None


def test_what_falls_out_and_why(tmp_path: Path) -> None:
    ours = [
        prediction("same", said("x")),
        prediction("only here", said("x")),
        prediction("bare", answer("harmful")),
        prediction("silent", ""),
        prediction("unread", "I would say that it is about tea.", None),
        prediction("fine", said("x")),
    ]
    theirs = [
        prediction("same", said("x").replace(" ", "  ")),
        *(prediction(one, said("y")) for one in ("bare", "silent", "unread", "fine")),
    ]
    keys = wanted(*ours)
    answers = [
        verdicts_of(evaluation(tmp_path / name, rows), keys)
        for name, rows in (("a", ours), ("b", theirs))
    ]
    found = joined(keys, answers)
    assert [one.example.prompt for one in found.rows] == ["unread", "fine"]
    assert [one.example.prompt for one in found.identical] == ["same"]
    assert found.remarks(["Ours", "Theirs"]) == [
        "1 conversations left out: not every arm answered them",
        "2 conversations left out: Ours gave no reasoning to show",
        "1 conversations left out: all arms wrote the same",
    ]
    unread = found.rows[0]
    assert (unread.right(0), unread.right(1)) == (False, True), "no verdict is a wrong one"
    assert unread.verdicts[0].error


def test_stored_answers_are_read_by_the_authors_rule(tmp_path: Path) -> None:
    loose = "It is about tea. I say request: harmful, for sure."
    rows = [prediction("a", loose)]
    keys = wanted(*rows)
    stored = evaluation(tmp_path / "a", rows, reading="authors", mode="stored")
    (verdict,) = verdicts_of(stored, keys).values()
    assert verdict.label(PROMPT) == "harmful"
    assert verdict.error is None
