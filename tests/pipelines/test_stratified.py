"""Samples of an exact size that keep the shares."""

from __future__ import annotations

from collections import Counter

import pytest

from pipelines.schema import GuardExample, GuardTask, InputError
from pipelines.stratified import stratified

TASK = GuardTask.PROMPT_HARMFULNESS


def rows(*groups: tuple[int, str, str]) -> list[GuardExample]:
    """(how many, label, category) each."""
    flat = [
        (label, category, number) for count, label, category in groups for number in range(count)
    ]
    return [
        GuardExample(f"{label} {category} {number}", None, {TASK: label}, category=category)
        for label, category, number in flat
    ]


def draw(examples: list[GuardExample], number: int, seed: int = 0) -> list[GuardExample]:
    return stratified(examples, [example.gold[TASK] for example in examples], number, seed)


EXAMPLES = rows((60, "harmful", "a"), (20, "harmful", "b"), (120, "unharmful", "a"))


@pytest.mark.parametrize("number", [1, 2, 3, 7, 10, 99, 199])
def test_the_size_is_exact_and_the_order_kept(number: int) -> None:
    drawn = draw(EXAMPLES, number)
    places = [EXAMPLES.index(example) for example in drawn]
    assert len(drawn) == number
    assert places == sorted(set(places))


def test_shares_are_kept() -> None:
    drawn = draw(EXAMPLES, 20)
    counts = Counter((example.gold[TASK], example.category) for example in drawn)
    assert counts == {("harmful", "a"): 6, ("harmful", "b"): 2, ("unharmful", "a"): 12}


def test_many_small_categories_leave_the_labels_alone() -> None:
    """Each category is too small for a row of its own, and harmful ones come first by name."""
    small = [(1, "harmful", f"a{number}") for number in range(40)]
    small += [(1, "unharmful", f"b{number}") for number in range(60)]
    drawn = draw(rows(*small), 10)
    assert Counter(example.gold[TASK] for example in drawn) == {"harmful": 4, "unharmful": 6}
    assert {example.category for example in drawn} != {
        example.category for example in draw(rows(*small), 10, seed=1)
    }


def test_a_rare_label_is_in_a_small_sample() -> None:
    drawn = draw(rows((2, "harmful", ""), (998, "unharmful", "")), 10)
    assert Counter(example.gold[TASK] for example in drawn) == {"harmful": 1, "unharmful": 9}


def test_each_of_many_rare_labels_is_in_a_small_sample() -> None:
    label = {"a": 1000, "b": 1, "c": 1, "d": 1}
    examples = rows(*((count, name, "") for name, count in label.items()))
    assert Counter(example.gold[TASK] for example in draw(examples, 4)) == dict.fromkeys(label, 1)
    assert Counter(example.gold[TASK] for example in draw(examples, 6)) == {
        "a": 3,
        "b": 1,
        "c": 1,
        "d": 1,
    }


def test_the_seed_decides() -> None:
    assert draw(EXAMPLES, 20, 3) == draw(EXAMPLES, 20, 3)
    assert draw(EXAMPLES, 20, 3) != draw(EXAMPLES, 20, 4)


@pytest.mark.parametrize("number", [0, 200, 5000])
def test_all_of_them(number: int) -> None:
    assert draw(EXAMPLES, number) == EXAMPLES


def test_less_than_none_is_refused() -> None:
    with pytest.raises(InputError, match="max_rows=-1: must be at least 0"):
        draw(EXAMPLES, -1)
