"""Attention items: when a person gets one, and how many are still to come."""

from __future__ import annotations

from random import Random

from sqlalchemy import and_, bindparam, exists, func, select
from sqlalchemy.orm import Session

from db.models import Annotator, StudyItem, StudyPair, StudySkip, StudySlot

_SKIPPED = exists().where(
    StudySkip.pair_id == StudySlot.pair_id, StudySkip.annotator_id == StudySlot.annotator_id
)
# Of the attention items: those given to a person, those that they have before them, those left.
_ATTENTION = (
    select(
        func.count(StudySlot.id),
        func.count().filter(
            and_(StudySlot.id.is_not(None), StudySlot.done_at.is_(None), ~_SKIPPED)
        ),
        func.count().filter(
            and_(
                StudySlot.id.is_(None),
                StudyItem.topic.not_in(bindparam("topics", expanding=True)),
            )
        ),
    )
    .select_from(StudyPair)
    .join(StudyItem, StudyItem.id == StudyPair.item_id)
    .outerjoin(
        StudySlot,
        and_(StudySlot.pair_id == StudyPair.id, StudySlot.annotator_id == bindparam("annotator")),
    )
    .where(StudyPair.study_id == bindparam("study"), StudyItem.kind == "attention")
)
_ATTENTION_TOPICS = (
    select(StudyItem.topic)
    .distinct()
    .where(StudyItem.study_id == bindparam("study"), StudyItem.kind == "attention")
)


def attention_due(annotator_id: int, every: int, rated: int) -> int:
    """How many attention items somebody is to have had once so many main items are rated.

    One in each block of `every` ratings, at a place in it that differs by person and block, so
    that counting doesn't tell which they are.
    """
    if not every:
        return 0
    blocks, rest = divmod(rated, every)
    place = Random(f"{annotator_id}:{blocks}").randint(1, every)
    return blocks + (rest >= place)


def attention_to_come(session: Session, annotator_id: int, every: int, mains: int) -> int:
    """How many attention items this person is still to rate, of whom so many main items are
    wanted in all; what they have before them counts, what they skipped doesn't."""
    if not every:
        return 0
    person = session.get_one(Annotator, annotator_id)
    values = {
        "study": person.study_id,
        "annotator": annotator_id,
        "topics": person.excluded_topics,
    }
    given, before_them, left = session.execute(_ATTENTION, values).one()
    due = attention_due(annotator_id, every, mains)
    return int(before_them) + max(0, min(due - given, left))


def attention_topics(session: Session, study_id: int) -> set[str]:
    """The topics of a study's attention items; "" of one that has none."""
    return set(session.scalars(_ATTENTION_TOPICS, {"study": study_id}))
