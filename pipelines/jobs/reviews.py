"""Accepting, dropping and restoring hard samples, one or a hundred thousand, and taking it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import JSON, ColumnElement, delete, func, insert, literal, select, update
from sqlalchemy.orm import Session

from db.audit import record
from db.base import UtcDateTime, now
from db.models import HardSampleRow, SampleChange
from db.sample_filters import conditions
from db.samples import SampleFilter
from db.session import Database
from pipelines.schema import InputError

Ids = Sequence[int] | SampleFilter
"""Ids of samples, or all samples that match."""

IDS_TOGETHER = 10_000  # databases allow some ten thousand parameters a statement
MAX_REASON = 500
REVIEWS = ("accept", "drop", "restore")


class Reviewed(NamedTuple):
    """How many samples changed, and the moment that stands at each change: `take_back` wants it."""

    samples: int
    at: datetime


def accept(database: Database, ids: Ids) -> Reviewed:
    """Marks samples as good to train on, dropped ones too; those that are so already stay."""
    return _review(database, ids, "accept", "accepted", HardSampleRow.review != "accepted")


def drop(database: Database, ids: Ids, reason: str) -> Reviewed:
    """Keeps samples out of what is frozen.

    Raises InputError where no reason is given: it is counted in the frozen set's record.
    """
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise InputError(
            f"reason={reason[:40]!r}: must say in 1 to {MAX_REASON} characters why they are dropped"
        )
    return _review(database, ids, "drop", "dropped", HardSampleRow.review != "dropped", reason)


def restore(database: Database, ids: Ids) -> Reviewed:
    """Puts samples back to review, be they accepted or dropped."""
    return _review(database, ids, "restore", "new", HardSampleRow.review != "new")


def take_back(database: Database, at: datetime) -> int:
    """Undoes what was reviewed at one moment, however many samples it was; how many there were.

    A sample that was changed since is left as it is, for its last change is somebody's later word.
    """
    change = SampleChange.__table__.c
    with database.write() as session:
        touched = select(change.hard_sample_id).where(change.at == at)
        last = (
            select(func.max(change.id))
            .where(change.hard_sample_id.in_(touched))
            .group_by(change.hard_sample_id)
        )
        mine = [change.at == at, change.action.in_(REVIEWS), change.id.in_(last)]
        review, reason = (SampleChange.before[name].as_string() for name in ("review", "reason"))
        moment = now()
        # Few kinds of before, and many samples: a statement a kind.
        for was in session.execute(select(review, reason).where(*mine).distinct()).all():
            those = select(change.hard_sample_id).where(*mine, review == was[0], reason == was[1])
            to = update(HardSampleRow).where(HardSampleRow.id.in_(those))
            session.execute(
                to.values(review=was[0], reason=was[1], reviewed_at=moment),
                execution_options={"synchronize_session": False},
            )
        gone = select(change.id).where(*mine).subquery()
        count = session.scalar(select(func.count()).select_from(gone)) or 0
        session.execute(
            delete(SampleChange).where(SampleChange.id.in_(select(gone.c.id))),
            execution_options={"synchronize_session": False},
        )
        if count:
            record(session, "sample.take_back", f"samples:{count}")
    return count


def _review(
    database: Database,
    ids: Ids,
    action: str,
    review: str,
    changes: ColumnElement[bool],
    reason: str = "",
) -> Reviewed:
    """Two statements however many there are: their changes, then what they become."""
    after = {"review": review, "reason": reason}
    with database.write() as session:
        json_of = func.json_object if database.is_sqlite else func.json_build_object
        before = json_of(
            *("review", HardSampleRow.review),
            *("reason", HardSampleRow.reason),
        )
        at, changed = now(), 0
        moment = literal(at, UtcDateTime())
        for wanted in _each(session, ids):
            # Held until the end, so that both statements see the same samples.
            held = select(HardSampleRow.id).where(*wanted, changes).with_for_update().subquery()
            changed += session.scalar(select(func.count()).select_from(held)) or 0
            noted = select(
                HardSampleRow.id, moment, literal(action), before, literal(after, JSON())
            ).where(*wanted, changes)
            names = ["hard_sample_id", "at", "action", "before", "after"]
            session.execute(insert(SampleChange).from_select(names, noted))
            to = update(HardSampleRow).where(*wanted, changes)
            session.execute(
                to.values(**after, reviewed_at=moment),
                execution_options={"synchronize_session": False},
            )
        if changed:
            record(session, f"sample.{action}", f"samples:{changed}")
    return Reviewed(changed, at)


def _each(session: Session, ids: Ids) -> Iterator[list[ColumnElement[bool]]]:
    if isinstance(ids, SampleFilter):
        yield conditions(session, ids)
        return
    given = list(dict.fromkeys(ids))
    for start in range(0, len(given), IDS_TOGETHER):
        yield [HardSampleRow.id.in_(given[start : start + IDS_TOGETHER])]
