"""A pair as a person has it before them: found by its token, revealed, drafted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from db.base import now as present
from db.models import Annotator, Study, StudyItem, StudyPair, StudySlot, StudyTrace
from db.study_places import Refused

END = datetime.max.replace(tzinfo=UTC)
_OWN = (
    select(StudySlot, Annotator.state)
    .outerjoin(Annotator, Annotator.id == bindparam("annotator"))
    .where(StudySlot.token == bindparam("token"))
)
_first, _second = aliased(StudyTrace), aliased(StudyTrace)
_SHOWN = (
    select(StudyPair, StudyItem, _first, _second)
    .join(StudyItem, StudyItem.id == StudyPair.item_id)
    .join(_first, and_(_first.item_id == StudyItem.id, _first.arm == StudyPair.first_arm))
    .join(_second, and_(_second.item_id == StudyItem.id, _second.arm == StudyPair.second_arm))
    .where(StudyPair.id == bindparam("pair"))
)
_BEFORE = (
    select(func.count())
    .select_from(StudySlot)
    .join(StudyPair, StudyPair.id == StudySlot.pair_id)
    .join(StudyItem, StudyItem.id == StudyPair.item_id)
    .where(StudySlot.annotator_id == bindparam("annotator"))
    .where(StudySlot.done_at < bindparam("before"))
    .where((StudyItem.kind == "practice") == bindparam("practice"))
)


@dataclass(frozen=True, slots=True)
class Lease:
    """A pair as it is given to a person, told by side. Which arm stands left is not part of it.

    `verdicts`, `gold`, `feedback` and `expected_side` ("left", "right" or None) are for after the
    rating. `kind` is the item's: main, practice or attention. `number_of` counts the person's
    items from 1, practice apart.
    """

    study_id: int
    annotator_id: int
    slot_id: int
    pair_id: int
    item_id: int
    token: str
    kind: str
    prompt: str
    response: str | None
    left: str
    right: str
    with_criteria: bool
    number_of: int
    topic: str
    draft: dict[str, Any] | None
    shown_at: datetime | None
    leased_at: datetime
    lease_until: datetime
    done_at: datetime | None
    left_verdicts: dict[str, Any]
    right_verdicts: dict[str, Any]
    gold: dict[str, Any]
    feedback: str
    expected_side: str | None


def own_slot(session: Session, token: str, annotator_id: int) -> StudySlot:
    """The place that the token was given for. Raises Refused: unknown, not_yours, withdrawn."""
    found = session.execute(_OWN, {"token": token, "annotator": annotator_id}).first()
    if found is None:
        raise Refused("unknown", "nothing was given out under this submission id")
    slot, state = found
    if slot.annotator_id != annotator_id:
        raise Refused("not_yours", "this submission id is another person's")
    if state == "withdrawn":
        raise Refused("withdrawn", "you have withdrawn from this study")
    return slot


def find_lease(session: Session, token: str, annotator_id: int) -> Lease:
    """What the token was given for, before and after it is rated. Raises Refused."""
    return lease_of(session, own_slot(session, token, annotator_id))


def reveal(
    session: Session,
    token: str,
    annotator_id: int,
    now: datetime | None = None,
    lease_seconds: float | None = None,
) -> Lease:
    """Notes that the conversation is shown, from when its time counts; again, it changes nothing.

    With `lease_seconds` the lease lasts so long from now. Raises Refused, also where the study
    was closed before anything was shown.
    """
    moment = now or present()
    slot = own_slot(session, token, annotator_id)
    if slot.shown_at is None:
        if session.get_one(Study, slot.study_id).state == "closed":
            raise Refused("closed", "the study was closed before this item was shown")
        slot.shown_at = moment
    _prolong(slot, moment, lease_seconds)
    session.flush()
    return lease_of(session, slot)


def save_draft(
    session: Session,
    token: str,
    annotator_id: int,
    draft: dict[str, Any],
    now: datetime | None = None,
    lease_seconds: float | None = None,
) -> bool:
    """Keeps what is filled in so far; False where it was rated and there is nothing to draft.

    With `lease_seconds` the lease lasts so long from now. Raises Refused.
    """
    moment = now or present()
    slot = own_slot(session, token, annotator_id)
    if slot.done_at is not None:
        return False
    slot.draft, slot.drafted_at = draft, moment
    _prolong(slot, moment, lease_seconds)
    session.flush()
    return True


def _prolong(slot: StudySlot, moment: datetime, lease_seconds: float | None) -> None:
    if lease_seconds is not None and slot.done_at is None:
        slot.lease_until = moment + timedelta(seconds=lease_seconds)


def lease_of(session: Session, slot: StudySlot) -> Lease:
    """The place with its texts, each on its side."""
    pair, item, one, other = session.execute(_SHOWN, {"pair": slot.pair_id}).one()
    left, right = (one, other) if slot.left_first else (other, one)
    expected = None
    if item.expected_arm is not None:
        expected = "left" if item.expected_arm == left.arm else "right"
    if slot.annotator_id is None or slot.token is None or slot.leased_at is None:
        raise LookupError(f"slot={slot.id}: nobody has it")
    return Lease(
        study_id=slot.study_id,
        annotator_id=slot.annotator_id,
        slot_id=slot.id,
        pair_id=pair.id,
        item_id=item.id,
        token=slot.token,
        kind=item.kind,
        prompt=item.prompt,
        response=item.response,
        left=left.text,
        right=right.text,
        with_criteria=slot.with_criteria,
        number_of=_number(session, slot, item.kind == "practice"),
        topic=item.topic,
        draft=slot.draft,
        shown_at=slot.shown_at,
        leased_at=slot.leased_at,
        lease_until=slot.lease_until or slot.leased_at,
        done_at=slot.done_at,
        left_verdicts=left.verdicts,
        right_verdicts=right.verdicts,
        gold=item.gold,
        feedback=item.feedback,
        expected_side=expected,
    )


def _number(session: Session, slot: StudySlot, practice: bool) -> int:
    before = {"annotator": slot.annotator_id, "before": slot.done_at or END, "practice": practice}
    return (session.scalar(_BEFORE, before) or 0) + 1
