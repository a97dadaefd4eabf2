"""Three arms or more on one scale: Bradley-Terry strengths from all their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from pipelines.preferences.clustered import clustered_error, points, quantile
from pipelines.preferences.results import Strength
from pipelines.preferences.votes import Vote

if TYPE_CHECKING:
    from numpy import ndarray

VIRTUAL_TIES = 1.0
"""Added to each pair of arms that was compared: an arm that never lost keeps a finite strength."""


def bradley_terry(votes: Sequence[Vote], arms: Sequence[str]) -> list[Strength]:
    """Strengths of the arms, best first; an arm that no votes join to the others is left out.

    P(i beats j) = 1 / (1 + exp(s_j - s_i)), ties as halves. The interval is linearised: each
    vote's influence on a strength goes through the same two-way clustering as a win rate, so it
    allows for recurring people and items, where a bootstrap over items would forget the people.
    Ranks are certain where the interval of a difference lies on one side of zero.
    """
    import numpy as np

    joined = _joined(votes, len(arms))
    if len(joined) < 2:
        return []
    place = {arm: number for number, arm in enumerate(joined)}
    kept = [vote for vote in votes if vote.first_arm in place and vote.second_arm in place]
    first = np.array([place[vote.first_arm] for vote in kept])
    second = np.array([place[vote.second_arm] for vote in kept])
    won = np.array([points(vote) for vote in kept])
    wins = np.zeros((len(joined), len(joined)))
    np.add.at(wins, (first, second), won)
    np.add.at(wins, (second, first), 1 - won)
    compared = wins + wins.T > 0
    wins += VIRTUAL_TIES / 2 * compared
    strength = _fit(wins)
    influence, covariance = _influence(strength, wins, first, second, won)

    def half_width(contrast: ndarray) -> float:
        least = float(contrast @ covariance @ contrast)
        spread = clustered_error(influence @ contrast, kept, least)
        return quantile(spread.freedom) * spread.variance**0.5

    unit = np.eye(len(joined))
    halves = [half_width(unit[k]) for k in range(len(joined))]
    better = np.zeros(len(joined), int)  # how many are certainly better, and worse, than each
    worse = np.zeros(len(joined), int)
    for i, j in combinations(range(len(joined)), 2):
        difference = strength[i] - strength[j]
        if abs(difference) > half_width(unit[i] - unit[j]):
            above, below = (i, j) if difference > 0 else (j, i)
            better[below] += 1
            worse[above] += 1
    order = np.argsort(-strength, kind="stable")
    return [
        Strength(
            joined[k], arms[joined[k]], float(strength[k]),
            float(strength[k] - halves[k]), float(strength[k] + halves[k]),
            rank, int(better[k]) + 1, len(joined) - int(worse[k]),
        )
        for rank, k in enumerate(order, 1)
    ]  # fmt: skip


def _fit(wins: ndarray) -> ndarray:
    """wins[i, j] of i over j (K, K) -> log strengths (K,) that sum to zero."""
    import numpy as np
    from evalica import Winner
    from evalica import bradley_terry as fitted

    count = len(wins)
    pairs = [(i, j) for i in range(count) for j in range(count) if wins[i, j] > 0]
    scores = fitted(
        [i for i, _ in pairs],
        [j for _, j in pairs],
        [Winner.X] * len(pairs),
        weights=[float(wins[pair]) for pair in pairs],
        tolerance=1e-10,
        limit=10_000,
    ).scores
    logs = np.log([float(scores[k]) for k in range(count)])
    return logs - logs.mean()


def _influence(
    strength: ndarray, wins: ndarray, first: ndarray, second: ndarray, won: ndarray
) -> tuple[ndarray, ndarray]:
    """Each vote's influence on the strengths (n, K), and their covariance were it all independent.

    The inverse of the information is a pseudo-inverse, for only differences are known.
    """
    import numpy as np

    expected = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    weight = (wins + wins.T) * expected * (1 - expected)
    covariance = np.linalg.pinv(np.diag(weight.sum(1)) - weight, hermitian=True)
    residual = won - expected[first, second]
    return residual[:, None] * (covariance[first] - covariance[second]), covariance


def _joined(votes: Sequence[Vote], count: int) -> list[int]:
    """The arms of the largest group that votes connect, in order."""
    group = list(range(count))
    for vote in votes:
        old, new = group[vote.first_arm], group[vote.second_arm]
        group = [new if one == old else one for one in group]
    largest = max(group, key=lambda one: (group.count(one), -one), default=0)
    return [arm for arm in range(count) if group[arm] == largest]
