"""Counts of a study and of a person in it, and all ratings with what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, bindparam, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.base import now as present
from db.models import (
    Annotator,
    Rating,
    StudyItem,
    StudyPair,
    StudySkip,
    StudySlot,
    StudyTrace,
)

_HAD = (
    select(
        StudyItem.kind,
        StudySlot.kind,
        StudySlot.pair_id,
        StudySlot.left_first,
        StudySlot.done_at,
        (StudyItem.expected_arm == StudyPair.first_arm).label("first_is_better"),
    )
    .join(StudyPair, StudyPair.id == StudySlot.pair_id)
    .join(StudyItem, StudyItem.id == StudyPair.item_id)
    .where(StudySlot.annotator_id == bindparam("annotator"))
)


_PRACTICE = (
    select(func.count())
    .select_from(StudyPair)
    .join(StudyItem, StudyItem.id == StudyPair.item_id)
    .where(StudyPair.study_id == bindparam("study"), StudyItem.kind == "practice")
)


_LATEST = (
    select(StudyItem.kind, StudySlot.done_at)
    .join(StudyPair, StudyPair.id == StudySlot.pair_id)
    .join(StudyItem, StudyItem.id == StudyPair.item_id)
    .where(StudySlot.annotator_id == bindparam("annotator"))
    .order_by(func.coalesce(StudySlot.done_at, StudySlot.leased_at).desc(), StudySlot.id.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study, or one person in it, has come; places of main items unless said.

    `done` of a study are ratings that count, `wanted` all its places. `done` of a person is all
    they rated, `wanted` that and the pairs which they could still be given now.
    """

    done: int
    wanted: int
    today: int  # since midnight UTC
    practice_done: int
    practice_wanted: int
    attention_done: int
    skipped: int
    held: int  # had by somebody now and not rated, lease ended or not


class Rated(NamedTuple):
    """A revision of a rating with all that it is about."""

    rating: Rating
    slot: StudySlot
    pair: StudyPair
    item: StudyItem
    first: StudyTrace
    second: StudyTrace
    annotator: Annotator


class Had(NamedTuple):
    """What a person had so far, by count; given means rated, skipped or held."""

    rated: int
    today: int
    left: int
    right: int
    practice: set[int]  # pairs given
    attention: set[int]
    attention_left: int


def what_they_had(session: Session, annotator_id: int, moment: datetime) -> Had:
    """Counts what a person had, from the places that are theirs."""
    rows = session.execute(_HAD, {"annotator": annotator_id}).all()
    main = [row for row in rows if row[0] == "main"]
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    done = [row.done_at for row in main if row.done_at is not None]
    sides = [row.left_first for row in main if row[1] == "regular"]
    attention = [row for row in rows if row[0] == "attention"]
    return Had(
        rated=len(done),
        today=sum(at >= midnight for at in done),
        left=sum(sides),
        right=len(sides) - sum(sides),
        practice={row.pair_id for row in rows if row[0] == "practice"},
        attention={row.pair_id for row in attention},
        attention_left=sum(row.left_first is bool(row.first_is_better) for row in attention),
    )


def rated_main_last(session: Session, annotator_id: int) -> bool:
    """Whether the latest that happened to this person is that they rated a main item."""
    last = session.execute(_LATEST, {"annotator": annotator_id}).first()
    return last is not None and last.kind == "main" and last.done_at is not None


def progress(
    session: Session, study_id: int, annotator_id: int | None = None, now: datetime | None = None
) -> Progress:
    """Of the whole study, or of one person."""
    moment = now or present()
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    values = {"study": study_id, "annotator": annotator_id, "midnight": midnight, "moment": moment}
    one = annotator_id is not None
    rows = {(row[0], row[1]): row[2:] for row in session.execute(_places(one), values)}
    nothing = (0, 0, 0, 0)
    wanted, done_regular, today, held = rows.get(("main", "regular"), nothing)
    late, late_today = rows.get(("main", "overflow"), nothing)[1:3]
    if annotator_id is not None:
        done_regular, today = done_regular + late, today + late_today
        wanted = done_regular + held + _still(session, annotator_id, values)
    return Progress(
        done=done_regular,
        wanted=wanted,
        today=today,
        practice_done=rows.get(("practice", "extra"), nothing)[1],
        practice_wanted=session.scalar(_PRACTICE, values) or 0,
        attention_done=rows.get(("attention", "extra"), nothing)[1],
        skipped=session.scalar(_skips(one), values) or 0,
        held=held,
    )


def _still(session: Session, annotator_id: int, values: dict[str, Any]) -> int:
    """Pairs with an open place that this person had no part in and whose topic they don't mind."""
    topics = session.get_one(Annotator, annotator_id).excluded_topics
    return session.scalar(_open_pairs(bool(topics)), values | {"topics": topics}) or 0


@cache
def _places(of_one_person: bool) -> Select[str, str, int, int, int, int]:
    """item kind, place kind, places, rated, rated since midnight, held."""
    done = StudySlot.done_at.is_not(None)
    query = (
        select(
            StudyItem.kind,
            StudySlot.kind,
            func.count(),
            func.count(StudySlot.done_at),
            func.count().filter(StudySlot.done_at >= bindparam("midnight")),
            func.count().filter(and_(~done, StudySlot.annotator_id.is_not(None))),
        )
        .join(StudyPair, StudyPair.id == StudySlot.pair_id)
        .join(StudyItem, StudyItem.id == StudyPair.item_id)
        .where(StudySlot.study_id == bindparam("study"))
        .group_by(StudyItem.kind, StudySlot.kind)
    )
    return query.where(StudySlot.annotator_id == bindparam("annotator")) if of_one_person else query


@cache
def _skips(of_one_person: bool) -> Select[int]:
    query = select(func.count()).select_from(StudySkip)
    query = query.where(StudySkip.study_id == bindparam("study"))
    return query.where(StudySkip.annotator_id == bindparam("annotator")) if of_one_person else query


@cache
def _open_pairs(some_excluded: bool) -> Select[int]:
    mine = select(StudySlot.pair_id).where(StudySlot.annotator_id == bindparam("annotator"))
    query = select(func.count(StudySlot.pair_id.distinct())).where(
        StudySlot.study_id == bindparam("study"),
        StudySlot.kind == "regular",
        StudySlot.done_at.is_(None),
        or_(StudySlot.annotator_id.is_(None), StudySlot.lease_until <= bindparam("moment")),
        StudySlot.pair_id.not_in(mine),
    )
    return query.where(StudySlot.pair_id.not_in(unwanted_pairs())) if some_excluded else query


def others_have_some(session: Session, study_id: int, annotator_id: int) -> bool:
    """Whether a place that is not rated yet may still come to this person: one of a pair that
    they had no part in and whose topic they don't mind, whoever has it now."""
    topics = session.get_one(Annotator, annotator_id).excluded_topics
    mine = select(StudySlot.pair_id).where(StudySlot.annotator_id == bindparam("annotator"))
    query = select(StudySlot.id).where(
        StudySlot.study_id == bindparam("study"),
        StudySlot.kind == "regular",
        StudySlot.done_at.is_(None),
        StudySlot.pair_id.not_in(mine),
        StudySlot.pair_id.not_in(unwanted_pairs()),
    )
    values = {"study": study_id, "annotator": annotator_id, "topics": topics}
    return session.scalar(query.limit(1), values) is not None


def unwanted_pairs() -> Select[int]:
    """Of a `study`, those whose topic is one of `topics`."""
    return (
        select(StudyPair.id)
        .join(StudyItem, StudyItem.id == StudyPair.item_id)
        .where(StudyItem.study_id == bindparam("study"))
        .where(StudyItem.topic.in_(bindparam("topics", expanding=True)))
    )


def ratings_of(session: Session, study_id: int) -> list[Rated]:
    """All revisions of all ratings, oldest first; which count, `counts` says."""
    first, second = aliased(StudyTrace), aliased(StudyTrace)
    query = (
        select(Rating, StudySlot, StudyPair, StudyItem, first, second, Annotator)
        .join(StudySlot, StudySlot.id == Rating.slot_id)
        .join(StudyPair, StudyPair.id == Rating.pair_id)
        .join(StudyItem, StudyItem.id == StudyPair.item_id)
        .join(first, and_(first.item_id == StudyItem.id, first.arm == StudyPair.first_arm))
        .join(second, and_(second.item_id == StudyItem.id, second.arm == StudyPair.second_arm))
        .join(Annotator, Annotator.id == Rating.annotator_id)
        .where(Rating.study_id == study_id)
        .order_by(Rating.id)
    )
    return [Rated(*row) for row in session.execute(query)]


def counts(rated: Rated) -> bool:
    """Whether it is in the results: the first revision, in a regular place.

    Of a person who withdrew, and of what came too late, no place is regular.
    """
    return rated.rating.revision == 1 and rated.slot.kind == "regular"
