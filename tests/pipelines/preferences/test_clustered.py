"""Clustered intervals: coverage where the truth is known, closed forms, degenerate studies."""

from __future__ import annotations

from math import isfinite, sqrt
from statistics import fmean, variance

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.preferences import clustered
from pipelines.preferences.clustered import (
    clustered_mean,
    independent_rate,
    points,
    single_pass,
    two_way,
)
from pipelines.preferences.intervals import tango, wilson
from pipelines.preferences.votes import Vote
from tests.simulated_studies import Study


def votes(*said: tuple[int, str, int]) -> list[Vote]:
    """(item, person, score) each."""
    return [Vote(1, item, item, person, 0, 1, score, 0) for item, person, score in said]


# 120 studies tell a coverage to within four points; the bench has thousands.
@pytest.mark.parametrize("study", [Study(5), Study(20, overlap=0.0)], ids=["5", "20"])
def test_the_interval_holds_the_truth_as_often_as_it_says(study: Study) -> None:
    rng, truth = np.random.default_rng(3), study.truth()
    ours, naive = [], []
    for _ in range(120):
        drawn = study.draw(rng)
        for held, one in ((ours, two_way(drawn)), (naive, independent_rate(drawn))):
            assert one.low is not None
            assert one.high is not None
            held.append(one.low <= truth <= one.high)
    assert 0.91 <= fmean(ours) <= 0.985
    assert fmean(naive) < fmean(ours)


def test_even_work_is_the_t_test_of_the_people() -> None:
    # Ten votes each on items of their own: the mean and variance are those of five numbers.
    wins = {"a": 9, "b": 7, "c": 6, "d": 4, "e": 8}
    said = [
        (10 * number + k, person, 5 if k < won else 1)
        for number, (person, won) in enumerate(wins.items())
        for k in range(10)
    ]
    result = two_way(votes(*said))
    rates = [won / 10 for won in wins.values()]
    assert result.value == pytest.approx(fmean(rates))
    assert result.freedom == pytest.approx(4)
    person_part = variance(rates) / 5
    item_part = vote_part = 0.68 * 0.32 / 49  # each item has one vote, so the two cancel
    assert result.standard_error == pytest.approx(sqrt(person_part + item_part - vote_part))
    assert (result.n, result.items, result.annotators) == (50, 50, 5)


def test_uneven_work_leaves_less_freedom() -> None:
    even = two_way(votes(*((i, f"p{i % 5}", 5 - 4 * (i % 3 == 0)) for i in range(100))))
    heavy = two_way(votes(*((i, f"p{max(0, i - 95)}", 5 - 4 * (i % 3 == 0)) for i in range(100))))
    assert even.freedom == pytest.approx(4)
    assert heavy.freedom is not None
    assert heavy.freedom < 2


@pytest.mark.parametrize("seed", range(3))
def test_freedom_by_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, each = rng.dirichlet([2] * 6), rng.uniform(0.1, 1, 6)
    shares = weights**2 / (1 - weights)
    deviations = np.eye(6) - weights
    form = shares[:, None] * (deviations * each @ deviations.T)
    expected = np.trace(form) ** 2 / np.sum(form * form.T)
    assert clustered._freedom(weights, shares, each) == pytest.approx(expected)


def test_recurring_items_widen_it() -> None:
    people = np.random.default_rng(0).permutation(200) % 20
    once = two_way(votes(*((i, f"p{people[i]}", 5 if i % 2 else 1) for i in range(200))))
    # As many wins, but the five people of an item all say the same.
    five = [(i // 5, f"p{people[i]}", 5 if (i // 5) % 2 else 1) for i in range(200)]
    assert once.standard_error is not None
    assert (two_way(votes(*five)).standard_error or 0) > 1.5 * once.standard_error


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from("abcd"), st.integers(1, 5)),
        min_size=1, max_size=25, unique_by=lambda one: one[:2],
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_study_has_an_interval(said: list[tuple[int, str, int]]) -> None:
    result = two_way(votes(*said))
    assert result.value is not None
    assert result.low is not None
    assert result.high is not None
    assert 0 <= result.low <= result.value <= result.high <= 1
    assert result.high - result.low > 0.02
    assert result.freedom is None or isfinite(result.freedom)
    mirrored = two_way(votes(*((item, person, 6 - score) for item, person, score in said)))
    assert (mirrored.low, mirrored.high) == pytest.approx(
        (1 - result.high, 1 - result.low), abs=1e-6
    )
    mean = clustered_mean([float(score) for *_, score in said], votes(*said))
    assert mean.low is not None
    assert mean.high is not None
    assert mean.high - mean.low > 0.01


def test_a_mean_stays_on_its_scale() -> None:
    two = votes((1, "a", 5), (2, "b", 1))
    wide, cut = clustered_mean([4.0, -3.0], two), clustered_mean([4.0, -3.0], two, farthest=4.0)
    assert wide.low is not None
    assert wide.low < -4
    assert (cut.value, cut.low, cut.high) == (0.5, -4.0, 4.0)


def test_all_agree() -> None:
    result = two_way(votes(*((i, f"p{i % 5}", 5) for i in range(200))))
    assert (result.value, result.high) == (1.0, 1.0)
    # Wilson's at 200 votes, with Student's quantile at 4 degrees of freedom.
    assert result.low == pytest.approx(200 / (200 + 2.7764**2), abs=1e-4)
    ties = two_way(votes(*((i, f"p{i % 5}", 3) for i in range(40))))
    assert ties.low is not None
    assert 0.3 < ties.low < ties.value == 0.5


def test_nothing_and_next_to_nothing() -> None:
    nothing = two_way([])
    assert (nothing.value, nothing.low, nothing.high, nothing.n) == (None, None, None, 0)
    one = two_way(votes((1, "a", 5)))
    assert (one.low, one.high) == pytest.approx((tango(1, 0, 1).low, 1.0))
    assert one.freedom is None
    assert "one item, one person" in one.method
    assert "this one person" in two_way(votes((1, "a", 5), (2, "a", 1))).method
    assert "this one item" in two_way(votes((1, "a", 5), (1, "b", 1))).method


def test_equal_people_do_not_make_it_certain() -> None:
    # Everybody at 60% exactly: no variance between people by chance.
    said = [(10 * p + k, f"p{p}", 5 if k < 6 else 1) for p in range(5) for k in range(10)]
    result = two_way(votes(*said))
    assert result.standard_error == pytest.approx(0.5 * sqrt(0.24 / 50))


def test_single_passes() -> None:
    assert single_pass(votes((1, "a", 5), (2, "a", 1)))
    assert single_pass(votes((1, "a", 5), (2, "b", 1)))
    assert not single_pass(votes((1, "a", 5), (2, "a", 1), (3, "b", 1)))
    assert not single_pass(votes((1, "a", 5), (1, "b", 1)))
    toy = votes(*((i, "a", 5 if i < 13 else 1) for i in range(20)))
    simple = independent_rate(toy)
    assert (simple.low, simple.high) == (wilson(13, 20).low, wilson(13, 20).high)
    with_ties = independent_rate(votes((1, "a", 5), (2, "a", 3), (3, "a", 1)))
    assert (with_ties.low, with_ties.high) == (tango(1, 1, 3).low, tango(1, 1, 3).high)


def test_points() -> None:
    assert [points(vote) for vote in votes(*((1, "a", score) for score in range(1, 6)))] == [
        0.0, 0.0, 0.5, 1.0, 1.0,
    ]  # fmt: skip
