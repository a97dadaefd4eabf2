"""Two evaluations side by side: paired tests on each benchmark and over all, and the rows on which
the two disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.comparing.measuring import Mark, columns_of, mark_of, opened, weights_of
from pipelines.evaluations import Columns, Evaluation
from pipelines.gates import is_hard
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.averages import averages
from pipelines.scoring.cells import Policy
from pipelines.scoring.significance import (
    Paired,
    average_differences,
    common_rows,
    compare_columns,
    holm,
    mcnemar,
)

KINDS: Mapping[str, str] = {
    "a_right": "A right, B wrong",
    "b_right": "B right, A wrong",
    "both_wrong": "Both wrong",
    "failures": "No verdict",
}
"""The kinds of rows to look at; a row without a verdict is also a wrong one."""


@dataclass(frozen=True, slots=True)
class Test:
    """The tests of one benchmark; `adjusted` is McNemar's p-value, held against all (Holm)."""

    benchmark: str
    task: GuardTask
    paired: Paired
    adjusted: float


@dataclass(frozen=True)
class Pairing:
    """Two evaluations against each other. `overall` joins the benchmarks: the mean of the tasks'
    averages, and McNemar's test on all rows; None where there is but one that counts. `faults` are
    sentences on benchmarks that can't be paired, `apart` names those that only one of them has."""

    tests: tuple[Test, ...]
    overall: Paired | None
    faults: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Both:
    """A row of a benchmark as both evaluations saw it: its place in either file, and in numbers
    what `Columns` has of it."""

    benchmark: str
    task: GuardTask
    row_id: str
    place_a: int
    place_b: int
    gold: bool
    said_a: int
    said_b: int
    length: int
    category: str
    source: str


def pair(a: Evaluation, b: Evaluation, metric: str, policy: Policy = Policy.WRONG_ONCE) -> Pairing:
    """The tests of B against A on the rows that both were asked; remembered, as `measured` is."""
    return _pair(mark_of(a.folder), mark_of(b.folder), metric, policy)


@lru_cache(maxsize=128)
def _pair(mark_a: Mark, mark_b: Mark, metric: str, policy: Policy) -> Pairing:
    a, b = columns_of(mark_a), columns_of(mark_b)
    found: list[tuple[str, Paired]] = []
    faults = []
    for name in (name for name in a if name in b):
        try:
            told = compare_columns(a[name], b[name], metric=metric, policy=policy)
        except InputError as error:
            faults.append(f"{name}: {error}")
        else:
            found.append((name, told))
    adjusted = holm([told.p_value for _, told in found])
    tests = tuple(
        Test(name, a[name].task, told, p) for (name, told), p in zip(found, adjusted, strict=True)
    )
    counting = [one for one in tests if not is_hard(one.benchmark)]
    weights = weights_of(opened(mark_a[0]).info)
    overall = _overall(a, b, counting, metric, policy, weights) if len(counting) > 1 else None
    return Pairing(tests, overall, tuple(faults), tuple(sorted(a.keys() ^ b.keys())))


@dataclass(frozen=True, slots=True)
class _Cut:
    """What `averages` needs of columns, of some rows alone."""

    task: GuardTask
    gold: NDArray[np.bool_]
    predicted: NDArray[np.int8]
    group: NDArray[np.int64]


def _cut(columns: Columns, rows: NDArray[np.int64]) -> _Cut:
    return _Cut(columns.task, columns.gold[rows], columns.predicted[rows], columns.group[rows])


def _overall(
    a: Mapping[str, Columns],
    b: Mapping[str, Columns],
    tests: Sequence[Test],
    metric: str,
    policy: Policy,
    weights: Mapping[str, float],
) -> Paired:
    """All benchmarks together, on the rows that both have, each of its whole weight."""
    names = [one.benchmark for one in tests]
    rows = {name: common_rows(a[name], b[name]) for name in names}
    kept_a = {name: _cut(a[name], rows[name][0]) for name in names}
    kept_b = {name: _cut(b[name], rows[name][1]) for name in names}
    value_a, value_b = (
        averages(kept, policy, metric=metric, weights=weights)[-1].value
        for kept in (kept_a, kept_b)
    )
    told = average_differences(
        {name: a[name] for name in names},
        {name: b[name] for name in names},
        policy,
        metric=metric,
        weights=weights,
    )[-1]
    only_a = sum(one.paired.only_a_right for one in tests)
    only_b = sum(one.paired.only_b_right for one in tests)
    return Paired(
        metric=metric,
        policy=policy,
        a=value_a,
        b=value_b,
        difference=told.value,
        interval=told.interval,
        p_value=mcnemar(only_a, only_b),
        only_a_right=only_a,
        only_b_right=only_b,
        rows=sum(one.paired.rows for one in tests),
        groups=sum(one.paired.groups for one in tests),
        looked_at=sum(
            one.paired.rows if one.paired.looked_at is None else one.paired.looked_at
            for one in tests
        ),
    )


# Rows to look at


@dataclass(frozen=True)
class _Aligned:
    """The rows of a benchmark that both have, by their positions in either's columns (N,)."""

    a: Columns
    b: Columns
    in_a: NDArray[np.int64]
    in_b: NDArray[np.int64]

    def of_kind(self, kind: str) -> NDArray[np.int64]:
        """Which of them are of one of `KINDS`."""
        gold = self.a.gold[self.in_a]
        said_a, said_b = self.a.predicted[self.in_a], self.b.predicted[self.in_b]
        right_a, right_b = said_a == gold, said_b == gold
        chosen = {
            "a_right": right_a & ~right_b,
            "b_right": right_b & ~right_a,
            "both_wrong": ~right_a & ~right_b,
            "failures": (said_a == -1) | (said_b == -1),
        }[kind]
        return np.flatnonzero(chosen)

    def row(self, number: int) -> Both:
        one, other = int(self.in_a[number]), int(self.in_b[number])
        a, b = self.a, self.b
        return Both(
            benchmark=a.benchmark,
            task=a.task,
            row_id=str(a.row_ids[one]),
            place_a=int(a.place[one]),
            place_b=int(b.place[other]),
            gold=bool(a.gold[one]),
            said_a=int(a.predicted[one]),
            said_b=int(b.predicted[other]),
            length=int(a.length[one]),
            category=str(a.category[one]),
            source=str(a.source[one]),
        )


@lru_cache(maxsize=64)
def _aligned(mark_a: Mark, mark_b: Mark) -> tuple[_Aligned, ...]:
    a, b = columns_of(mark_a), columns_of(mark_b)
    found = []
    for name in (name for name in a if name in b):
        try:
            found.append(_Aligned(a[name], b[name], *common_rows(a[name], b[name])))
        except InputError:  # `pair` tells of it
            continue
    return tuple(found)


def rows_of(
    a: Evaluation, b: Evaluation, kind: str, benchmark: str | None = None
) -> Sequence[tuple[str, int]]:
    """(benchmark, number) of each row of a kind, for `both`; in the order of A's file.

    Raises InputError for an unknown kind.
    """
    if kind not in KINDS:
        raise InputError(f"kind={kind}: must be one of {', '.join(KINDS)}")
    return [
        (part.a.benchmark, int(number))
        for part in _aligned(mark_of(a.folder), mark_of(b.folder))
        if benchmark in (None, part.a.benchmark)
        for number in part.of_kind(kind)
    ]


def count_kinds(a: Evaluation, b: Evaluation, benchmark: str | None = None) -> dict[str, int]:
    """How many rows there are of each of `KINDS`."""
    return {kind: len(rows_of(a, b, kind, benchmark)) for kind in KINDS}


def both(a: Evaluation, b: Evaluation, benchmark: str, number: int) -> Both:
    """One row as both saw it. Raises InputError where there is none of that number."""
    for part in _aligned(mark_of(a.folder), mark_of(b.folder)):
        if part.a.benchmark == benchmark and 0 <= number < len(part.in_a):
            return part.row(number)
    raise InputError(f"row={benchmark}:{number}: the two have no such row in common")
