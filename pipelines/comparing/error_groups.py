"""Where a moderator is wrong: error rates by category, length and source, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.comparing.measuring import Mark, columns_of, counted, mark_of
from pipelines.evaluations import Columns, Evaluation
from pipelines.metrics import intervals, scores
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.cells import Counts, Policy, count
from pipelines.scoring.resampling import Interval

WAYS = {"category": "Category", "length": "Length in characters", "source": "Source"}
LENGTHS = (200, 500, 1_000, 2_000, 4_000)
"""The ends of the length buckets, in characters of prompt and response."""
UNNAMED = "not given"


@dataclass(frozen=True, slots=True)
class Group:
    """Some rows of an evaluation: how often it is wrong there. Fractions; `error_rate` is None
    where the policy leaves no row. `counts` are of the rows' own gold labels."""

    name: str
    counts: Counts
    error_rate: float | None
    interval: Interval | None

    @property
    def rows(self) -> int:
        return self.counts.rows


def error_groups(
    evaluation: Evaluation,
    way: str,
    policy: Policy = Policy.WRONG_ONCE,
    benchmark: str | None = None,
) -> tuple[Group, ...]:
    """The groups of one of `WAYS`, of one benchmark or of all that count: lengths in rising order,
    the others by rows. Empty where no row tells (no categories). Raises InputError for another
    way."""
    if way not in WAYS:
        raise InputError(f"way={way}: must be one of {', '.join(WAYS)}")
    return _groups(mark_of(evaluation.folder), way, policy, benchmark)


@lru_cache(maxsize=512)
def _groups(mark: Mark, way: str, policy: Policy, benchmark: str | None) -> tuple[Group, ...]:
    every = columns_of(mark)
    parts = list(counted(every).values())
    if benchmark is not None:
        parts = [every[benchmark]] if benchmark in every else []
    if not parts:
        return ()
    names = np.concatenate([_names(one, way) for one in parts])
    if way != "length" and not any(names):
        return ()
    gold = np.concatenate([one.gold for one in parts])
    said = np.concatenate([one.predicted for one in parts])
    group = np.concatenate([one.group for one in parts])
    refusal = np.concatenate([np.full(len(one), one.task is GuardTask.REFUSAL) for one in parts])
    found = []
    for name in np.unique(names):
        rows = names == name
        values = (gold[rows], said[rows], group[rows], refusal[rows])
        found.append(_group(str(name) or UNNAMED, *values, policy))
    if way == "length":
        order = length_names()
        return tuple(sorted(found, key=lambda one: order.index(one.name)))
    return tuple(sorted(found, key=lambda one: (one.name == UNNAMED, -one.rows, one.name)))


def _group(
    name: str,
    gold: NDArray[np.bool_],
    said: NDArray[np.int8],
    group: NDArray[np.int64],
    refusal: NDArray[np.bool_],
    policy: Policy,
) -> Group:
    counts = count(gold, said)
    # A group may hold rows of several tasks. On refusal rows the `authors` policy counts a failure
    # twice whatever the label, elsewhere on negative rows alone; accuracy asks no more of a label.
    label = gold & ~(refusal & (said == -1))
    right = scores(count(label, said), policy).accuracy
    if right is None:
        return Group(name, counts, None, None)
    ends = intervals(label, said, group, policy)["accuracy"]
    return Group(name, counts, 1 - right, None if ends is None else (1 - ends[1], 1 - ends[0]))


def _names(columns: Columns, way: str) -> NDArray[np.str_]:
    if way == "length":
        return np.asarray(length_names())[np.searchsorted(LENGTHS, columns.length, side="right")]
    return columns.category if way == "category" else columns.source


def length_names() -> list[str]:
    """The buckets in words: `under 200`, `200 to 499`, `4,000 and more`."""
    between = [f"{low:,} to {high - 1:,}" for low, high in pairwise(LENGTHS)]
    return [f"under {LENGTHS[0]:,}", *between, f"{LENGTHS[-1]:,} and more"]


def named(ways: Iterable[tuple[Group, ...]]) -> list[str]:
    """The names of the groups of several evaluations, each once, in the order of the first."""
    return list(dict.fromkeys(one.name for groups in ways for one in groups))
