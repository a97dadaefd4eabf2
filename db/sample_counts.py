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
from db.sample_filters import FLAGS, SampleFilter, conditions, hint, range_conditions
from db.session import remembered

FACETS = ("task", "source", "model", "direction", "review", "flag", "parse", "hardness")
BITS = {name: 1 << place for place, name in enumerate((*FACETS, "wrong"))}
SUSPECT = FLAGS[0]


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
    def parse(self) -> str:
        return "failures" if self.unparsed else "clean"

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
    known = remembered(session)
    if ("cells", *_range(f)) in known:
        return sum(cell.size for cell, misses in _judged(session, f) if not misses)
    if ("count", f) not in known:
        query = select(func.count()).select_from(HardSampleRow).where(*conditions(session, f))
        query = query.with_hint(HardSampleRow, hint(session, f, "mined"), "sqlite")
        known["count", f] = session.scalar(query) or 0
    return int(known["count", f])


def wrong_histogram(session: Session, f: SampleFilter) -> dict[int, int]:
    """Wrong answers of the k -> samples with so many; `f.wrong` itself narrows nothing here."""
    counts: Counter[int] = Counter()
    for cell, misses in _judged(session, f):
        if not misses & ~BITS["wrong"]:
            counts[cell.k_incorrect] += cell.size
    return dict(sorted(counts.items()))


def facet_counts(session: Session, f: SampleFilter) -> dict[str, dict[str, int]]:
    """Each of FACETS -> value -> samples that would match with it.

    A facet's own filter is ignored in its counts. A sample may have several flags; one that a
    person edited counts as `edited` and as what its review is. The flag `label_suspect` sets
    `hardness` aside, so it narrows nothing in the counts of that.
    """
    facets: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    plain = [(name, facets[name], ~BITS[name]) for name in FACETS[:4]]
    hardness, flag = BITS["hardness"], BITS["flag"]
    other_hardness = ~(hardness | flag) if f.flag == SUSPECT else ~hardness
    for cell, misses in _judged(session, f):
        size = cell.size
        for (_, counts, others), value in zip(plain, cell[2:6], strict=True):
            if not misses & others:
                counts[value] += size
        if not misses & ~BITS["review"]:
            facets["review"].update(dict.fromkeys(cell.reviews, size))
        if not misses & ~BITS["parse"]:
            facets["parse"][cell.parse] += size
        if not misses & other_hardness:
            facets["hardness"][cell.hardness] += size
        if not misses & ~(hardness | flag):
            of_kind = not f.hardness or cell.hardness == f.hardness
            for one in cell.flags:
                if of_kind or one == SUSPECT:
                    facets["flag"][one] += size
    return {name: dict(sorted(counts.items())) for name, counts in facets.items()}


def _judged(session: Session, f: SampleFilter) -> list[tuple[Cell, int]]:
    """The cells in range, each with the BITS of the filters that it does not meet."""
    known, key = remembered(session), ("judged", f)
    if key not in known:
        known[key] = [(cell, _misses(cell, f)) for cell in _cells(session, f)]
    return cast(list[tuple[Cell, int]], known[key])


def _misses(cell: Cell, f: SampleFilter) -> int:
    """The BITS of the filters that a cell does not meet, of those that no range is."""
    missed = 0
    if f.hardness and cell.hardness != f.hardness and f.flag != SUSPECT:
        missed |= BITS["hardness"]
    for name, wanted, value in (
        ("task", f.task, cell.task),
        ("source", f.source, cell.source),
        ("model", f.model, cell.model),
        ("direction", f.direction, cell.direction),
        ("parse", f.parse, cell.parse),
    ):
        if wanted and wanted != value:
            missed |= BITS[name]
    if f.review and f.review not in cell.reviews:
        missed |= BITS["review"]
    if f.flag and f.flag not in cell.flags:
        missed |= BITS["flag"]
    if f.wrong is not None and cell.k_incorrect != f.wrong:
        missed |= BITS["wrong"]
    return missed


def _range(f: SampleFilter) -> tuple[object, ...]:
    return (f.job_id, f.min_length, f.max_length, f.min_weight, f.max_weight, f.text)


def _cells(session: Session, f: SampleFilter) -> list[Cell]:
    """The samples in range, grouped by all that facets tell apart."""
    known, key = remembered(session), ("cells", *_range(f))
    if key not in known:
        query = select(
            *GROUPED,
            func.count(),
            func.sum(HardSampleRow.chosen_length),
            func.sum(HardSampleRow.rejected_length),
        )
        query = query.where(*range_conditions(session, f)).group_by(*GROUPED)
        query = query.with_hint(HardSampleRow, hint(session, f), "sqlite")
        known[key] = list(map(Cell._make, session.execute(query)))
    return cast(list[Cell], known[key])


def balance(session: Session, f: SampleFilter) -> Balance:
    """What training would see of the filter's job, now and if all that match were accepted.

    Only hard samples make pairs, so others never count.
    """
    f = replace(f, hardness="hard")
    pairs = SampleFilter(job_id=f.job_id)
    now: dict[str, list[Cell]] = {"new": [], "accepted": [], "dropped": []}
    for cell, misses in _judged(session, pairs):
        if not misses:
            now[cell.review].append(cell)
    matching = [cell for cell, misses in _judged(session, f) if not misses]
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
