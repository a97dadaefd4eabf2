"""Conversations of an arm's preference training fall out, or the study isn't made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.mining import weights_sha256
from pipelines.schema import DataError, GuardExample, InputError
from pipelines.studies.arms import Arm, arm_of
from pipelines.studies.disjoint import (
    Named,
    Training,
    check_known,
    prompts_in,
    training_of,
    without,
)
from pipelines.subjects import Subject
from tests.pipelines.studies.test_study_arms import evaluation, prediction
from tests.pipelines.test_learnt import adapter, trained
from tests.tiny_runs import make_pairs, write_rows

LONG = "Tell me in plain words how a kite is built from paper, string and two sticks of wood"


def arm(reference: str) -> Arm:
    return Arm(Subject("Guard", "adapter", reference), reference)


def test_what_an_adapter_was_trained_on_is_read_along_its_line(tmp_path: Path) -> None:
    rows, pairs = write_rows(tmp_path / "rows.jsonl"), make_pairs(tmp_path / "pairs", 2)
    info = {"stage": "hsdpo", "config": {"pairs": str(pairs)}, "parent": trained(rows)}
    found = training_of(arm(adapter(tmp_path / "a", info)))
    assert found.preferred == ["Tell me of tea", "Tell me of rain"]
    assert len(found.taught) == 8
    assert found.unknown == []


@pytest.mark.parametrize(
    ("info", "unknown"),
    [
        ({}, ["something that is recorded nowhere"]),
        ({"stage": "hsdpo", "config": {"pairs": "/nowhere/pairs"}}, ["pairs"]),
        ({"stage": "quality", "config": {"dataset": "/nowhere/rows.jsonl"}}, ["rows.jsonl"]),
        ({"stage": "rsft", "config": {"dataset": "/nowhere/rows.jsonl"}}, []),
    ],
    ids=["no record", "pairs gone", "rows of preferences gone", "rows of R-SFT gone"],
)
def test_what_nobody_can_tell(tmp_path: Path, info: dict[str, Any], unknown: list[str]) -> None:
    assert training_of(arm(adapter(tmp_path / "a", info))).unknown == unknown


def test_rows_of_reasoning_preferences_count_as_pairs(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    info = {"stage": "quality", "config": {"dataset": str(rows)}}
    found = training_of(arm(adapter(tmp_path / "a", info)))
    assert len(found.preferred) == 8
    assert found.taught == set()


def test_an_evaluated_moderator_must_be_the_one_that_is_here(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs", 1)
    info = {"stage": "hsdpo", "config": {"pairs": str(pairs)}}
    folder = adapter(tmp_path / "a", info)

    def evaluated(name: str, **more: Any) -> Arm:
        evaluation(tmp_path / name, [prediction("a", "text")], **({"reference": folder} | more))
        return arm_of(str(tmp_path / name))

    same = evaluated("same", model_sha256=weights_sha256(Path(folder)))
    assert training_of(same).preferred == ["Tell me of tea"]
    other = evaluated("other", model_sha256="0" * 64)
    assert training_of(other).unknown == ["a, which isn't what it was when evaluated"]
    assert training_of(other, verify=False).preferred == ["Tell me of tea"]
    gone = evaluated("gone", reference="/gone/adapter")
    assert training_of(gone).unknown == ["adapter, which isn't here any more"]
    assert training_of(evaluated("base", kind="base")).unknown == []
    assert training_of(evaluated("stored", kind="predictions", mode="stored")).unknown


def test_unknown_training_stops_the_study_unless_the_researcher_answers_for_it() -> None:
    arms = [arm("/a"), Arm(Subject("Other", "adapter", "/b"), "/b")]
    known, unknown = Training(), Training(unknown=["pairs"])
    assert check_known(arms, [known, known], False, False) == []
    with pytest.raises(InputError, match=r"nobody can tell .*: Other \(pairs\)") as refused:
        check_known(arms, [known, unknown], False, False)
    assert "unknown_training_ok" in (refused.value.advice or "")
    assert "went on all the same" in check_known(arms, [known, unknown], False, True)[0]
    assert "named by the researcher" in check_known(arms, [known, unknown], True, False)[0]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": LONG, "chosen": "x"},
        {"prompt": f"Judge it.\nHuman user:\n{LONG}\n\nAI assistant:\nNone\n\n"},
        {"input": f"Human user:\n{LONG}\n\nAI assistant:\nNone\n\n", "instruction": "Judge it."},
        {"conversations": [{"from": "human", "value": f"Human user:\n{LONG}\n\nAI assistant:\nX"}]},
        {"messages": [{"role": "user", "content": LONG}]},
        {"messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": LONG}]},
        {"conversations": [{"from": "system", "value": "J"}, {"from": "human", "value": LONG}]},
        {"prompt": [{"role": "system", "content": "Judge."}, {"role": "user", "content": LONG}]},
    ],
)
def test_pairs_are_read_in_all_their_forms(tmp_path: Path, row: dict[str, Any]) -> None:
    assert prompts_in(str(write_rows(tmp_path / "pairs.jsonl", [row]))) == [LONG]


def test_a_pair_set_and_a_fault(tmp_path: Path) -> None:
    assert prompts_in(str(make_pairs(tmp_path / "set", 2))) == ["Tell me of tea", "Tell me of rain"]
    nobody = {"messages": [{"role": "system", "content": "Judge it."}]}
    file = write_rows(tmp_path / "bad.jsonl", [{"prompt": LONG}, {"chosen": "x"}, nobody])
    with pytest.raises(DataError) as found:
        prompts_in(str(file))
    assert found.value.faults == [
        "bad.jsonl:2: prompt: is missing",
        "bad.jsonl:3: messages: has no turn of a user",
    ]


def test_the_same_prompt_and_nearly_the_same_fall_out() -> None:
    examples = [
        GuardExample(LONG.upper() + "  ", "whatever the reply"),
        GuardExample(LONG + ", please"),
        GuardExample("Tell me in plain words how a boat is built from planks, pitch and rope"),
    ]
    found = without(examples, [LONG, LONG, "something else"])
    assert (found.same, found.near) == (1, 1)
    assert found.kept == examples[2:]
    assert len(found.remarks) == 2
    assert without(examples, []).kept == examples


def test_pairs_that_are_alike_hide_none_of_their_neighbours() -> None:
    """A pair's prompt shields its own neighbours, though it is nearly that of an earlier pair."""

    def changed(words: int) -> str:
        return " ".join(f"{'new' if word < words else 'old'}{word}" for word in range(120))

    conversation = GuardExample(changed(14))
    assert without([conversation], [changed(0)]).near == 0
    assert without([conversation], [changed(0), changed(10)]).near == 1


def test_it_is_told_what_was_read_of_each_file_and_matched() -> None:
    examples = [GuardExample(LONG), GuardExample(LONG + ", please"), GuardExample("Of boats")]
    named = [
        Named("pairs.jsonl", [LONG, "Something else"]),
        Named("wrong.jsonl", ["You judge", "you  judge"]),
    ]
    found = without(examples, ["Of boats"], named)
    assert (found.same, found.near, found.kept) == (2, 1, [])
    assert found.remarks[:3] == [
        "2 prompts read of pairs.jsonl, 2 conversations matched",
        "2 prompts read of wrong.jsonl, 0 conversations matched: if some should, look at what "
        "stands in it",
        "all prompts of wrong.jsonl are the same: look at what stands in it",
    ]
