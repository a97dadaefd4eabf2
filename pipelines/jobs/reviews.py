"""Accepting, dropping and restoring hard samples, one or a hundred thousand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import JSON, ColumnElement, func, insert, literal, select, update
from sqlalchemy.orm import Session

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


def accept(database: Database, ids: Ids) -> int:
    """Marks samples as good to train on, dropped ones too; how many were not so before."""
    return _review(database, ids, "accept", "accepted", HardSampleRow.review != "accepted")


def drop(database: Database, ids: Ids, reason: str) -> int:
    """Keeps samples out of what is frozen; how many were in before.

    Raises InputError where no reason is given: it is counted in the frozen set's record.
    """
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise InputError(
            f"reason={reason[:40]!r}: must say in 1 to {MAX_REASON} characters why they are dropped"
        )
    return _review(database, ids, "drop", "dropped", HardSampleRow.review != "dropped", reason)


def restore(database: Database, ids: Ids) -> int:
    """Makes dropped samples new again; how many there were."""
    return _review(database, ids, "restore", "new", HardSampleRow.review == "dropped")


def _review(
    database: Database,
    ids: Ids,
    action: str,
    review: str,
    changes: ColumnElement[bool],
    reason: str = "",
) -> int:
    """Two statements however many there are: their changes, then what they become."""
    after = {"review": review, "reason": reason}
    with database.write() as session:
        json_of = func.json_object if database.is_sqlite else func.json_build_object
        before = json_of(
            *("review", HardSampleRow.review),
            *("reason", HardSampleRow.reason),
        )
        moment = literal(now(), UtcDateTime())
        changed = 0
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
    return changed


def _each(session: Session, ids: Ids) -> Iterator[list[ColumnElement[bool]]]:
    if isinstance(ids, SampleFilter):
        yield conditions(session, ids)
        return
    given = list(dict.fromkeys(ids))
    for start in range(0, len(given), IDS_TOGETHER):
        yield [HardSampleRow.id.in_(given[start : start + IDS_TOGETHER])]
