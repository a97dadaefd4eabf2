"""Ratings: stored once however often they are sent, revised, skipped.

Nothing that a person was shown is refused because it comes late. A rating whose lease has ended
takes its place all the same while nobody else has it, and stands in an overflow place, where it is
kept but not counted, when somebody has or when the study was closed meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from db.base import now as present
from db.models import Rating, Study, StudyItem, StudyPair, StudySkip, StudySlot
from db.study_counts import Progress as Progress
from db.study_counts import Rated as Rated
from db.study_counts import counts as counts
from db.study_counts import progress as progress
from db.study_counts import ratings_of as ratings_of
from db.study_leases import Lease, lease_of, own_slot
from db.study_places import Refused as Refused
from db.study_places import lock_pair, lock_person, lock_study, set_aside, take_back

MARKS = ("wrong", "unsupported", "vague", "key")
LONGEST_NOTE = 4000
MOST_MARKS = 500
MOST_REVISIONS = 50
_FIRST = select(Rating).where(Rating.slot_id == bindparam("slot"), Rating.revision == 1)


@dataclass(frozen=True, slots=True)
class Submitted:
    """`repeated`: it was stored before. `late`: it came after its lease had ended."""

    rating_id: int
    repeated: bool
    late: bool
    lease: Lease


class _Held(NamedTuple):
    """A place under its locks."""

    slot: StudySlot
    study: Study
    places: list[StudySlot]
    rating: Rating | None  # the first revision


def submit(
    session: Session,
    token: str,
    annotator_id: int,
    overall: int,
    criteria: dict[str, Any],
    note: str,
    marks: list[Any],
    now: datetime | None = None,
) -> Submitted:
    """Stores what was given for the pair of this token; sent again, it tells what was stored.

    `overall` is 1 (left much better) to 5, or 0 (both bad); `criteria` has name -> [left, right],
    1 to 5; a mark is {side, step, mark}. Needs a writing session. Raises Refused; `closed` where
    the study was closed before the conversation was shown.
    """
    moment = now or present()
    _check(overall, criteria, note, marks)
    held = _hold(session, token, annotator_id)
    slot = held.slot
    if held.rating is not None:
        done = held.rating
        return Submitted(done.id, True, done.late, lease_of(session, slot))
    late = slot.kind == "overflow" or _is_over(slot, moment)
    if slot.kind != "regular":  # it may have been skipped
        skipped = delete(StudySkip).where(StudySkip.pair_id == slot.pair_id)
        session.execute(skipped.where(StudySkip.annotator_id == annotator_id))
    if held.study.state == "closed":
        if slot.shown_at is None:
            raise Refused("closed", "the study was closed before this item was shown")
        late = True
        if slot.kind == "regular":
            set_aside(session, slot, held.places)
    elif slot.kind == "overflow":
        take_back(session, slot, held.places, moment)
    slot.done_at, slot.draft = moment, None
    began = slot.shown_at or slot.leased_at or moment
    rating = Rating(
        study_id=slot.study_id,
        pair_id=slot.pair_id,
        slot_id=slot.id,
        annotator_id=annotator_id,
        submission=token,
        overall=overall,
        criteria=criteria,
        note=note,
        marks=marks,
        seconds=max(0.0, round((moment - began).total_seconds(), 3)),
        late=late,
        created_at=moment,
    )
    session.add(rating)
    session.flush()
    return Submitted(rating.id, False, late, lease_of(session, slot))


def revise(
    session: Session,
    token: str,
    annotator_id: int,
    overall: int,
    criteria: dict[str, Any],
    note: str,
    marks: list[Any],
    now: datetime | None = None,
) -> int:
    """Keeps a change of mind beside the first opinion, which goes on to count; returns its number.

    Sent again, it changes nothing. Once the study is closed it is taken until the lease's end.
    Raises Refused.
    """
    moment = now or present()
    _check(overall, criteria, note, marks)
    held = _rated(session, token, annotator_id, moment)
    last = _last(session, held.slot)
    content = (last.overall, last.criteria, last.note, last.marks)
    if content == (overall, criteria, note, marks):
        return last.revision
    if last.revision >= MOST_REVISIONS:
        raise Refused("invalid", f"a rating can be changed {MOST_REVISIONS - 1} times")
    number = last.revision + 1
    session.add(
        Rating(
            study_id=last.study_id,
            pair_id=last.pair_id,
            slot_id=last.slot_id,
            annotator_id=annotator_id,
            revision=number,
            submission=f"{token}#{number}",
            overall=overall,
            criteria=criteria,
            note=note,
            marks=marks,
            seconds=max(0.0, round((moment - last.created_at).total_seconds(), 3)),
            late=last.late,
            created_at=moment,
        )
    )
    session.flush()
    return number


def add_support(
    session: Session,
    token: str,
    annotator_id: int,
    left: int,
    right: int,
    now: datetime | None = None,
) -> None:
    """Adds the criterion that is asked once the verdicts are shown; only the first answer stays.

    Raises Refused, as `revise` does.
    """
    answer = {"support": [left, right]}
    _check(0, answer, "", [])
    held = _rated(session, token, annotator_id, now or present())
    if held.rating is not None and "support" not in held.rating.criteria:
        held.rating.criteria = held.rating.criteria | answer
        session.flush()


def skip(
    session: Session,
    token: str,
    annotator_id: int,
    reason: str,
    note: str,
    now: datetime | None = None,
) -> None:
    """Gives the place back; the pair isn't given to this person again. Twice is as once.

    Raises Refused, also for what was rated already.
    """
    if not 0 < len(reason) <= 40 or len(note) > LONGEST_NOTE:
        raise Refused("invalid", f"reason={reason[:50]!r}: must have 1 to 40 characters")
    held = _hold(session, token, annotator_id)
    slot = held.slot
    if held.rating is not None:
        raise Refused("invalid", "it was rated already")
    if held.study.state == "closed":
        raise Refused("closed", "the study is closed")
    mine = StudySkip.pair_id == slot.pair_id, StudySkip.annotator_id == annotator_id
    if session.scalar(select(StudySkip.id).where(*mine)) is not None:
        return
    session.add(
        StudySkip(
            study_id=slot.study_id,
            pair_id=slot.pair_id,
            annotator_id=annotator_id,
            reason=reason,
            note=note,
            created_at=now or present(),
        )
    )
    if slot.kind == "regular":
        set_aside(session, slot, held.places)
    session.flush()


def last_rated(session: Session, study_id: int, annotator_id: int) -> str | None:
    """The token of what this person rated last, practice apart."""
    query = (
        select(StudySlot.token)
        .join(StudyPair, StudyPair.id == StudySlot.pair_id)
        .join(StudyItem, StudyItem.id == StudyPair.item_id)
        .where(StudySlot.annotator_id == annotator_id, StudySlot.study_id == study_id)
        .where(StudySlot.done_at.is_not(None), StudyItem.kind != "practice")
        .order_by(StudySlot.done_at.desc(), StudySlot.id.desc())
    )
    return session.scalar(query.limit(1))


def rating_of(session: Session, token: str, annotator_id: int) -> Rating | None:
    """The latest revision of what came with a token; None before it is rated. Raises Refused."""
    slot = own_slot(session, token, annotator_id)
    return _last(session, slot) if slot.done_at is not None else None


def _last(session: Session, slot: StudySlot) -> Rating:
    query = select(Rating).where(Rating.slot_id == slot.id).order_by(Rating.revision.desc())
    return session.scalars(query.limit(1)).one()


def _hold(session: Session, token: str, annotator_id: int) -> _Held:
    slot = own_slot(session, token, annotator_id)
    study = lock_study(session, slot.study_id)
    person = lock_person(session, annotator_id)
    places = lock_pair(session, slot.pair_id) or []
    # What was read before the locks may have changed since.
    if person.state == "withdrawn":
        raise Refused("withdrawn", "you have withdrawn from this study")
    if slot not in places:
        raise Refused("unknown", "nothing was given out under this submission id")
    rating = session.scalar(_FIRST, {"slot": slot.id}) if slot.done_at is not None else None
    return _Held(slot, study, places, rating)


def _rated(session: Session, token: str, annotator_id: int, moment: datetime) -> _Held:
    held = _hold(session, token, annotator_id)
    if held.rating is None:
        raise Refused("invalid", "it isn't rated yet")
    if held.study.state == "closed" and _is_over(held.slot, moment):
        raise Refused("closed", "the study is closed")
    return held


def _is_over(slot: StudySlot, moment: datetime) -> bool:
    return slot.lease_until is None or slot.lease_until < moment


def _check(overall: int, criteria: dict[str, Any], note: str, marks: list[Any]) -> None:
    if type(overall) is not int or not 0 <= overall <= 5:
        raise Refused("invalid", f"overall={overall!r}: must be 1 to 5, or 0 for both bad")
    for name, scores in criteria.items():
        pair = scores if isinstance(scores, list) and len(scores) == 2 else [None]
        if len(name) > 40 or any(type(one) is not int or not 1 <= one <= 5 for one in pair):
            raise Refused("invalid", f"{name[:40]}={scores!r:.60}: must be two numbers, 1 to 5")
    if len(note) > LONGEST_NOTE:
        raise Refused("invalid", f"note: has {len(note)} characters; at most {LONGEST_NOTE}")
    if len(marks) > MOST_MARKS:
        raise Refused("invalid", f"marks: {len(marks)} are too many; at most {MOST_MARKS}")
    for mark in marks:
        if not _is_mark(mark):
            raise Refused("invalid", f"mark={mark!r:.60}: must be a side, a step and a word")


def _is_mark(mark: Any) -> bool:
    if not isinstance(mark, dict) or set(mark) != {"side", "step", "mark"}:
        return False
    step = mark["step"]
    known = mark["side"] in ("left", "right") and mark["mark"] in MARKS
    return known and type(step) is int and 0 <= step <= 10_000
