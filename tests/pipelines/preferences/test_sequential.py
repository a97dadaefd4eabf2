"""The e-value by its closed form, and how often it misleads when looked at after every vote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import comb

import numpy as np
import pytest

from pipelines.preferences.sequential import STOP_AT, e_path, e_value, evidence
from pipelines.preferences.votes import Vote

START = datetime(2026, 1, 1, tzinfo=UTC)


def vote(item: int, score: int, minute: int, person: str = "a") -> Vote:
    return Vote(1, item, item, person, 0, 1, score, 0, created_at=START + timedelta(minutes=minute))


def test_without_votes_it_is_one_and_one_vote_says_nothing() -> None:
    assert e_value(0, 0) == pytest.approx(1)
    assert e_value(1, 0) == e_value(0, 1) == pytest.approx(1)


@pytest.mark.parametrize(("wins", "losses"), [(3, 1), (20, 5), (60, 40)])
def test_by_its_definition(wins: int, losses: int) -> None:
    rates = (np.arange(200_000) + 0.5) / 200_000
    prior = rates**4 * (1 - rates) ** 4
    expected = (prior / prior.sum()) @ ((2 * rates) ** wins * (2 * (1 - rates)) ** losses)
    assert e_value(wins, losses) == pytest.approx(expected, rel=1e-6)


def test_at_one_half_it_is_one_on_average() -> None:
    n = 30
    mean = sum(comb(n, wins) * 0.5**n * e_value(wins, n - wins) for wins in range(n + 1))
    assert mean == pytest.approx(1)


def test_a_great_many_votes_stay_a_number() -> None:
    assert e_value(5000, 0) <= 1.01e300


def test_looking_after_every_vote_misleads_in_fewer_than_one_in_twenty() -> None:
    rng = np.random.default_rng(0)
    table = np.array(
        [[e_value(w, n - w) if w <= n else 0.0 for w in range(301)] for n in range(301)]
    )
    wins = (rng.random((20_000, 300)) < 0.5).cumsum(1)
    crossed = (table[np.arange(1, 301), wins] >= STOP_AT).any(1)
    assert 0.01 < crossed.mean() < 0.05
    # And it does tell 65%, mostly within the 97 votes that a fixed study plans with.
    wins = (rng.random((2_000, 200)) < 0.65).cumsum(1)
    assert (table[np.arange(1, 201), wins] >= STOP_AT).any(1).mean() > 0.8


def test_the_first_decisive_vote_of_an_item_enters_in_order_of_time() -> None:
    votes = [vote(2, 1, 9), vote(1, 5, 3), vote(1, 1, 4, "b"), vote(3, 3, 1), vote(3, 4, 5, "b")]
    found = evidence(votes)
    assert (found.wins, found.losses) == (2, 1)
    assert found.path == ((0, 1.0), *zip((1, 2, 3), e_path([True, True, False]), strict=True))
    assert found.crossed_at is None


def test_crossing_is_remembered_and_the_path_is_thin() -> None:
    votes = [vote(n, 5 if n < 60 or n % 2 else 1, n) for n in range(1000)]
    found = evidence(votes)
    assert found.crossed_at is not None
    path = dict(found.path)
    assert path[found.crossed_at] >= found.stop_at > e_value(found.crossed_at - 1, 0)
    assert path[1000] == found.e_value
    assert max(path.values()) <= found.highest
    assert len(path) < 205


def test_no_votes() -> None:
    found = evidence([])
    assert (found.e_value, found.crossed_at, found.path) == (1.0, None, ((0, 1.0),))
