"""Bradley-Terry strengths: recovered, covered, and finite where an arm never lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import log

import numpy as np
import pytest

from pipelines.preferences.ladder import bradley_terry
from pipelines.preferences.votes import Vote

ARMS = ["DPO", "R-SFT", "base"]
TRUE = [0.6, 0.0, -0.6]


def drawn(rng: np.random.Generator, items: int, people: int = 20) -> list[Vote]:
    leanings = rng.normal(0, 0.3, (people, 3))
    votes = []
    for item in range(items):
        for place, (i, j) in enumerate(combinations(range(3), 2)):
            person = int(rng.integers(people))
            odds = TRUE[i] - TRUE[j] + leanings[person, i] - leanings[person, j]
            won = rng.random() < 1 / (1 + np.exp(-odds))
            votes.append(Vote(1, item, 3 * item + place, f"p{person}", i, j, 5 if won else 1, i))
    return votes


def test_strengths_are_recovered_and_covered() -> None:
    rng = np.random.default_rng(0)
    found, held = [], []
    for _ in range(30):
        ladder = {one.arm: one for one in bradley_terry(drawn(rng, 120), ARMS)}
        found.append([ladder[arm].strength for arm in range(3)])
        held.append([ladder[arm].low <= TRUE[arm] <= ladder[arm].high for arm in range(3)])
    assert np.mean(found, axis=0) == pytest.approx(TRUE, abs=0.08)
    assert 0.86 <= np.mean(held) <= 0.99


def test_ranks_are_as_sure_as_the_votes() -> None:
    rng = np.random.default_rng(1)
    many = bradley_terry(drawn(rng, 600), ARMS)
    assert [one.name for one in many] == ARMS
    assert [(one.rank, one.rank_low, one.rank_high) for one in many] == [
        (k, k, k) for k in (1, 2, 3)
    ]
    assert sum(one.strength for one in many) == pytest.approx(0, abs=1e-9)
    few = bradley_terry(drawn(rng, 6), ARMS)
    assert few[0].rank_high > 1


def test_two_arms_are_the_log_odds() -> None:
    base = Vote(1, 0, 0, "a", 0, 1, 5, 0)
    scores = [5] * 29 + [1] * 9 + [3] * 20
    votes = [replace(base, item=n, pair=n, score=score) for n, score in enumerate(scores)]
    first, second = bradley_terry(votes, ARMS[:2])
    # A virtual tie is added to (wins + ties / 2) : (losses + ties / 2) = 39 : 19.
    assert first.strength - second.strength == pytest.approx(log(39.5 / 19.5), abs=1e-6)


def test_an_arm_that_never_lost_is_finite_and_not_certain() -> None:
    base = Vote(1, 0, 0, "a", 0, 1, 5, 0)
    votes = [replace(base, item=n, pair=n, annotator=f"p{n % 3}") for n in range(10)]
    votes += [replace(vote, first_arm=1, second_arm=2, pair=vote.pair + 50) for vote in votes]
    ladder = bradley_terry(votes, ARMS)
    assert [one.name for one in ladder] == ARMS
    assert all(np.isfinite([one.strength, one.low, one.high]).all() for one in ladder)
    assert all(one.high - one.low > 0.3 for one in ladder)


def test_an_arm_that_nothing_joins_is_left_out() -> None:
    base = Vote(1, 0, 0, "a", 0, 2, 5, 0)
    votes = [replace(base, item=n, pair=n, score=5 if n % 3 else 1) for n in range(9)]
    assert [one.name for one in bradley_terry(votes, ARMS)] == ["DPO", "base"]
    assert bradley_terry([], ARMS) == []
