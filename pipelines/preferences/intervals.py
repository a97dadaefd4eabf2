"""Score intervals of a proportion and of a win rate, from counts.

They take ratings as independent of each other, which is right for one rating an item by one
person. `clustered` makes the interval of a study, where people and items recur, of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval of a proportion; both ends lie in [0, 1]."""

    low: float
    high: float


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion (Wilson 1927, JASA 22:209-212); [0, 1] when n = 0."""
    if n == 0:
        return Interval(0.0, 1.0)
    z2 = _z(confidence) ** 2
    middle = (successes + z2 / 2) / (n + z2)
    half = sqrt(z2 * (successes * (n - successes) / n + z2 / 4)) / (n + z2)
    # The ends are exactly 0 and 1 there; rounding would leave 1e-17 on the wrong side.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Interval(low, high)


def tango(
    wins: float, losses: float, n: float, confidence: float = 0.95, quantile: float | None = None
) -> Interval:
    """The interval of the win rate with ties as halves, (wins + ties / 2) / n.

    That rate is (1 + D) / 2, where D = P(win) - P(loss) is the difference of two paired
    proportions, so Tango's score interval for D (1998, Statistics in Medicine 17:891-908)
    gives it by the same map. Without ties it is Wilson's; with ties it is narrower, and it
    doesn't collapse when all ratings agree. [0, 1] when n = 0. Counts may be fractions, as an
    effective number of ratings is. `quantile` takes the place of the normal one.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    z = _z(confidence) if quantile is None else quantile
    estimate = (wins - losses) / n

    def statistic(difference: float) -> float:
        spread = n * (2 * _loss_share(wins, losses, n, difference) + difference * (1 - difference))
        gap = wins - losses - n * difference
        return gap / sqrt(spread) if spread > 0 else (0.0 if gap == 0 else gap * float("inf"))

    # The statistic falls as the difference grows: z is crossed below the estimate, -z above.
    low = _root(lambda value: statistic(value) - z, -1.0, estimate)
    high = _root(lambda value: statistic(value) + z, estimate, 1.0)
    return Interval((1 + low) / 2, (1 + high) / 2)


def _loss_share(wins: float, losses: float, n: float, difference: float) -> float:
    """The most likely P(loss) given D, in closed form (Tango 1998, equation 4)."""
    a = 2 * n
    b = -wins - losses + (2 * n - wins + losses) * difference
    c = -losses * difference * (1 - difference)
    return (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero between `low` and `high`, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must be between 0 and 1")
    return NormalDist().inv_cdf((1 + confidence) / 2)
