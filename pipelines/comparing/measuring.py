"""What each evaluation scores, counted once and kept: what tables, charts and reports are made of.

An evaluation never changes once it is written, so what was counted is kept by its folder and the
moment at which it was finished.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pipelines.evaluations import INFO, Columns, Evaluation, EvaluationInfo, read_evaluation
from pipelines.gates import is_hard
from pipelines.metrics import Scores, Spent, intervals, scores, spent
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.averages import Average, averages
from pipelines.scoring.cells import Counts, Policy, count
from pipelines.scoring.resampling import Interval

KEPT = 64
CONSTANT = {"always-harmful": 1, "never-harmful": 0}
"""The baselines that need no text, and what each says of every row."""

Mark = tuple[str, int]
"""An evaluation's folder, and when it was finished, in nanoseconds."""


@dataclass(frozen=True)
class Measured:
    """One benchmark of one evaluation: its counts, its scores and their 95% intervals.

    `drawn` is a mark of which rows were looked at: two evaluations with the same mark were asked
    the same rows with the same gold labels.
    """

    benchmark: str
    task: GuardTask
    counts: Counts
    scores: Scores
    intervals: Mapping[str, Interval | None]
    drawn: str

    @property
    def one_sided(self) -> str:
        """`positive` or `negative` where all rows have the same gold label, else empty."""
        if self.counts.positives == self.counts.rows:
            return "positive"
        return "" if self.counts.positives else "negative"

    def value(self, metric: str) -> float | None:
        """A metric by its name in `METRIC_WORDS`."""
        scores = self.scores
        return {
            "f1": scores.f1,
            "precision": scores.precision,
            "recall": scores.recall,
            "accuracy": scores.accuracy,
            "balanced_accuracy": scores.balanced_accuracy,
            "false_positive_rate": scores.false_positive_rate,
            "false_negative_rate": scores.false_negative_rate,
        }[metric]


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """The false-positive rate over all negative rows of a task; None where it has none."""

    rate: float | None
    interval: Interval | None
    rows: int


@dataclass(frozen=True)
class Scored:
    """All benchmarks of one evaluation under one policy, the averages of one metric, and each
    task's false-positive rate."""

    benchmarks: Mapping[str, Measured]
    averages: tuple[Average, ...]
    false_alarms: Mapping[GuardTask, FalseAlarms]

    def average(self, task: GuardTask | None) -> Average | None:
        """That of a task, or that of the tasks; None where there is none."""
        return next((one for one in self.averages if one.task == task), None)


def measured(
    evaluation: Evaluation, policy: Policy = Policy.WRONG_ONCE, metric: str = "f1"
) -> Scored:
    """The scores of an evaluation; the second time they are remembered.

    Raises InputError or DataError where the evaluation is gone or broken.
    """
    mark = mark_of(evaluation.folder)
    return Scored(
        _benchmarks(mark, policy), _averages(mark, policy, metric), _false_alarms(mark, policy)
    )


def opened(folder: str | Path) -> Evaluation:
    """The evaluation of a folder, with its columns kept once they are read."""
    return _opened(mark_of(Path(folder)))


def constant(
    evaluations: Sequence[Evaluation],
    name: str,
    policy: Policy = Policy.WRONG_ONCE,
    metric: str = "f1",
) -> Scored:
    """What a baseline that says the same of every row scores, for each benchmark on the rows of
    the evaluation that has the most. Raises InputError for a name that is not in `CONSTANT`."""
    if name not in CONSTANT:
        raise InputError(f"baseline={name}: must be one of {', '.join(CONSTANT)}")
    return _constant(tuple(mark_of(one.folder) for one in evaluations), name, policy, metric)


def spending(evaluation: Evaluation) -> tuple[Spent | None, Spent | None]:
    """Tokens and seconds of a verdict, over all benchmarks; None where they weren't recorded."""
    return _spending(mark_of(evaluation.folder))


def mark_of(folder: Path) -> Mark:
    """What an evaluation's numbers are kept by."""
    try:
        return str(folder), (folder / INFO).stat().st_mtime_ns
    except OSError:
        return str(folder), 0  # reading it says what is wrong


@lru_cache(maxsize=KEPT)
def _opened(mark: Mark) -> Evaluation:
    return read_evaluation(mark[0])


@lru_cache(maxsize=3 * KEPT)
def _benchmarks(mark: Mark, policy: Policy) -> Mapping[str, Measured]:
    return {name: _measure(one, policy) for name, one in columns_of(mark).items()}


@lru_cache(maxsize=8 * KEPT)
def _averages(mark: Mark, policy: Policy, metric: str) -> tuple[Average, ...]:
    weights = weights_of(_opened(mark).info)
    return tuple(averages(counted(columns_of(mark)), policy, metric=metric, weights=weights))


@lru_cache(maxsize=3 * KEPT)
def _false_alarms(mark: Mark, policy: Policy) -> Mapping[GuardTask, FalseAlarms]:
    return _pooled(counted(columns_of(mark)).values(), policy)


def _pooled(columns: Iterable[Columns], policy: Policy) -> Mapping[GuardTask, FalseAlarms]:
    """Each task's rows of all benchmarks together."""
    import numpy as np

    by_task: dict[GuardTask, list[Columns]] = {}
    for one in columns:
        by_task.setdefault(one.task, []).append(one)
    found = {}
    for task, parts in by_task.items():
        gold = np.concatenate([one.gold for one in parts])
        negative = ~gold
        said = np.concatenate([one.predicted for one in parts])[negative]
        group = np.concatenate([one.group for one in parts])[negative]
        rate = scores(count(gold[negative], said), policy, task).false_positive_rate
        ends = intervals(gold[negative], said, group, policy, task=task)
        rows = int(negative.sum())
        found[task] = FalseAlarms(rate, ends["false_positive_rate"] if rows else None, rows)
    return found


@lru_cache(maxsize=3 * KEPT)
def _spending(mark: Mark) -> tuple[Spent | None, Spent | None]:
    import numpy as np

    parts = list(columns_of(mark).values())
    if not parts:
        return None, None
    tokens = spent(np.concatenate([one.tokens for one in parts]))
    return tokens, spent(np.concatenate([one.seconds for one in parts]))


@lru_cache(maxsize=KEPT)
def _constant(marks: tuple[Mark, ...], name: str, policy: Policy, metric: str) -> Scored:
    most: dict[str, Columns] = {}
    weights: dict[str, float] = {}
    for mark in marks:
        whole = weights_of(_opened(mark).info)
        for benchmark, one in columns_of(mark).items():
            if benchmark not in most or len(one) > len(most[benchmark]):
                most[benchmark], weights[benchmark] = one, whole[benchmark]
    said = {benchmark: _saying(one, CONSTANT[name]) for benchmark, one in most.items()}
    return Scored(
        {benchmark: _measure(one, policy) for benchmark, one in said.items()},
        tuple(averages(counted(said), policy, metric=metric, weights=weights)),
        _pooled(counted(said).values(), policy),
    )


def columns_of(mark: Mark) -> dict[str, Columns]:
    """Benchmark -> columns, of those that have rows: one without any scores nothing."""
    return {name: one for name, one in _opened(mark).columns().items() if len(one)}


def weights_of(info: EvaluationInfo) -> dict[str, float]:
    """Benchmark -> the rows that it has as a whole, which it weighs in averages.

    So a stratified sample has the averages that the whole benchmarks would have: in a sample of so
    many rows each, a small benchmark would weigh as much as a large one.
    """
    return {one.name: float(max(one.rows, one.of_rows)) for one in info.benchmarks}


def counted(columns: Mapping[str, Columns]) -> dict[str, Columns]:
    """Those that count among all benchmarks: hard samples, which are training rows, don't."""
    return {name: one for name, one in columns.items() if not is_hard(name)}


def _saying(columns: Columns, verdict: int) -> Columns:
    """The same rows with the same verdict everywhere."""
    import numpy as np

    return replace(
        columns,
        predicted=np.full(len(columns), verdict, dtype=np.int8),
        probability=np.full(len(columns), np.nan),
    )


def _measure(columns: Columns, policy: Policy) -> Measured:
    counts = count(columns.gold, columns.predicted)
    return Measured(
        benchmark=columns.benchmark,
        task=columns.task,
        counts=counts,
        scores=scores(counts, policy, columns.task),
        intervals=intervals(
            columns.gold, columns.predicted, columns.group, policy, task=columns.task
        ),
        drawn=drawn(columns),
    )


def drawn(columns: Columns) -> str:
    """A mark of which rows these are, in any order, with their gold labels."""
    rows = sorted(zip(columns.row_ids.tolist(), columns.gold.tolist(), strict=True))
    return hashlib.blake2b(repr(rows).encode(), digest_size=8).hexdigest()
