"""Means of votes, with intervals that allow for recurring people and recurring items.

Votes of one person resemble each other, and so do votes on one item. The variance of the mean is
that between people plus that between items less that between votes (Cameron, Gelbach & Miller
2011, JBES 29:238-249), each with the correction for few clusters of Bell & McCaffrey (2002, Survey
Methodology 28:169-181). With five people that variance is known badly, so Student's t is used, at
the freedom that Satterthwaite's rule gives for what is seen of the differences between people.
`docs/preference-statistics.md` has the coverage of all this in simulated studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING

from pipelines.preferences.intervals import tango, wilson
from pipelines.preferences.results import Estimate
from pipelines.preferences.votes import Vote

if TYPE_CHECKING:
    from numpy import ndarray

TIE = 3
CONFIDENCE = 0.95
NOTHING = Estimate(None, None, None, 0, "no votes")
LEAST_VARIANCE = 0.25
"""The least variance that is believed, as a share of independent votes'. People whose rates are
equal by chance would give an interval of no width."""
ROUNDING = 1 / 12
"""The variance of rounding an opinion to a whole number: what is not known of each score."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The variance of a mean, how many degrees of freedom it has, and where it came from."""

    variance: float
    freedom: float
    method: str

    @property
    def stored_freedom(self) -> float | None:
        """None for infinitely many, which JSON has no word for."""
        return self.freedom if isfinite(self.freedom) else None


def points(vote: Vote) -> float:
    """1 for a win of the first arm, 0 for a loss, one half for a tie."""
    return 0.5 if vote.score == TIE else float(vote.score > TIE)


def two_way(votes: Sequence[Vote]) -> Estimate:
    """The win rate of the first arm, with ties as halves."""
    return clustered_rate([points(vote) for vote in votes], votes)


def clustered_rate(values: Sequence[float], votes: Sequence[Vote]) -> Estimate:
    """The mean of values 0, one half and 1, one a vote.

    The interval is Tango's score interval (Wilson's, without halves) at the number of independent
    votes that would have the variance found, with Student's quantile. So it stays within [0, 1],
    and keeps a width where all votes agree.
    """
    import numpy as np

    value = np.asarray(values, float)
    n = len(value)
    if n == 0:
        return NOTHING
    wins, losses = int((value == 1).sum()), int((value == 0).sum())
    independent = float(value.var()) / n
    items, people = _codes(votes)
    spread = _spread(value, items, people)
    variance = max(spread.variance, LEAST_VARIANCE * independent)
    effective = n if independent == 0 else n * independent / variance
    scale, t = effective / n, quantile(spread.freedom)
    interval = tango(wins * scale, losses * scale, effective, quantile=t)
    return Estimate(
        float(value.mean()), interval.low, interval.high, n, spread.method,
        variance**0.5, spread.stored_freedom, int(items.max()) + 1, int(people.max()) + 1,
    )  # fmt: skip


def clustered_mean(
    values: Sequence[float], votes: Sequence[Vote], farthest: float = inf
) -> Estimate:
    """The mean of whole numbers within ±`farthest`, one a vote, with Student's interval.

    With few people that interval may reach beyond the scale, where no mean can lie: it is cut.
    """
    import numpy as np

    value = np.asarray(values, float)
    n = len(value)
    if n == 0:
        return NOTHING
    items, people = _codes(votes)
    spread = _spread(value, items, people)
    error = max(spread.variance, ROUNDING / n) ** 0.5
    mean, half = float(value.mean()), quantile(spread.freedom) * error
    return Estimate(
        mean, max(mean - half, -farthest), min(mean + half, farthest), n, spread.method,
        error, spread.stored_freedom, int(items.max()) + 1, int(people.max()) + 1,
    )  # fmt: skip


def clustered_error(influence: ndarray, votes: Sequence[Vote], least: float) -> Spread:
    """The variance of a figure that is no mean, from each vote's influence on it (n,).

    The figure is taken as linear in the votes: it differs from the truth by the mean of n times
    their influences. `least` is its variance if votes were independent, for the same floor as a
    rate's.
    """
    spread = _spread(influence * len(votes), *_codes(votes))
    variance = max(spread.variance, LEAST_VARIANCE * least)
    return Spread(variance, spread.freedom, spread.method)


def independent_rate(votes: Sequence[Vote]) -> Estimate:
    """The win rate as if no vote had to do with another: Wilson's interval, Tango's with ties."""
    wins = sum(vote.score > TIE for vote in votes)
    losses = sum(vote.score < TIE for vote in votes)
    n = len(votes)
    if n == 0:
        return NOTHING
    interval = wilson(wins, n) if wins + losses == n else tango(wins, losses, n)
    name = "Wilson" if wins + losses == n else "Tango (Wilson's, with ties as halves)"
    return Estimate((wins + (n - wins - losses) / 2) / n, interval.low, interval.high, n, name)


def single_pass(votes: Sequence[Vote]) -> bool:
    """Whether votes may be told as independent: each item once, by one person or each by another.

    Of one person's votes the interval then holds for that person, over items.
    """
    people = {vote.annotator for vote in votes}
    items = {vote.item for vote in votes}
    return len(items) == len(votes) and len(people) in (1, len(votes))


def _spread(value: ndarray, items: ndarray, people: ndarray) -> Spread:
    """The two-way clustered variance of the mean of `value` (n,), given cluster numbers (n,)."""
    n = len(value)
    several_items, several_people = items.max() > 0, people.max() > 0
    if not several_items and not several_people:
        # A single cluster tells nothing of the others; votes as independent is all there is.
        return Spread(float(value.var()) / n, inf, "independent votes (one item, one person)")
    if not several_people:
        return Spread(*_between(value, items), "clustered by item; holds for this one person")
    if not several_items:
        return Spread(*_between(value, people), "clustered by person; holds for this one item")
    by_person, freedom = _between(value, people)
    by_item, item_freedom = _between(value, items)
    by_vote = float(value.var()) / (n - 1)
    # The difference can fall below either part by chance; neither clustering may be ignored.
    variance = max(by_person + by_item - by_vote, by_person)
    return Spread(variance, min(freedom, item_freedom), "clustered by item and person")


def _between(value: ndarray, clusters: ndarray) -> tuple[float, float]:
    """One-way clustered variance of the mean (CR2), and Satterthwaite's degrees of freedom."""
    import numpy as np

    n, sizes = len(value), np.bincount(clusters)
    means = np.bincount(clusters, value - value.mean()) / sizes
    weights = sizes / n
    shares = weights**2 / (1 - weights)
    variance = float(shares @ means**2)
    # The variance of a cluster's mean: that between clusters, and that within over its size.
    count = len(sizes)
    total = float(((value - value.mean()) ** 2).sum())
    between = float(sizes @ means**2)
    within = (total - between) / (n - count) if n > count else 0.0
    balance = (n - float(sizes @ sizes) / n) / (count - 1)
    apart = max(0.0, (between / (count - 1) - within) / balance)
    each = apart + within / sizes if apart + within > 0 else 1 / sizes
    return variance, _freedom(weights, shares, each)


def _freedom(weights: ndarray, shares: ndarray, each: ndarray) -> float:
    """2 E(Q)^2 / Var(Q) of Q = sum of shares * (x - weights @ x)^2, x normal of variances `each`.

    With B the covariance of the deviations and C = diag(shares), E(Q) = tr(CB) and Var(Q) =
    2 tr(CBCB). B is diag(each) plus a matrix of rank 2, so the traces need no matrix.
    """
    mixed = weights * each
    spread = float(weights @ mixed)
    diagonal = each - 2 * mixed + spread
    mean = float(shares @ diagonal)
    # B_jk = spread - mixed_j - mixed_k off the diagonal; the sum of its weighted squares is that
    # over all j, k, less the diagonal's, plus the true diagonal's.
    one, first, second = shares.sum(), float(shares @ mixed), float(shares @ mixed**2)
    everywhere = spread**2 * one**2 - 4 * spread * one * first + 2 * one * second + 2 * first**2
    off_rule = float(shares**2 @ (spread - 2 * mixed) ** 2)
    square = everywhere - off_rule + float(shares**2 @ diagonal**2)
    return float(mean**2 / square)


def _codes(votes: Sequence[Vote]) -> tuple[ndarray, ndarray]:
    """(items, people) as numbers 0, 1, ... (n,)."""
    import numpy as np

    items = np.unique([vote.item for vote in votes], return_inverse=True)[1]
    people = np.unique([vote.annotator for vote in votes], return_inverse=True)[1]
    return items, people


def quantile(freedom: float) -> float:
    from scipy.special import ndtri, stdtrit

    tail = (1 + CONFIDENCE) / 2
    # A fraction of a degree would put the ends beyond any use; one is Cauchy's, wide enough.
    return float(ndtri(tail) if freedom == inf else stdtrit(max(freedom, 1.0), tail))
