"""The scores of a file of stored predictions under the three failure policies."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics import (
    Counts,
    Interval,
    Policy,
    Scores,
    by,
    count,
    intervals,
    label_f1,
    scores,
)
from pipelines.predictions import prompt_key
from pipelines.schema import GuardTask, InputError
from pipelines.stored_predictions import READINGS, benchmark_of, read_predictions


@dataclass(frozen=True)
class Verdicts:
    """A file's verdicts as columns of length N, in file order.

    gold (N,) bool; predicted (N,) int8 of 1, 0, -1; group (N,) int64, the `prompt_key` that rows
    of one prompt share; category (N,) text, as objects. `differs` counts the rows that the other
    reading reads otherwise, None where it was not asked for.
    """

    file: Path
    task: GuardTask
    reading: str
    gold: NDArray[np.bool_]
    predicted: NDArray[np.int8]
    group: NDArray[np.int64]
    category: NDArray[np.object_]
    differs: int | None = None


@dataclass(frozen=True)
class PolicyScores:
    """The scores under one policy; `label_f1` is that of the positive and the negative label."""

    policy: Policy
    scores: Scores
    label_f1: tuple[float | None, float | None]
    intervals: dict[str, Interval | None] | None


@dataclass(frozen=True)
class FileScores:
    """All that is known of a file; `benchmark` is told from its name, None for no benchmark's."""

    file: Path
    task: GuardTask
    reading: str
    benchmark: str | None
    counts: Counts
    groups: int
    policies: dict[Policy, PolicyScores]
    categories: dict[str, Counts]
    differs: int | None


def read_verdicts(path: Path | str, task: GuardTask, reading: str = "authors") -> Verdicts:
    """Reads a file row by row; of each row its verdict stays, not its text.

    With the `template` reading the rows that the authors' rule reads otherwise are counted.
    Raises InputError for an unknown reading, and as `read_predictions` does.
    """
    if reading not in READINGS:
        raise InputError(f"reading={reading}: must be one of {', '.join(READINGS)}")
    positive = task.labels[0]
    gold, predicted, group = array("b"), array("b"), array("q")
    category: list[str] = []
    differs = 0
    for row in read_predictions(path, task):
        label = row.read(task, reading)
        if reading != "authors":
            differs += label != row.read(task)
        gold.append(row.gold == positive)
        predicted.append(-1 if label is None else int(label == positive))
        group.append(prompt_key(row.prompt))
        category.append(row.category)
    return Verdicts(
        file=Path(path),
        task=task,
        reading=reading,
        gold=np.frombuffer(gold, dtype=np.int8).astype(bool),
        predicted=np.frombuffer(predicted, dtype=np.int8).copy(),
        group=np.frombuffer(group, dtype=np.int64).copy(),
        category=np.asarray(category, dtype=object),
        differs=differs if reading != "authors" else None,
    )


def score_verdicts(
    found: Verdicts, *, with_intervals: bool = True, resamples: int = 2000, seed: int = 0
) -> FileScores:
    """The three policies side by side, with bootstrap intervals unless they are not wanted."""
    counts = count(found.gold, found.predicted)
    policies = {}
    for policy in Policy:
        limits = None
        if with_intervals:
            limits = intervals(
                found.gold,
                found.predicted,
                found.group,
                policy,
                task=found.task,
                resamples=resamples,
                seed=seed,
            )
        policies[policy] = PolicyScores(
            policy,
            scores(counts, policy, found.task),
            label_f1(counts, policy, found.task),
            limits,
        )
    named = bool(np.any(found.category != ""))
    return FileScores(
        file=found.file,
        task=found.task,
        reading=found.reading,
        benchmark=benchmark_of(found.file, found.task),
        counts=counts,
        groups=len(np.unique(found.group)),
        policies=policies,
        categories=by(found.category, found.gold, found.predicted) if named else {},
        differs=found.differs,
    )
