from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.hard_samples import find_all_wrong, find_hard_sample, rejudge
from pipelines.inspection import (
    derive,
    direction,
    length_gap,
    near_duplicates,
    near_equal,
    word_diff,
)
from pipelines.schema import GuardExample, GuardTask, HardSample, Verdict

PROMPT, REFUSAL = GuardTask.PROMPT_HARMFULNESS, GuardTask.REFUSAL
LONG = " ".join(f"word{n}" for n in range(200))


def verdict(label: str | None, raw: str = "text", error: str | None = None) -> Verdict:
    return Verdict({PROMPT: label} if label else {}, "", raw, error)


def mined(gold: str, *verdicts: Verdict) -> HardSample:
    example = GuardExample("a prompt", "a reply", {PROMPT: gold}, row_id="1")
    found = find_hard_sample(example, verdicts) or find_all_wrong(example, verdicts)
    assert found is not None
    return found


def test_a_hard_sample() -> None:
    sample = mined("unharmful", verdict("harmful", "x" * 1000), verdict("unharmful", "y" * 400))
    found = derive(sample)
    assert (found.hardness, found.direction, found.unparsed) == ("hard", "false_alarm", 0)
    assert found.length == len("a prompt") + len("a reply")
    assert (found.chosen_length, found.rejected_length) == (400, 1000)
    assert found.length_gap
    assert not found.near_equal


def test_all_wrong_and_settled() -> None:
    wrong = mined("harmful", *[verdict("unharmful")] * 2, verdict(None, error="no answers"))
    found = derive(wrong)
    assert (found.hardness, found.direction, found.unparsed) == ("all_wrong", "miss", 1)
    assert (found.chosen_length, found.near_equal, found.length_gap) == (0, False, False)
    assert derive(rejudge(wrong, {PROMPT: "unharmful"})).hardness == "settled"


def test_a_persons_edit_is_no_unparsed_answer() -> None:
    sample = mined("harmful", verdict("harmful"), verdict("unharmful"), verdict(None, error="!"))
    assert derive(sample).unparsed == 1
    assert derive(sample, edited=[2]).unparsed == 0


@pytest.mark.parametrize(
    ("task", "gold", "way"),
    [
        (PROMPT, "harmful", "miss"),
        (PROMPT, "unharmful", "false_alarm"),
        (REFUSAL, "refusal", "miss"),
        (REFUSAL, "compliance", "false_alarm"),
        (REFUSAL, None, ""),
    ],
)
def test_direction(task: GuardTask, gold: str | None, way: str) -> None:
    assert direction(task, gold) == way


def test_near_equal_counts_words_in_order() -> None:
    words = LONG.split()
    assert near_equal(LONG, LONG.replace("word7 ", "other "))
    assert near_equal(LONG, " ".join(words[:191]))
    assert not near_equal(LONG, " ".join(words[:170]))
    assert not near_equal(LONG, " ".join(reversed(words)))


@pytest.mark.parametrize(
    ("chosen", "rejected", "gap"),
    [(1000, 499, True), (1000, 500, False), (499, 1000, True), (301, 0, True), (300, 0, False)],
)
def test_length_gap(chosen: int, rejected: int, gap: bool) -> None:
    assert length_gap(chosen, rejected) is gap


def test_word_diff() -> None:
    assert word_diff("It is a bad idea.", "It is a good idea.") == [
        ("equal", "It is a"),
        ("delete", " bad"),
        ("insert", " good"),
        ("equal", " idea."),
    ]
    assert word_diff("same", "same") == [("equal", "same")]
    assert word_diff("", "new words") == [("insert", "new words")]
    assert word_diff("gone", "") == [("delete", "gone")]


def test_a_word_that_would_tear_a_change_apart_goes_with_it() -> None:
    assert word_diff("a b c the d e f", "u v w the x y z") == [
        ("delete", "a b c the d e f"),
        ("insert", "u v w the x y z"),
    ]


@given(
    st.text(alphabet="ab \n", max_size=60),
    st.text(alphabet="ab \n", max_size=60),
)
def test_a_diff_has_all_of_both_texts(a: str, b: str) -> None:
    found = word_diff(a, b)
    assert "".join(text for op, text in found if op != "insert") == a
    assert "".join(text for op, text in found if op != "delete") == b
    assert all(text for _, text in found)
    assert all(one[0] != two[0] for one, two in pairwise(found))


def test_a_huge_difference_is_one_replacement() -> None:
    a = "same " + "left " * 30_000 + "end"
    b = "same " + "right " * 30_000 + "end"
    assert [op for op, _ in word_diff(a, b)] == ["equal", "delete", "insert", "equal"]


def test_near_duplicates() -> None:
    texts = [
        LONG,
        "something else entirely, in a few words",
        LONG.upper().replace(" ", ", "),
        "Hi!",
        "hi",
        LONG.replace("word150", "changed"),
        LONG.replace("word1", "changed"),  # all from word10 on too: half of the words
        "",
        "?!",
    ]
    assert near_duplicates(texts) == [None, None, 0, None, 3, 0, None, None, None]


def test_a_duplicate_of_a_duplicate_refers_to_the_first() -> None:
    words = [f"w{n}" for n in range(100)]
    drifting = [" ".join(words[start : start + 90]) for start in (0, 4, 8)]
    # The third is like the second (0.91) and the first (0.83) alike.
    assert near_duplicates(drifting) == [None, 0, 0]


def test_what_shares_a_template_is_no_duplicate() -> None:
    texts = [LONG + " " + " ".join(f"own{row}-{n}" for n in range(60)) for row in range(50)]
    assert near_duplicates(texts) == [None] * 50
