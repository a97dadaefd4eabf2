"""Whether a moderator's probabilities mean what they say, and what thresholds on them give.

`gold` (N,) is bool, True for the positive class; `probability` (N,) is that class's, 0 to 1, NaN
where a row has none. Rows without a probability are left out of everything here, so a figure
stands for the others alone: say how many with `known`. Where the rows left can't give a figure
(none, or a curve of one class) it is None; nothing here warns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.schema import InputError
from pipelines.scoring.resampling import Floats, Interval, wilson

Binning = Literal["equal_width", "equal_mass"]
BINNINGS: tuple[Binning, ...] = ("equal_width", "equal_mass")


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of like probability: from `low` to `high`, their mean probability, and the share of
    them that is positive with its Wilson interval."""

    low: float
    high: float
    rows: int
    mean_probability: float
    share_positive: float
    interval: Interval


@dataclass(frozen=True)
class Curve:
    """A curve over all thresholds: `x`, `y` and `thresholds` (T,), and the area below.

    ROC: x is the false-positive rate, y the recall, and `area` the chance that a positive row
    stands above a negative one. Precision-recall: x is the recall, y the precision, and `area`
    the average precision, to be set against `base`, the share of positive rows. A row is called
    positive where its probability is at least the threshold.
    """

    x: Floats
    y: Floats
    thresholds: Floats
    area: float
    base: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """What calling rows positive from this probability on gives, on the rows it was chosen on.

    Chosen and scored on the same rows it flatters: take it to other rows.
    """

    value: float
    f1: float
    precision: float | None
    recall: float
    false_positive_rate: float
    rows: int


def known(gold: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """The rows that have a probability. Raises InputError where one is not within 0 and 1."""
    truth = np.asarray(gold, dtype=bool)
    chance = np.asarray(probability, dtype=np.float64)
    if truth.shape != chance.shape or truth.ndim != 1:
        raise InputError(
            f"probability={chance.shape}: must be one for each of gold's {truth.shape} rows"
        )
    has = ~np.isnan(chance)
    truth, chance = truth[has], chance[has]
    outside = chance[(chance < 0) | (chance > 1)]
    if len(outside):
        raise InputError(f"probability={outside[0]:g}: must be from 0 to 1")
    return truth, chance


def reliability(
    gold: ArrayLike, probability: ArrayLike, bins: int = 15, binning: Binning = "equal_width"
) -> list[Bin]:
    """The bins that hold rows, in rising order.

    `equal_width` cuts 0..1 into equal parts, closed above; `equal_mass` cuts the sorted rows into
    parts of equal size, but never between rows of one probability, so there may be fewer; such a
    part reaches from its lowest to its highest row.
    Raises InputError for fewer than one bin or another binning.
    """
    if bins < 1:
        raise InputError(f"bins={bins}: must be at least 1")
    if binning not in BINNINGS:
        raise InputError(f"binning={binning}: must be one of {', '.join(BINNINGS)}")
    truth, chance = known(gold, probability)
    if not len(chance):
        return []
    edges = np.linspace(0, 1, bins + 1)
    if binning == "equal_width":
        place = np.clip(np.searchsorted(edges, chance, side="left") - 1, 0, bins - 1)
    else:
        _, of, often = np.unique(chance, return_inverse=True, return_counts=True)
        middle = np.cumsum(often) - often / 2
        place = np.floor(bins * middle / len(chance)).astype(np.int64)[of]
    found = []
    for number in np.unique(place):
        inside = place == number
        rows, hits = int(inside.sum()), int(truth[inside].sum())
        interval = wilson(hits, rows) or (0.0, 1.0)
        mean = float(chance[inside].mean())
        low, high = float(edges[number]), float(edges[number + 1])
        if binning == "equal_mass":
            low, high = float(chance[inside].min()), float(chance[inside].max())
        found.append(Bin(low, high, rows, mean, hits / rows, interval))
    return found


def expected_calibration_error(
    gold: ArrayLike,
    probability: ArrayLike,
    bins: int = 15,
    binning: Binning = "equal_width",
) -> float | None:
    """Mean distance, over rows, of a bin's probability from its share of positive rows, 0..1.

    Of the positive class's probability (Naeini et al. 2015 for two classes), not of the
    confidence in whichever label was chosen. None where no row has a probability.
    """
    found = reliability(gold, probability, bins, binning)
    if not found:
        return None
    gaps = [one.rows * abs(one.mean_probability - one.share_positive) for one in found]
    return float(sum(gaps) / sum(one.rows for one in found))


def brier(gold: ArrayLike, probability: ArrayLike) -> float | None:
    """Mean squared distance of the probability from the truth, 0..1; None without any."""
    truth, chance = known(gold, probability)
    return float(np.mean((chance - truth) ** 2)) if len(chance) else None


def roc(gold: ArrayLike, probability: ArrayLike) -> Curve | None:
    """Recall against false-positive rate; None unless there are rows of both classes."""
    truth, chance = known(gold, probability)
    if not _both(truth):
        return None
    from sklearn.metrics import auc, roc_curve

    x, y, thresholds = roc_curve(truth, chance)
    return Curve(x, y, thresholds, float(auc(x, y)), float(truth.mean()))


def precision_recall(gold: ArrayLike, probability: ArrayLike) -> Curve | None:
    """Precision against recall, from the lowest threshold up; None unless there are rows of both
    classes. The last point, recall 0 and precision 1, belongs to the threshold infinity."""
    truth, chance = known(gold, probability)
    if not _both(truth):
        return None
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(truth, chance)
    area = float(average_precision_score(truth, chance))
    ends = np.append(thresholds, np.inf)
    return Curve(recall, precision, ends, area, float(truth.mean()))


def best_threshold(gold: ArrayLike, probability: ArrayLike) -> Threshold | None:
    """The threshold with the highest F1; of several the highest threshold, which calls fewest
    rows positive. None unless there are rows of both classes."""
    every = _thresholds(gold, probability)
    return max(every, key=lambda one: (one.f1, one.value)) if every else None


def threshold_at(
    gold: ArrayLike, probability: ArrayLike, false_positive_rate: float
) -> Threshold | None:
    """The lowest threshold with at most this false-positive rate, so the highest recall it
    allows. None unless there are rows of both classes. Where even the highest probability is
    given to more negative rows than that, the threshold is infinity: nothing is called positive.
    """
    if not 0 <= false_positive_rate <= 1:
        raise InputError(f"false_positive_rate={false_positive_rate}: must be from 0 to 1")
    every = _thresholds(gold, probability)
    allowed = [one for one in every if one.false_positive_rate <= false_positive_rate]
    return min(allowed, key=lambda one: one.value) if allowed else None


def _thresholds(gold: ArrayLike, probability: ArrayLike) -> list[Threshold]:
    """Every threshold that makes a difference, from infinity down; [] without both classes."""
    truth, chance = known(gold, probability)
    if not _both(truth):
        return []
    order = np.argsort(-chance, kind="stable")
    chance, truth = chance[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(chance)), len(chance) - 1)
    tp = np.append(0, np.cumsum(truth)[last])
    fp = np.append(0, np.cumsum(~truth)[last])
    positives, negatives = int(truth.sum()), int((~truth).sum())
    return [
        Threshold(
            value=float(value),
            f1=float(2 * hits / (positives + hits + false)),
            precision=float(hits / (hits + false)) if hits + false else None,
            recall=float(hits / positives),
            false_positive_rate=float(false / negatives),
            rows=len(chance),
        )
        for value, hits, false in zip(np.append(np.inf, chance[last]), tp, fp, strict=True)
    ]


def _both(gold: NDArray[np.bool_]) -> bool:
    return bool(gold.any()) and not bool(gold.all())
