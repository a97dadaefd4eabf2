"""Averages of a metric over benchmarks, as in the paper's tables, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.schema import GuardTask
from pipelines.scoring.cells import CELLS, Policy, cells_of, check_metric, metric_values
from pipelines.scoring.edges import edge
from pipelines.scoring.resampling import (
    Floats,
    Interval,
    group_kinds,
    is_flat,
    percentile_interval,
    related,
    resample_together,
)


class Scored(Protocol):
    """What `averages` needs of `evaluations.Columns`."""

    @property
    def task(self) -> GuardTask: ...
    @property
    def gold(self) -> NDArray[np.bool_]: ...
    @property
    def predicted(self) -> NDArray[np.int8]: ...
    @property
    def group(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True)
class Average:
    """A mean over benchmarks: of a task, or of the tasks' averages where `task` is None.

    `value` is None where no benchmark of it has the metric; `left_out` names those without it.
    """

    task: GuardTask | None
    value: float | None
    interval: Interval | None
    rows: int
    benchmarks: tuple[str, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure, the same of each resample (R,), and what it counts in an average.

    `edge` is its interval where resampling can't vary, None where it does. Figures of the same
    prompts have the same `kin`.
    """

    name: str
    task: GuardTask
    value: float
    resampled: Floats
    rows: int
    weight: float
    edge: Interval | None = None
    kin: int | None = None


def averages(
    columns: Mapping[str, Scored],
    policy: Policy = Policy.WRONG_ONCE,
    *,
    metric: str = "f1",
    weights: Mapping[str, float] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Average]:
    """The averages of the paper's tables: one for each task that is there, then the overall.

    A task's average weighs its benchmarks by their rows; the overall is the plain mean of the
    tasks' averages (how arXiv 2501.18492 comes to 84.09 for GuardReasoner-8B). `weights`
    (benchmark -> weight) stand in for the rows, for a sample that is to count as its whole
    benchmark. Groups are resampled, those that benchmarks share for all of them at once. Raises
    InputError for an unknown metric.
    """
    check_metric(metric)
    parts = [(cells_of(one.gold, one.predicted), np.asarray(one.group)) for one in columns.values()]
    tables = resample_together(parts, CELLS, resamples, seed)
    drawn, kin = [], related([group for _, group in parts])
    for n, ((name, one), (cells, group)) in enumerate(zip(columns.items(), parts, strict=True)):
        kinds, often = group_kinds(cells, CELLS, group)
        whole = metric_values((often[:, None] * kinds).sum(0), policy, one.task)
        value, values = float(whole[metric]), metric_values(tables[n], policy, one.task)[metric]
        ends = None
        if value in (0.0, 1.0) or (not np.isnan(value) and is_flat(values, level)):
            ends = edge(metric, value, kinds, often, policy, one.task, level)
        weight = (weights or {}).get(name, float(len(cells)))
        drawn.append(Drawn(name, one.task, value, values, len(cells), weight, ends, kin[n]))
    return averages_of(drawn, level)


def averages_of(drawn: Sequence[Drawn], level: float = 0.95) -> list[Average]:
    """Figures of benchmarks -> their average for each task, then overall; [] for none."""
    found: list[Average] = []
    shares: list[list[tuple[float, Drawn]]] = []
    for task in GuardTask:
        mine = [one for one in drawn if one.task is task]
        if not mine:
            continue
        kept = [one for one in mine if not np.isnan(one.value) and one.weight > 0]
        names = tuple(one.name for one in kept)
        left = tuple(one.name for one in mine if one.name not in names)
        if not kept:
            found.append(Average(task, None, None, 0, (), left))
            continue
        weight = sum(one.weight for one in kept)
        shares.append([(one.weight / weight, one) for one in kept])
        rows = sum(one.rows for one in kept)
        found.append(Average(task, *_mean(shares[-1], level), rows, names, left))
    if found:
        found.append(_overall(found, shares, level))
    return found


def _overall(
    tasks: Sequence[Average], shares: Sequence[Sequence[tuple[float, Drawn]]], level: float
) -> Average:
    rows = sum(one.rows for one in tasks)
    names = tuple(name for one in tasks for name in one.benchmarks)
    left = tuple(name for one in tasks for name in one.left_out)
    if not shares:
        return Average(None, None, None, rows, names, left)
    every = [(share / len(shares), one) for task in shares for share, one in task]
    return Average(None, *_mean(every, level), rows, names, left)


def _mean(parts: Sequence[tuple[float, Drawn]], level: float) -> tuple[float, Interval | None]:
    """The mean of figures with their shares, which sum to 1, and its interval.

    Of those that vary the resamples are averaged. Where some can't vary, their distances to the
    ends of their own intervals are joined with that by the root of the sum of squares, each side
    by itself (the method of variance estimates recovery, Zou and Donner 2008). Distances of
    figures of the same prompts, which may miss together, are summed first.
    """
    value = sum(share * one.value for share, one in parts)
    moving = [(share, one) for share, one in parts if one.edge is None]
    fixed = [(share, one, one.edge) for share, one in parts if one.edge is not None]
    below = above = 0.0
    if moving:
        ends = percentile_interval(np.sum([s * one.resampled for s, one in moving], axis=0), level)
        if ends is None or not fixed:
            return value, ends
        middle = sum(share * one.value for share, one in moving)
        below, above = max(0.0, middle - ends[0]) ** 2, max(0.0, ends[1] - middle) ** 2
    sides: dict[int | str, tuple[float, float]] = {}
    for share, one, (low, high) in fixed:
        key = one.name if one.kin is None else one.kin
        down, up = sides.get(key, (0.0, 0.0))
        sides[key] = down + share * (one.value - low), up + share * (high - one.value)
    below += sum(down**2 for down, _ in sides.values())
    above += sum(up**2 for _, up in sides.values())
    return value, (value - below**0.5, value + above**0.5)
