"""Which conversations are held out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.holdout import hold_out, seen_before
from pipelines.schema import InputError

TALKS = [(f"Question {number}", None if number % 2 else f"Answer {number}") for number in range(40)]


def test_the_share_is_of_the_distinct_conversations():
    assert sum(hold_out(TALKS, 0.25, 1)) == 10
    assert sum(hold_out(TALKS * 3, 0.25, 1)) == 30


def test_it_depends_on_the_seed_and_on_nothing_else():
    first = {talk for talk, out in zip(TALKS, hold_out(TALKS, 0.25, 1), strict=True) if out}
    mixed = random.Random(0).sample(TALKS, len(TALKS))
    again = {talk for talk, out in zip(mixed, hold_out(mixed, 0.25, 1), strict=True) if out}
    other = {talk for talk, out in zip(TALKS, hold_out(TALKS, 0.25, 2), strict=True) if out}
    assert first == again
    assert first != other


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([None, "x", "y"])), min_size=2),
    st.floats(0.01, 0.5),
    st.integers(0, 9),
)
def test_a_conversation_is_never_on_both_sides(talks, share, seed):
    if len(set(talks)) < 2:
        with pytest.raises(InputError):
            hold_out(talks, share, seed)
        return
    held = hold_out(talks, share, seed)
    inside = {talk for talk, out in zip(talks, held, strict=True) if not out}
    outside = {talk for talk, out in zip(talks, held, strict=True) if out}
    assert inside
    assert outside
    assert inside.isdisjoint(outside)


def test_blanks_make_no_other_conversation():
    held = hold_out([("How?", "So."), ("How? ", " So."), ("Why?", None)], 0.5, 3)
    assert held[0] == held[1]
    assert seen_before([("How?\n", "So.")], [("How?", "So.")]) == [True]
    assert seen_before([("How?", None)], [("How?", "So.")]) == [False]


def test_one_conversation_is_not_enough():
    with pytest.raises(InputError, match=r"holdout=0.1: needs at least 2 different .* found 1"):
        hold_out([("a", None)] * 5, 0.1, 1)
