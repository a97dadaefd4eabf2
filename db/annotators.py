"""The people of a study: invited, consenting, stopping, withdrawing. Names stand apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from db.base import now as present
from db.models import Annotator, AnnotatorName, Rating, StudySkip, StudySlot
from db.session import ERASED
from db.study_places import Refused, lock_pair, lock_person, set_aside


def invite(session: Session, study_id: int, key_hash: str, name: str | None = None) -> Annotator:
    """A person who may join; IntegrityError where the hash is known in this study already."""
    person = Annotator(study_id=study_id, key_hash=key_hash)
    session.add(person)
    session.flush()
    if name:
        session.add(AnnotatorName(annotator_id=person.id, name=name[:200]))
        session.flush()
    return person


def find(session: Session, study_id: int, key_hash: str) -> Annotator | None:
    """The person with this hash in this study."""
    mine = Annotator.study_id == study_id, Annotator.key_hash == key_hash
    return session.scalar(select(Annotator).where(*mine))


def find_all_studies(session: Session, key_hashes: Sequence[str]) -> list[Annotator]:
    """The same human in several studies has a row, and where codes differ a hash, in each."""
    query = select(Annotator).where(Annotator.key_hash.in_(key_hashes))
    return list(session.scalars(query.order_by(Annotator.study_id)))


def list_annotators(session: Session, study_id: int) -> list[Annotator]:
    """In the order they were invited."""
    query = select(Annotator).where(Annotator.study_id == study_id)
    return list(session.scalars(query.order_by(Annotator.id)))


def consent(
    session: Session,
    annotator_id: int,
    excluded_topics: Sequence[str],
    now: datetime | None = None,
) -> Annotator:
    """They agree, and name topics that they don't want to see; again, it changes the topics.

    Raises Refused for one who withdrew.
    """
    person = lock_person(session, annotator_id)
    if person.state == "withdrawn":
        raise Refused("withdrawn", "you have withdrawn from this study")
    person.excluded_topics = list(dict.fromkeys(excluded_topics))
    if person.state == "invited":
        person.state, person.joined_at = "active", now or present()
    person.consented_at = person.consented_at or now or present()
    session.flush()
    return person


def practised(session: Session, annotator_id: int, now: datetime | None = None) -> None:
    """They are done with practice, so none is given any more."""
    person = lock_person(session, annotator_id)
    person.practised_at = person.practised_at or now or present()
    session.flush()


def stop(session: Session, annotator_id: int, now: datetime | None = None) -> None:
    """They rest: their ratings count, what they have now may go to others.

    What they send of it all the same is kept (`db.study_ratings.submit`).
    """
    person = lock_person(session, annotator_id)
    if person.state not in ("invited", "active"):
        return
    moment = now or present()
    person.state, person.ended_at = "stopped", moment
    held = StudySlot.annotator_id == annotator_id, StudySlot.done_at.is_(None)
    session.execute(update(StudySlot).where(*held).values(lease_until=moment))
    session.flush()


def resume(session: Session, annotator_id: int) -> None:
    """One who stopped goes on; one who withdrew can't."""
    person = lock_person(session, annotator_id)
    if person.state != "stopped":
        return
    person.state = "active" if person.consented_at else "invited"
    person.ended_at = None
    session.flush()


def withdraw(session: Session, annotator_id: int, erase: bool, now: datetime | None = None) -> None:
    """They leave for good: their ratings stay but don't count, and their places are free again.

    With `erase` the ratings, drafts, skips and the name are deleted, also of one who withdrew
    before; the row with the hash stays, so that the link doesn't let them in anew.
    """
    person = lock_person(session, annotator_id)
    if person.state != "withdrawn":
        person.state, person.ended_at = "withdrawn", now or present()
        session.flush()
    theirs = StudySlot.annotator_id == annotator_id
    pairs = select(StudySlot.pair_id).where(theirs).order_by(StudySlot.pair_id)
    for pair_id in session.scalars(pairs).all():
        places = lock_pair(session, pair_id) or []
        for slot in places:
            if slot.annotator_id == annotator_id and slot.kind == "regular":
                set_aside(session, slot, places)
    if erase:
        _overwrite_deleted(session)
        session.execute(delete(Rating).where(Rating.annotator_id == annotator_id))
        session.execute(delete(StudySkip).where(StudySkip.annotator_id == annotator_id))
        session.execute(delete(StudySlot).where(theirs))
        session.execute(delete(AnnotatorName).where(AnnotatorName.annotator_id == annotator_id))
        person.excluded_topics = []
    session.flush()


def names(session: Session, study_id: int) -> dict[int, str]:
    """annotator id -> name, of those who have one."""
    query = select(AnnotatorName.annotator_id, AnnotatorName.name).join(
        Annotator, Annotator.id == AnnotatorName.annotator_id
    )
    rows = session.execute(query.where(Annotator.study_id == study_id)).all()
    return {row.annotator_id: row.name for row in rows}


def forget_names(session: Session, study_id: int) -> int:
    """Deletes the names and nothing else; returns how many."""
    _overwrite_deleted(session)
    people = select(Annotator.id).where(Annotator.study_id == study_id)
    gone = delete(AnnotatorName).where(AnnotatorName.annotator_id.in_(people))
    return len(session.scalars(gone.returning(AnnotatorName.annotator_id)).all())


def _overwrite_deleted(session: Session) -> None:
    """SQLite else leaves what is deleted readable in its file until the room is used again, and
    in its log, which `Database.write` empties, until that is full."""
    session.info[ERASED] = True
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("PRAGMA secure_delete=ON"))
