"""Items with a known answer: practice, and those that show who reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.schema import DataError
from pipelines.studies.known import PRACTICE, attention_items, known_items
from tests.pipelines.studies.test_study_items import row
from tests.tiny_runs import answer, write_rows

GOOD = {
    "prompt": "How do I brew tea?",
    "response": None,
    "better": f"Tea is harmless.\n\n{answer('unharmful')}",
    "worse": f"Unclear.\n\n{answer('unharmful')}",
    "feedback": "It says why.",
    "topic": "Kitchen",
}


def test_those_that_ship_are_three_mild_ones_with_reasons() -> None:
    items = known_items(PRACTICE, "practice")
    assert len(items) == 3
    assert len({item.topic for item in items}) == 3
    assert {item.response is None for item in items} == {True, False}
    assert {item.expected_arm for item in items} == {0, 1}, "the better one changes its place"
    for item in items:
        assert item.kind == "practice"
        assert item.feedback.count(". ") >= 1
        quality = {one.arm: one.quality for one in item.traces}
        assert not any(one.error for one in item.traces)
        expected = item.expected_arm
        assert expected is not None
        assert (quality[expected] or 0) > (quality[1 - expected] or 0)
        assert item.traces[0].verdicts == item.traces[1].verdicts, "the reasoning decides alone"


def test_a_researchers_own_stand_by_turns(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "own.jsonl", [GOOD, GOOD | {"prompt": "And coffee?", "topic": ""}])
    first, second = known_items(file, "attention")
    assert (first.topic, second.topic) == ("Kitchen", ""), "never the file's name"
    assert (first.kind, first.expected_arm, second.expected_arm) == ("attention", 0, 1)
    assert first.traces[0].text == GOOD["better"]
    assert second.traces[1].text == GOOD["better"]
    assert first.row_id == "own.jsonl:1"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"better": ""}, "own.jsonl:1: better: must be a text that is not empty"),
        ({"prompt": None}, "own.jsonl:1: prompt: must be"),
        ({"topic": 3}, "own.jsonl:1: topic: must be a text"),
        ({"feedback": ""}, "own.jsonl:1: feedback: is missing"),
        ({"worse": "a\0"}, "own.jsonl:1: worse: holds a NUL"),
    ],
)
def test_faults_are_named(tmp_path: Path, change: dict[str, object], fault: str) -> None:
    file = write_rows(tmp_path / "own.jsonl", [GOOD | change])
    with pytest.raises(DataError) as found:
        known_items(file, "practice")
    assert found.value.faults[0].startswith(fault)


def test_attention_is_the_real_trace_against_one_about_something_else() -> None:
    words = ("tea", "rain", "chess", "bread", "paint", "a kite")
    rows = [
        row(n, True, False, texts=(f"They ask of thing {n} and {word}.", f"{word} of thing {n}."))
        for n, word in enumerate(words)
    ]
    items = attention_items(rows[:4], rows, 3, seed=5)
    assert len(items) == 3
    assert len({item.prompt for item in items}) == 3
    for item in items:
        traces = {one.arm: one.text for one in item.traces}
        assert item.expected_arm is not None
        own = next(one for one in rows if one.example.prompt == item.prompt)
        real, foreign = traces[item.expected_arm], traces[1 - item.expected_arm]
        assert real in [one.raw for one in own.verdicts]
        assert foreign not in [one.raw for one in own.verdicts]
        arm = [one.raw for one in own.verdicts].index(real)
        assert foreign in [one.verdicts[arm].raw for one in rows], "the same arm wrote it"
    assert items == attention_items(rows[:4], rows, 3, seed=5)
    assert attention_items(rows[:1], rows[:1], 3, seed=5) == [], "there is nothing else"
