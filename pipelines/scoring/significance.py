"""Whether one moderator is better than another on the same rows, or whether chance explains it.

Two tests stand side by side, for they ask different things. The paired bootstrap draws whole
groups of rows (one prompt, all its responses), each time the same for both moderators, and gives
an interval of the difference in the metric itself. McNemar's exact test counts the rows that only
one of the two gets right, all rows alike, and asks how often a fair coin would split them so
unevenly; it takes rows for independent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.schema import GuardTask, InputError
from pipelines.scoring.averages import Average, Drawn, Scored, averages_of
from pipelines.scoring.cells import CELLS, Policy, cells_of, check_metric, metric_values
from pipelines.scoring.chance import holm, mcnemar
from pipelines.scoring.edges import edge_of_difference
from pipelines.scoring.resampling import (
    Floats,
    Interval,
    Ints,
    group_kinds,
    is_flat,
    percentile_interval,
    related,
    resample,
    resample_together,
)
from pipelines.scoring.significance_words import in_words

__all__ = [
    "Paired",
    "average_differences",
    "common_rows",
    "compare",
    "compare_columns",
    "holm",
    "in_words",
    "mcnemar",
]

PAIRS = CELLS * CELLS
"""Of a row's cell in A and its cell in B."""


class Rows(Scored, Protocol):
    """What `compare_columns` needs of `evaluations.Columns`."""

    @property
    def row_ids(self) -> NDArray[np.str_]: ...


@dataclass(frozen=True, slots=True)
class Paired:
    """B against A on the same rows; `difference` is B less A, a fraction like the metric.

    `only_a_right` and `only_b_right` are the rows that McNemar's test counts, `p_value` its
    result: how often equally good moderators would split so unevenly, 0 to 1. A row without a
    verdict is wrong there; under the `dropped` policy it is left out. For recall and the
    false-negative rate it looks at positive rows alone, for the false-positive rate at negative
    ones, and for the failure rate at which moderator came to a verdict. `looked_at` is how many
    rows that makes; None stands for all.
    """

    metric: str
    policy: Policy
    a: float | None
    b: float | None
    difference: float | None
    interval: Interval | None
    p_value: float
    only_a_right: int
    only_b_right: int
    rows: int
    groups: int
    level: float = 0.95
    looked_at: int | None = None


def compare(
    gold: ArrayLike,
    predicted_a: ArrayLike,
    predicted_b: ArrayLike,
    group: ArrayLike | None = None,
    metric: str = "f1",
    policy: Policy = Policy.WRONG_ONCE,
    *,
    task: GuardTask | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """Both tests on the same rows: gold (N,) bool, predicted (N,) of 1, 0, -1, group (N,).

    Raises InputError for an unknown metric, or where the lengths differ.
    """
    check_metric(metric)
    truth = np.asarray(gold, dtype=bool)
    first, second = np.asarray(predicted_a), np.asarray(predicted_b)
    cells = cells_of(truth, first) * CELLS + cells_of(truth, second)
    kinds, often = group_kinds(cells, PAIRS, None if group is None else np.asarray(group))
    drawn = resample(kinds, often, resamples, seed)
    a, b, values, edge = _differences(kinds, often, drawn, metric, policy, task, level)
    only_a, only_b, looked_at = _told_apart(truth, first, second, metric, policy)
    known = not np.isnan(b - a)
    return Paired(
        metric=metric,
        policy=policy,
        a=None if np.isnan(a) else a,
        b=None if np.isnan(b) else b,
        difference=b - a if known else None,
        interval=(edge or percentile_interval(values, level)) if known else None,
        p_value=mcnemar(only_a, only_b),
        only_a_right=only_a,
        only_b_right=only_b,
        rows=len(truth),
        groups=int(often.sum()),
        level=level,
        looked_at=looked_at,
    )


def _differences(
    kinds: Ints,
    often: Ints,
    drawn: Ints,
    metric: str,
    policy: Policy,
    task: GuardTask | None,
    level: float,
) -> tuple[float, float, Floats, Interval | None]:
    """kinds (K, 36) with groups of each (K,), drawn (R, 36): a row is in A's cell * 6 + B's.

    -> A's and B's metric, NaN where undefined, B less A in each resample (R,), and the interval
    where those don't vary, None where they do.
    """

    def of_both(tables: Ints) -> tuple[Floats, Floats]:
        a, b = (metric_values(one, policy, task)[metric] for one in _apart(tables))
        return a, b

    a, b = map(float, of_both((often[:, None] * kinds).sum(0)))
    drawn_a, drawn_b = of_both(drawn)
    values = drawn_b - drawn_a
    edge = None
    if not np.isnan(b - a) and is_flat(values, level):
        first, second = _apart(kinds)
        both = first + second
        edge = edge_of_difference(metric, a, b, both, often, policy, task, level)
    return a, b, values, edge


def _apart(tables: Ints) -> tuple[Ints, Ints]:
    """Counts of pairs of cells (..., 36) -> those of A's cells and of B's (..., 6)."""
    square = tables.reshape(*tables.shape[:-1], CELLS, CELLS)
    return square.sum(-1), square.sum(-2)


def _told_apart(
    gold: NDArray[np.bool_],
    first: NDArray[np.int8],
    second: NDArray[np.int8],
    metric: str,
    policy: Policy,
) -> tuple[int, int, int]:
    """The rows that only A gets right, those that only B does, and those that were looked at."""
    looked_at = np.ones(len(gold), dtype=bool)
    if metric in ("recall", "false_negative_rate"):
        looked_at = gold
    elif metric == "false_positive_rate":
        looked_at = ~gold
    right_a, right_b = first == gold, second == gold
    if metric == "failure_rate":
        right_a, right_b = first != -1, second != -1
    elif policy is Policy.DROPPED:
        looked_at = looked_at & (first != -1) & (second != -1)
    only_a, only_b = looked_at & right_a & ~right_b, looked_at & right_b & ~right_a
    return int(only_a.sum()), int(only_b.sum()), int(looked_at.sum())


def common_rows(
    a: Rows, b: Rows, row_ids: Collection[str] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the rows that both have (and that are asked for) stand in A and in B, alike ordered.

    Raises InputError where an id is there twice, or where the two differ in task or gold label.
    """
    for one, name in ((a, "A"), (b, "B")):
        if len(np.unique(one.row_ids)) != len(one.row_ids):
            raise InputError(f"row_ids: {name} has a row more than once")
    _, in_a, in_b = np.intersect1d(a.row_ids, b.row_ids, assume_unique=True, return_indices=True)
    if row_ids is not None:
        # Not `np.isin`, which compares every pair where ids are objects.
        wanted = frozenset(row_ids)
        asked = np.array([row in wanted for row in np.asarray(a.row_ids)[in_a].tolist()], bool)
        in_a, in_b = in_a[asked], in_b[asked]
    order = np.argsort(in_a, kind="stable")
    in_a, in_b = in_a[order], in_b[order]
    if a.task is not b.task:
        raise InputError(f"task={b.task}: must be {a.task}, as of the other")
    other = np.flatnonzero(a.gold[in_a] != b.gold[in_b])
    if len(other):
        row = a.row_ids[in_a[other[0]]]
        raise InputError(f"row={row}: the two have different gold labels ({len(other)} such rows)")
    return in_a, in_b


def compare_columns(
    a: Rows,
    b: Rows,
    *,
    row_ids: Collection[str] | None = None,
    metric: str = "f1",
    policy: Policy = Policy.WRONG_ONCE,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """`compare` on the rows that both evaluations of a benchmark have.

    With `row_ids` on those alone: with the hard samples' ids, `metric="accuracy"` and the
    evaluations before and after HS-DPO it is the hard-sample accuracy on the same samples.
    Raises InputError where no row is left, and as `common_rows` does.
    """
    in_a, in_b = common_rows(a, b, row_ids)
    if not len(in_a):
        raise InputError(f"rows: the two have none {'of those ' if row_ids else ''}in common")
    return compare(
        a.gold[in_a],
        a.predicted[in_a],
        b.predicted[in_b],
        a.group[in_a],
        metric,
        policy,
        task=a.task,
        resamples=resamples,
        seed=seed,
        level=level,
    )


def average_differences(
    a: Mapping[str, Rows],
    b: Mapping[str, Rows],
    policy: Policy = Policy.WRONG_ONCE,
    *,
    metric: str = "f1",
    weights: Mapping[str, float] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Average]:
    """`averages` of the differences (B less A), on the benchmarks and rows that both have.

    The intervals are of paired resamples, so they are narrower than the averages' own suggest.
    """
    check_metric(metric)
    taken: list[tuple[str, Ints, Ints]] = []
    for name in (name for name in a if name in b):
        in_a, in_b = common_rows(a[name], b[name])
        if not len(in_a):
            continue
        gold = a[name].gold[in_a]
        cells = cells_of(gold, a[name].predicted[in_a]) * CELLS
        cells = cells + cells_of(gold, b[name].predicted[in_b])
        taken.append((name, cells, np.asarray(a[name].group)[in_a]))
    tables = resample_together([one[1:] for one in taken], PAIRS, resamples, seed)
    drawn, kin = [], related([group for _, _, group in taken])
    for (name, cells, group), table, same in zip(taken, tables, kin, strict=True):
        task, (kinds, often) = a[name].task, group_kinds(cells, PAIRS, group)
        first, second, values, edge = _differences(kinds, often, table, metric, policy, task, level)
        weight = (weights or {}).get(name, float(len(cells)))
        drawn.append(Drawn(name, task, second - first, values, len(cells), weight, edge, same))
    return averages_of(drawn, level)
