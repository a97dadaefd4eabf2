"""The starter set that ships with the package: its size, its balance and its layout."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets import read_dataset

STARTER = Path(__file__).parents[2] / "pipelines" / "data" / "starter.jsonl"

INPUT = re.compile(r"Human user:\n(?P<prompt>.+)\n\nAI assistant:\n(?P<response>.+)\n\n", re.S)
STEP = r"## Reasoning Step \d\n[^\n]+\n\n"
OUTPUT = re.compile(
    rf"# Task 1\n\n(?P<task1>(?:{STEP}){{2,4}})"
    rf"# Task 2\n\n(?P<task2>(?:{STEP}){{1,3}})"
    rf"# Task 3\n\n(?P<task3>(?:{STEP}){{1,3}})"
    r"---\n\n"
    r"Answers: \nRequest: (?P<request>harmful|unharmful)\n"
    r"Completion: (?P<completion>refusal|compliance|None)\n"
    r"Response: (?P<response>harmful|unharmful|None)"
)
TASKS = ("request", "completion", "response")


def conversation(row: dict[str, Any]) -> tuple[str, str]:
    match = INPUT.fullmatch(row["input"])
    assert match, row["id"]
    return match["prompt"], match["response"]


def answers(row: dict[str, Any]) -> dict[str, str]:
    match = OUTPUT.fullmatch(row["output"])
    assert match, row["id"]
    return {task: match[task] for task in TASKS}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in STARTER.read_text(encoding="utf-8").splitlines()]


def test_rows_have_the_three_column_form(rows: list[dict[str, Any]]) -> None:
    assert len(rows) >= 120
    assert {tuple(row) for row in rows} == {("id", "source", "instruction", "input", "output")}
    assert all(isinstance(value, str) and value for row in rows for value in row.values())
    assert len({row["instruction"] for row in rows}) == 1


def test_ids_and_prompts_are_unique(rows: list[dict[str, Any]]) -> None:
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({conversation(row)[0].casefold() for row in rows}) == len(rows)


def test_about_a_third_has_no_response(rows: list[dict[str, Any]]) -> None:
    without = sum(conversation(row)[1] == "None" for row in rows)
    assert 0.25 <= without / len(rows) <= 0.45


def test_answers_agree_with_having_a_response(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        given = answers(row)
        absent = conversation(row)[1] == "None"
        assert (given["completion"] == "None") is absent, row["id"]
        assert (given["response"] == "None") is absent, row["id"]


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_balanced(rows: list[dict[str, Any]], task: str) -> None:
    counts = Counter(answers(row)[task] for row in rows)
    counts.pop("None", None)
    assert len(counts) == 2
    assert all(0.4 <= count / counts.total() <= 0.6 for count in counts.values()), counts


def test_all_combinations_with_a_response_occur(rows: list[dict[str, Any]]) -> None:
    found = Counter(tuple(answers(row).values()) for row in rows)
    for wanted in (
        ("harmful", "refusal", "unharmful"),
        ("harmful", "compliance", "harmful"),
        ("harmful", "compliance", "unharmful"),
        ("unharmful", "compliance", "unharmful"),
        ("unharmful", "compliance", "harmful"),
        ("unharmful", "refusal", "unharmful"),
    ):
        assert found[wanted] >= 5, wanted


def test_each_source_has_both_labels_of_each_task(rows: list[dict[str, Any]]) -> None:
    sources = {row["source"] for row in rows}
    assert len(sources) >= 4
    for source in sources:
        assert re.fullmatch(r"starter/[a-z]+", source)
        given = [answers(row) for row in rows if row["source"] == source]
        assert {one["request"] for one in given} == {"harmful", "unharmful"}
        assert {one["completion"] for one in given} == {"refusal", "compliance", "None"}
        assert {one["response"] for one in given} == {"harmful", "unharmful", "None"}


def test_steps_are_numbered_from_one(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        match = OUTPUT.fullmatch(row["output"])
        assert match, row["id"]
        for section in ("task1", "task2", "task3"):
            numbers = [int(n) for n in re.findall(r"## Reasoning Step (\d)", match[section])]
            assert numbers == list(range(1, len(numbers) + 1)), row["id"]


def test_outputs_are_short_and_their_own(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert len(row["output"]) <= 1600, row["id"]
        assert 90 <= len(row["output"].split()) <= 220, row["id"]
    steps = [
        step
        for row in rows
        for step in re.findall(r"## Reasoning Step \d\n([^\n]+)", row["output"])
        if len(step.split()) > 5
    ]
    assert len(set(steps)) == len(steps)


def test_the_reader_takes_every_row(rows: list[dict[str, Any]]) -> None:
    dataset = read_dataset("starter")
    assert len(dataset.examples) == len(rows)
    assert [e.prompt for e in dataset.examples] == [conversation(row)[0] for row in rows]
    assert [e.response or "None" for e in dataset.examples] == [
        conversation(row)[1] for row in rows
    ]
    assert {e.source for e in dataset.examples} == {row["source"] for row in rows}
