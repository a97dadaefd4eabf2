"""The places of one pair: which is open, on which sides it may be taken, how one is given up.

All of it is under the lock of the pair, so that no two people do it at once. Locks are taken in the
order study (shared), person, pairs by id; SQLite has a single lock, which writing sessions hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from random import Random

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from db.models import Annotator, Study, StudyPair, StudySlot

# Statements are made once: making them takes longer than running them, and all of it is time for
# which a person waits.
FRESH = {"populate_existing": True}
_STUDY = select(Study).where(Study.id == bindparam("id")).with_for_update(read=True)
_PERSON = select(Annotator).where(Annotator.id == bindparam("id")).with_for_update()
_PAIR = select(StudyPair.id).where(StudyPair.id == bindparam("id"))
_LOCKS = {wait: _PAIR.with_for_update(skip_locked=not wait) for wait in (True, False)}
_PLACES = select(StudySlot).where(StudySlot.pair_id == bindparam("id")).order_by(StudySlot.number)


class Refused(Exception):
    """What a person may not do now.

    `reason` is one of unknown, not_yours, closed, paused, withdrawn, stopped, cap, invalid.
    """

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


def lock_study(session: Session, study_id: int) -> Study:
    """The study, whose state stays until this transaction ends. Raises LookupError."""
    study = session.scalar(_STUDY, {"id": study_id}, execution_options=FRESH)
    if study is None:
        raise LookupError(f"study={study_id}: there is no such study")
    return study


def lock_person(session: Session, annotator_id: int) -> Annotator:
    """The person, for whom nothing else is done meanwhile. Raises LookupError."""
    person = session.scalar(_PERSON, {"id": annotator_id}, execution_options=FRESH)
    if person is None:
        raise LookupError(f"annotator={annotator_id}: there is no such person")
    return person


def lock_pair(session: Session, pair_id: int, *, wait: bool = True) -> list[StudySlot] | None:
    """All places of the pair, by number; None where another has the lock and `wait` is false."""
    if session.scalar(_LOCKS[wait], {"id": pair_id}) is None:
        return None
    return list(session.scalars(_PLACES, {"id": pair_id}, execution_options=FRESH))


def is_open(slot: StudySlot, now: datetime) -> bool:
    """Whether a person may be given this place: it is free, or its lease has ended."""
    if slot.kind != "regular" or slot.done_at is not None:
        return False
    return slot.annotator_id is None or slot.lease_until is None or slot.lease_until <= now


def sides_for(places: Sequence[StudySlot], taking: StudySlot) -> list[bool]:
    """The sides (`left_first`) on which an open place may be taken, the evening one first.

    A side is one where the counted ratings of the pair stay within 1 of even in whatever order
    those that are under way come in, or never do. Two entries are equally good where the pair
    doesn't care, which `even` tells.
    """
    others = [one for one in places if one.kind == "regular" and one is not taking]

    def used(side: bool) -> int:
        return sum(one.left_first is side and one.annotator_id is not None for one in others)

    def done(side: bool) -> int:
        return sum(one.left_first is side and one.done_at is not None for one in others)

    allowed = [side for side in (True, False) if used(side) + 1 - done(not side) <= 1]
    return sorted(allowed, key=used)


def is_even(places: Sequence[StudySlot], taking: StudySlot) -> bool:
    """Whether as many people have this pair on one side as on the other."""
    sides = [
        one.left_first
        for one in places
        if one.kind == "regular" and one is not taking and one.annotator_id is not None
    ]
    return 2 * sum(sides) == len(sides)


def open_place(
    places: Sequence[StudySlot], now: datetime, side: bool | None = None
) -> tuple[StudySlot, list[bool]] | None:
    """An open place and the sides it may be taken on; one that nobody had before one that was lost.

    With `side`, one that may be taken on that side. None where there is none.
    """
    found = [place for place in places if is_open(place, now)]
    for place in sorted(found, key=lambda one: one.annotator_id is not None):
        sides = sides_for(places, place)
        if sides and (side is None or side in sides):
            return place, sides
    return None


def lesser(left: int, right: int, rng: Random) -> bool:
    """True (left) where that has less, False where the right has, else drawn."""
    return rng.random() < 0.5 if left == right else left < right


def set_aside(session: Session, slot: StudySlot, places: Sequence[StudySlot]) -> StudySlot:
    """The place stays its person's but is no longer one that counts; returns the free one instead.

    What was shown, drafted or rated there stays, so its token still finds it.
    """
    slot.kind = "overflow"
    fresh = StudySlot(
        study_id=slot.study_id,
        pair_id=slot.pair_id,
        number=max(one.number for one in places) + 1,
        left_first=slot.left_first,
        with_criteria=slot.with_criteria,
    )
    session.add(fresh)
    session.flush()
    return fresh


def take_back(
    session: Session, slot: StudySlot, places: Sequence[StudySlot], now: datetime
) -> bool:
    """Makes a place that was set aside one that counts again, if the pair has one to give for it.

    Its sides stay as they were seen. The other place goes, or is set aside if somebody had it.
    """
    found = open_place(places, now, slot.left_first)
    if found is None:
        return False
    other, _ = found
    slot.kind = "regular"
    if other.annotator_id is None:
        session.delete(other)
    else:
        other.kind = "overflow"
    session.flush()
    return True
