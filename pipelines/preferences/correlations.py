"""Does the automatic reasoning score say what people say? Rank correlations of the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from pipelines.preferences.clustered import TIE
from pipelines.preferences.results import Correlation, Estimate
from pipelines.preferences.votes import Vote

if TYPE_CHECKING:
    from numpy import ndarray

RESAMPLES = 400
FEWEST_POINTS = 5
MOST_POINTS = 2000
"""Beyond it the tables of all points by all points would take seconds and gigabytes."""
METHOD = "bootstrap over items"
Point = tuple[int, float, float]
"""(item, automatic, human)"""


def correlations(votes: Sequence[Vote]) -> tuple[Correlation, ...]:
    """By trace (score with mean criterion) and by pair (difference with mean vote)."""
    return (
        _correlated(
            "scores", "Automatic score of a trace and its mean over criteria", _by_trace(votes)
        ),
        _correlated(
            "preference", "Difference in automatic score and the mean vote", _by_pair(votes)
        ),
    )


def _by_trace(votes: Sequence[Vote]) -> list[Point]:
    given: dict[tuple[int, int], list[float]] = {}
    automatic: dict[tuple[int, int], float] = {}
    for vote in votes:
        for place, arm in enumerate((vote.first_arm, vote.second_arm)):
            quality = vote.quality[place]
            if quality is not None and vote.criteria:
                automatic[vote.item, arm] = quality
                mean = fmean(scores[place] for scores in vote.criteria.values())
                given.setdefault((vote.item, arm), []).append(mean)
    return [(item, automatic[item, arm], fmean(all_)) for (item, arm), all_ in given.items()]


def _by_pair(votes: Sequence[Vote]) -> list[Point]:
    given: dict[int, list[Vote]] = {}
    for vote in votes:
        if None not in vote.quality:
            given.setdefault(vote.pair, []).append(vote)
    points = []
    for same in given.values():
        first, second = same[0].quality
        if first is not None and second is not None:
            points.append((same[0].item, first - second, fmean(v.score - TIE for v in same)))
    return points


def _correlated(of: str, title: str, points: list[Point]) -> Correlation:
    import numpy as np

    # Rounded, or 0.3 - 0.1 and 0.5 - 0.3 would be ranked by the noise in their last digit.
    points = [(item, round(x, 6), round(y, 6)) for item, x, y in points[:MOST_POINTS]]
    told = tuple((x, y) for _, x, y in points)
    if len(points) < FEWEST_POINTS:
        unknown = Estimate(None, None, None, len(points), f"fewer than {FEWEST_POINTS} points")
        return Correlation(of, title, unknown, unknown, told)
    items = np.unique([item for item, _, _ in points], return_inverse=True)[1]
    signs = [_signs([point[k] for point in points]) for k in (1, 2)]
    count = int(items.max()) + 1
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    # float32 halves the time of the matrix products, and counts of a few thousands are exact.
    once, weights = np.ones((1, len(points)), "f4"), draws[:, items].astype("f4")

    def estimate(figure: Callable[[ndarray, ndarray, ndarray], ndarray]) -> Estimate:
        value = float(figure(once, *signs)[0])
        if np.isnan(value):
            return Estimate(None, None, None, len(points), "no differences to rank", items=count)
        spread = figure(weights, *signs)
        spread = spread[~np.isnan(spread)]
        low, high = np.percentile(spread, [2.5, 97.5])
        if high - low < 1e-9:
            # A perfect order stays perfect in every resample; rule of three over items instead.
            low, high = (value - 3 / count, high) if value > 0 else (low, value + 3 / count)
        return Estimate(value, float(low), float(high), len(points), METHOD, items=count)

    return Correlation(of, title, estimate(_spearman), estimate(_kendall), told)


def _signs(values: Sequence[float]) -> ndarray:
    """Who is above whom: the sign of each value less each other (n, n)."""
    import numpy as np

    column = np.array(values, float)
    return np.sign(column[:, None] - column[None, :]).astype("f4")


def _kendall(weights: ndarray, x: ndarray, y: ndarray) -> ndarray:
    """Tau-b of points that count `weights` (resamples, n) times."""
    import numpy as np

    concordant = ((weights @ (x * y)) * weights).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return concordant / np.sqrt(_untied(weights, x) * _untied(weights, y))


def _untied(weights: ndarray, signs: ndarray) -> ndarray:
    """How many ordered pairs of the points differ, in each resample."""
    import numpy as np

    # Points in order; a new group begins where as many are above as nowhere before.
    order = np.argsort(signs.sum(1), kind="stable")
    starts = np.unique(signs.sum(1)[order], return_index=True)[1]
    groups = np.add.reduceat(weights[:, order], starts, axis=1)
    return weights.sum(1) ** 2 - (groups**2).sum(1)


def _spearman(weights: ndarray, x: ndarray, y: ndarray) -> ndarray:
    """Rho of points that count `weights` (resamples, n) times."""
    import numpy as np

    # A point's rank is half the number above and below it, up to a constant; ranks sum to zero.
    ranks = [(weights @ signs.T).astype(float) for signs in (x, y)]
    both, first, second = (
        (weights * a * b).sum(1)
        for a, b in ((ranks[0], ranks[1]), (ranks[0],) * 2, (ranks[1],) * 2)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return both / np.sqrt(first * second)
