"""Counting hard samples: how many match, histogram, facets, and the balance of labels and lengths.

All is told from one grouped reading of an index that holds no text: a hundred thousand samples
make some hundred cells, which are then counted here. Within one reading transaction that is done
once, so that a page may ask for everything in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import HardSampleRow
from db.sample_filters import FLAGS, SampleFilter, range_conditions
from db.session import WRITES

FACETS = ("task", "source", "model", "direction", "review", "flag")


class Cell(NamedTuple):
    """Samples that are alike in all that facets tell apart; `chosen` and `rejected` are the sums
    of those texts' lengths."""

    job_id: int
    hardness: str
    task: str
    source: str
    model: str
    direction: str
    review: str
    human_edited: bool
    duplicate: bool
    near_equal: bool
    length_gap: bool
    unparsed: int
    k_incorrect: int
    size: int
    chosen: int
    rejected: int

    @property
    def reviews(self) -> list[str]:
        return [self.review, "edited"] if self.human_edited else [self.review]

    @property
    def flags(self) -> list[str]:
        has = (self.hardness == "all_wrong", self.duplicate, self.near_equal, self.length_gap)
        return [flag for flag, on in zip(FLAGS, has, strict=True) if on]

    @property
    def gold(self) -> str:
        """The gold label of its task: a miss says it was the positive one."""
        labels = ("refusal", "compliance") if self.task == "refusal" else ("harmful", "unharmful")
        return {"miss": labels[0], "false_alarm": labels[1]}.get(self.direction, "")


GROUPED = tuple(getattr(HardSampleRow, name) for name in Cell._fields[:-3])


@dataclass(frozen=True, slots=True)
class Mix:
    """What a set of pairs is made of; lengths are means in characters, 0 where it is empty."""

    pairs: int = 0
    labels: dict[tuple[str, str], int] = field(default_factory=dict)  # (task, gold label) -> pairs
    mean_chosen: float = 0.0
    mean_rejected: float = 0.0


@dataclass(frozen=True, slots=True)
class Balance:
    """What training would see of a job: its accepted pairs alone, or all that aren't dropped;
    now, and if all that match the filter were accepted."""

    accepted: Mix
    kept: Mix
    accepted_then: Mix
    kept_then: Mix


def count_samples(session: Session, f: SampleFilter) -> int:
    """How many samples match."""
    return sum(cell.size for cell in _cells(session, f) if not _misses(cell, f))


def wrong_histogram(session: Session, f: SampleFilter) -> dict[int, int]:
    """Wrong answers of the k -> samples with so many; `f.wrong` itself narrows nothing here."""
    counts: Counter[int] = Counter()
    for cell in _cells(session, f):
        if _misses(cell, f) <= {"wrong"}:
            counts[cell.k_incorrect] += cell.size
    return dict(sorted(counts.items()))


def facet_counts(session: Session, f: SampleFilter) -> dict[str, dict[str, int]]:
    """task, source, model, direction, review, flag -> value -> samples that would match with it.

    A facet's own filter is ignored in its counts. A sample may have several flags; one that a
    person edited counts as `edited` and as what its review is.
    """
    facets: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    flagged = {flag: replace(f, flag=flag) for flag in FLAGS}
    for cell in _cells(session, f):
        misses = _misses(cell, f)
        own_value = (cell.task, cell.source, cell.model, cell.direction)
        for name, value in zip(FACETS[:4], own_value, strict=True):
            if misses <= {name}:
                facets[name][value] += cell.size
        if misses <= {"review"}:
            facets["review"].update(dict.fromkeys(cell.reviews, cell.size))
        for flag in cell.flags:
            if not _misses(cell, flagged[flag]):
                facets["flag"][flag] += cell.size
    return {name: dict(sorted(counts.items())) for name, counts in facets.items()}


def _misses(cell: Cell, f: SampleFilter) -> set[str]:
    """The filters that a cell does not meet, of those that `range_conditions` leaves out."""
    failures = {"clean": cell.unparsed == 0, "failures": cell.unparsed > 0}
    met = {
        "hardness": not f.hardness or f.flag == "label_suspect" or cell.hardness == f.hardness,
        "task": not f.task or cell.task == f.task,
        "source": not f.source or cell.source == f.source,
        "model": not f.model or cell.model == f.model,
        "direction": not f.direction or cell.direction == f.direction,
        "review": not f.review or f.review in cell.reviews,
        "flag": not f.flag or f.flag in cell.flags,
        "parse": not f.parse or failures.get(f.parse, False),
        "wrong": f.wrong is None or cell.k_incorrect == f.wrong,
    }
    return {name for name, yes in met.items() if not yes}


def _cells(session: Session, f: SampleFilter) -> list[Cell]:
    """The samples in range, grouped by all that facets tell apart."""
    key = ("cells", f.job_id, f.min_length, f.max_length, f.min_weight, f.max_weight, f.text)
    # What a reading transaction sees doesn't change under it; a writing one changes it itself.
    writes = session.get_bind().get_execution_options().get(WRITES)
    if not writes and key in session.info:
        return cast(list[Cell], session.info[key])
    query = select(
        *GROUPED,
        func.count(),
        func.sum(HardSampleRow.chosen_length),
        func.sum(HardSampleRow.rejected_length),
    )
    query = query.where(*range_conditions(session, f)).group_by(*GROUPED)
    found = list(map(Cell._make, session.execute(query)))
    session.info[key] = found
    return found


def balance(session: Session, f: SampleFilter) -> Balance:
    """What training would see of the filter's job, now and if all that match were accepted.

    Only hard samples make pairs, so others never count.
    """
    f = replace(f, hardness="hard")
    pairs = SampleFilter(job_id=f.job_id)
    now: dict[str, list[Cell]] = {"new": [], "accepted": [], "dropped": []}
    for cell in _cells(session, pairs):
        if not _misses(cell, pairs):
            now[cell.review].append(cell)
    matching = [cell for cell in _cells(session, f) if not _misses(cell, f)]
    newly = [cell for cell in matching if cell.review != "accepted"]
    back = [cell for cell in matching if cell.review == "dropped"]
    kept = now["new"] + now["accepted"]
    return Balance(
        accepted=_mix(now["accepted"]),
        kept=_mix(kept),
        accepted_then=_mix(now["accepted"] + newly),
        kept_then=_mix(kept + back),
    )


def _mix(cells: Sequence[Cell]) -> Mix:
    labels: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        labels[cell.task, cell.gold] += cell.size
    pairs = sum(labels.values())
    chosen, rejected = (sum(c.chosen for c in cells), sum(c.rejected for c in cells))
    return Mix(pairs, dict(sorted(labels.items())), chosen / (pairs or 1), rejected / (pairs or 1))
