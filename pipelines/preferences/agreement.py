"""How far people say the same: raw agreement, Krippendorff's alpha, Gwet's AC1.

All come from one table: how many people put a unit (a pair of traces) into each category. So one
matrix product gives them for every resample of the units at once, where libraries take a table of
people by units and one resample a call; the tests hold them against evalica's alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pipelines.preferences.clustered import TIE
from pipelines.preferences.intervals import wilson
from pipelines.preferences.results import Agreement, Estimate
from pipelines.preferences.votes import Vote

if TYPE_CHECKING:
    from numpy import ndarray

Level = Literal["nominal", "ordinal"]
RESAMPLES = 1000
FEWEST_UNITS = 5
METHOD = "bootstrap over pairs"


def agreement(votes: Sequence[Vote]) -> tuple[Agreement, ...]:
    """Agreement on who won (win, tie, loss) and on the five points; empty without votes."""
    by_pair: dict[int, list[Vote]] = {}
    for vote in votes:
        by_pair.setdefault(vote.pair, []).append(vote)
    shared = [pair for pair in by_pair.values() if len(pair) > 1]
    if not votes:
        return ()
    outcomes = [[1 + (v.score > TIE) - (v.score < TIE) for v in pair] for pair in shared]
    scores = [[v.score - 1 for v in pair] for pair in shared]
    people = len({vote.annotator for pair in shared for vote in pair})
    return (
        _told("win, tie, loss", table(outcomes, 3), people),
        _told("five points", table(scores, 5), people),
    )


def table(units: Sequence[Sequence[int]], categories: int) -> ndarray:
    """The categories (0, 1, ...) said of each unit -> counts (units, categories)."""
    import numpy as np

    return np.array([np.bincount(said, minlength=categories) for said in units], float).reshape(
        -1, categories
    )


def raw(counts: ndarray) -> Estimate:
    """The share of pairs of people that agree, averaged over units with two votes or more."""
    return _interval(counts, "raw")


def krippendorff_alpha(counts: ndarray, level: Level = "nominal") -> Estimate:
    """Alpha of counts (units, categories): 1 - observed / expected disagreement.

    Krippendorff 2018, Content Analysis, chapter 12. None where nobody ever left one category.
    """
    return _interval(counts, level)


def gwet_ac1(counts: ndarray) -> Estimate:
    """AC1, near raw agreement where nearly all say the same (Gwet 2008, BJMSP 61:29-48)."""
    return _interval(counts, "ac1")


def _told(scale: str, counts: ndarray, people: int) -> Agreement:
    alike = len(counts) > 0 and int((counts.sum(0) > 0).sum()) == 1
    notes = [
        "No pair has two ratings, so nothing can be said." if len(counts) == 0 else "",
        f"Fewer than {FEWEST_UNITS} pairs: no intervals." if 0 < len(counts) < FEWEST_UNITS else "",
        "Everybody said the same of everything, so alpha has no meaning." if alike else "",
    ]
    return Agreement(
        scale, len(counts), int(counts.sum()), people, raw(counts),
        krippendorff_alpha(counts), krippendorff_alpha(counts, "ordinal"), gwet_ac1(counts),
        " ".join(filter(None, notes)),
    )  # fmt: skip


def _interval(counts: ndarray, figure: str) -> Estimate:
    """A figure with its percentile bootstrap interval over units (2.5% to 97.5%)."""
    import numpy as np

    counts = counts[counts.sum(1) > 1]
    units = len(counts)
    if units == 0:
        return Estimate(None, None, None, 0, "no pair with two votes")
    # Units that are told alike are one row: a resample says how often each row occurs.
    rows, times = np.unique(counts, axis=0, return_counts=True)
    observed, chance = (float(part[0]) for part in _parts(times[None, :] * 1.0, rows, figure))
    if chance == 1:
        return Estimate(None, None, None, units, METHOD)
    value = (observed - chance) / (1 - chance)
    if units < FEWEST_UNITS:
        return Estimate(value, None, None, units, METHOD)
    # The same resamples each time, so that a report read twice says the same.
    drawn = np.random.default_rng(0).multinomial(units, times / units, RESAMPLES)
    each, by_chance = _parts(drawn.astype(float), rows, figure)
    known = by_chance < 1
    spread = (each[known] - by_chance[known]) / (1 - by_chance[known])
    low, high = np.percentile(spread, [2.5, 97.5])
    if high - low < 1e-9:
        # Units all alike give no spread; Wilson's interval of the observed part does.
        ends = wilson(observed * units, units)
        low, high = ((end - chance) / (1 - chance) for end in (ends.low, ends.high))
    return Estimate(value, float(low), float(high), units, METHOD)


def _parts(weights: ndarray, counts: ndarray, figure: str) -> tuple[ndarray, ndarray]:
    """(observed agreement, agreement by chance) of each resample, both (resamples,).

    `weights` (resamples, units) says how often each unit of `counts` (units, categories) counts.
    The figure is (observed - chance) / (1 - chance).
    """
    import numpy as np

    said = counts.sum(1)
    if figure in ("raw", "ac1"):
        units = weights.sum(1)
        alike = (counts * (counts - 1)).sum(1) / (said * (said - 1))
        observed = weights @ alike / units
        if figure == "raw":
            return observed, np.zeros_like(observed)
        share = weights @ (counts / said[:, None]) / units[:, None]
        return observed, (share * (1 - share)).sum(1) / (counts.shape[1] - 1)
    together = counts[:, :, None] * counts[:, None, :]
    together -= counts[:, :, None] * np.eye(counts.shape[1])
    coincidences = np.tensordot(weights, together / (said - 1)[:, None, None], 1)
    marginal = coincidences.sum(2)
    total = marginal.sum(1)
    distance = _distances(marginal, ordinal=figure == "ordinal")
    expected = np.einsum("rc,rk,rck->r", marginal, marginal, distance) / (total * (total - 1))
    return 1 - (coincidences * distance).sum((1, 2)) / total, 1 - expected


def _distances(marginal: ndarray, ordinal: bool) -> ndarray:
    """How far apart two categories are, at most 1: (resamples, categories, categories).

    Ordinal: the squared number of values from one to the other, counting half of either end.
    """
    import numpy as np

    categories = marginal.shape[1]
    if not ordinal:
        return np.broadcast_to(1 - np.eye(categories), (len(marginal), categories, categories))
    middle = marginal.cumsum(1) - marginal / 2
    distance = (middle[:, :, None] - middle[:, None, :]) ** 2
    return distance / np.maximum(distance.max((1, 2), keepdims=True), 1e-12)
