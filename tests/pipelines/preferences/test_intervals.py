"""Score intervals, against hand-computed values, the literature and brute force."""

from math import comb, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar

from pipelines.preferences.intervals import Interval, tango, wilson

COUNTS = st.tuples(*[st.integers(0, 25)] * 3).filter(lambda counts: sum(counts) > 0)


def test_nothing_rated_says_nothing() -> None:
    assert tango(0, 0, 0) == wilson(0, 0) == Interval(0.0, 1.0)


def test_only_ties_keep_a_width() -> None:
    interval = tango(0, 0, 10)
    assert 0.3 < interval.low < 0.5 < interval.high < 0.7


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_proportion(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence="):
        tango(1, 0, 3, confidence)


# Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


# Fagerland, Lydersen & Laake 2014, Statistics in Medicine 33:2850-2875: the airway data.
def test_tango_as_published() -> None:
    interval = tango(1, 7, 21)
    assert (2 * interval.low - 1, 2 * interval.high - 1) == pytest.approx(
        (-0.517, -0.026), abs=5e-4
    )


@pytest.mark.parametrize(
    ("wins", "losses", "n"), [(6, 16, 161), (12, 2, 50), (40, 20, 160), (3, 1, 12), (20, 20, 60)]
)
def test_tango_against_the_likelihood_maximised_by_brute_force(
    wins: int, losses: int, n: int
) -> None:
    def statistic(difference: float) -> float:
        def cost(loss: float) -> float:
            win, tie = loss + difference, 1 - 2 * loss - difference
            return -(wins * log(win) + losses * log(loss) + (n - wins - losses) * log(tie))

        bounds = (max(0, -difference) + 1e-9, (1 - difference) / 2 - 1e-9)
        loss = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        return (wins - losses - n * difference) / sqrt(n * (2 * loss + difference - difference**2))

    estimate, z = (wins - losses) / n, 1.959963984540054
    low = brentq(lambda value: statistic(value) - z, -0.99, estimate)
    high = brentq(lambda value: statistic(value) + z, estimate, 0.99)
    interval = tango(wins, losses, n)
    assert (interval.low, interval.high) == pytest.approx(((1 + low) / 2, (1 + high) / 2), abs=1e-5)


@given(wins=st.integers(0, 40), losses=st.integers(0, 40))
def test_tango_without_ties_is_wilson(wins: int, losses: int) -> None:
    n = wins + losses
    ours, theirs = tango(wins, losses, n), wilson(wins, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-7)


@given(COUNTS)
def test_intervals_hold_the_estimate_and_mirror(counts: tuple[int, int, int]) -> None:
    wins, ties, losses = counts
    n = wins + ties + losses
    ours, theirs, rate = tango(wins, losses, n), tango(losses, wins, n), (wins + ties / 2) / n
    assert 0 <= ours.low <= rate + 1e-9
    assert rate - 1e-9 <= ours.high <= 1
    assert ours.low == pytest.approx(1 - theirs.high, abs=1e-7)
    assert wilson(wins, n).low == pytest.approx(1 - wilson(n - wins, n).high, abs=1e-7)


def test_a_fraction_of_the_ratings_widens_it() -> None:
    whole, half = tango(30, 20, 60), tango(15, 10, 30)
    fraction = tango(22.5, 15, 45)
    assert half.low < fraction.low < whole.low
    assert tango(30, 20, 60, quantile=2.776).low < whole.low


@pytest.mark.parametrize(("win", "tie"), [(0.5, 0.2), (0.6, 0.1), (0.4, 0.4), (0.35, 0.3)])
def test_tango_covers_what_it_says(win: float, tie: float) -> None:
    """Exact coverage over all outcomes of 40 ratings."""
    n, truth, covered = 40, win + tie / 2, 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            ties = n - wins - losses
            chance = comb(n, wins) * comb(n - wins, losses)
            chance *= win**wins * tie**ties * (1 - win - tie) ** losses
            interval = tango(wins, losses, n)
            covered += chance * (interval.low <= truth <= interval.high)
    assert 0.93 < covered < 0.97
