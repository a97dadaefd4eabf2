"""Scores of verdicts against gold labels, under three policies for rows without a verdict.

`gold` (N,) is bool, True for the positive class (`harmful`, and `refusal` for the refusal task);
`predicted` (N,) is 1 for positive, 0 for negative, -1 for no verdict. Scores are fractions,
0 to 1; None is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipelines.schema import GuardTask, InputError
from pipelines.scoring.averages import Average, averages
from pipelines.scoring.cells import (
    CELLS,
    METRICS,
    Counts,
    Policy,
    cells_of,
    count,
    effective,
    metric_values,
)
from pipelines.scoring.edges import edge
from pipelines.scoring.resampling import (
    Interval,
    group_kinds,
    is_flat,
    percentile_interval,
    resample,
)

__all__ = [
    "METRICS",
    "Average",
    "Counts",
    "Interval",
    "Policy",
    "Scores",
    "Spent",
    "averages",
    "by",
    "count",
    "intervals",
    "label_f1",
    "scores",
    "spent",
]


@dataclass(frozen=True, slots=True)
class Scores:
    """Fractions; None where undefined.

    F1 and recall need a positive row, the false-positive rate a negative one, precision a
    positive verdict; F1 without positive rows would be 0 whatever the verdicts, so it is None.
    `rows` are all rows, failures among them.
    """

    f1: float | None
    precision: float | None
    recall: float | None
    accuracy: float | None
    balanced_accuracy: float | None
    false_positive_rate: float | None
    false_negative_rate: float | None
    failure_rate: float
    rows: int


def scores(
    counts: Counts, policy: Policy = Policy.WRONG_ONCE, task: GuardTask | None = None
) -> Scores:
    """The scores of these counts; `task` matters to the `authors` policy alone."""
    found = metric_values(np.array(counts.cells()), policy, task)
    values = {name: None if np.isnan(value) else float(value) for name, value in found.items()}
    rate = values.pop("failure_rate")
    return Scores(**values, failure_rate=rate or 0.0, rows=counts.rows)


def label_f1(
    counts: Counts, policy: Policy = Policy.WRONG_ONCE, task: GuardTask | None = None
) -> tuple[float | None, float | None]:
    """F1 of the positive label and F1 of the negative one, each None without rows of it."""
    tp, fp, fn, tn = (float(v) for v in effective(np.array(counts.cells()), policy, task))
    positive = 2 * tp / (2 * tp + fp + fn) if tp + fn else None
    negative = 2 * tn / (2 * tn + fp + fn) if tn + fp else None
    return positive, negative


def by(values: ArrayLike, gold: ArrayLike, predicted: ArrayLike) -> dict[str, Counts]:
    """Counts of the rows of each value (a category, a source), the most frequent first.

    values (N,) of text, "" where a row has none. Give each of them to `scores`.
    """
    # As objects: a fixed width would give every row the room of the longest text.
    names, number = np.unique(np.asarray(values).astype(object), return_inverse=True)
    cells = cells_of(gold, predicted)
    if number.shape != cells.shape:
        raise InputError(f"values={number.shape}: must be one for each of the {cells.shape} rows")
    table = np.bincount(number * CELLS + cells, minlength=len(names) * CELLS)
    rows = {
        str(name): Counts(*map(int, line))
        for name, line in zip(names, table.reshape(-1, CELLS), strict=True)
    }
    return dict(sorted(rows.items(), key=lambda item: (-item[1].rows, item[0])))


def intervals(
    gold: ArrayLike,
    predicted: ArrayLike,
    group: ArrayLike | None = None,
    policy: Policy = Policy.WRONG_ONCE,
    *,
    task: GuardTask | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval | None]:
    """Each metric's interval: the percentiles of a cluster bootstrap over `group` (N,).

    Where every group agrees (no error at all, or nothing but errors, or one group alone)
    resampling can't vary and would claim certainty; there Wilson's interval stands in, with a
    group as one trial. None
    where the metric is undefined, or is so in more than 5% of the resamples.
    """
    numbers = None if group is None else np.asarray(group)
    kinds, often = group_kinds(cells_of(gold, predicted), CELLS, numbers)
    drawn = metric_values(resample(kinds, often, resamples, seed), policy, task)
    whole = metric_values((often[:, None] * kinds).sum(0), policy, task)
    found: dict[str, Interval | None] = {}
    for name in METRICS:
        value = float(whole[name])
        if np.isnan(value):
            found[name] = None
        elif value in (0.0, 1.0) or is_flat(drawn[name], level):
            found[name] = edge(name, value, kinds, often, policy, task, level)
        else:
            found[name] = percentile_interval(drawn[name], level)
    return found


@dataclass(frozen=True, slots=True)
class Spent:
    """What verdicts took, in seconds or tokens: 50 of 100 took at most `p50`."""

    mean: float
    p50: float
    p95: float
    total: float
    rows: int


def spent(values: ArrayLike) -> Spent | None:
    """values (N,), 0 or NaN where it was not recorded -> their summary; None without any."""
    known = np.asarray(values, dtype=np.float64)
    known = known[known > 0]
    if not len(known):
        return None
    p50, p95 = np.quantile(known, [0.5, 0.95])
    return Spent(float(known.mean()), float(p50), float(p95), float(known.sum()), len(known))
