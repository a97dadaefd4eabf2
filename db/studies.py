"""Preference studies: two arms' traces, who is shown which pair on which sides, and ratings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import NamedTuple

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models import Assignment, Rating, Study, StudyPair

DEFAULT_QUESTION = "Whose reasoning is better?"


class NewPair(NamedTuple):
    """A conversation with the trace of each arm."""

    prompt: str
    response: str | None
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A pair as a person sees it. Which arm stands left is not part of it."""

    pair_id: int
    prompt: str
    response: str | None
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Preference:
    """A rating, told by arm: `score` runs from 1 (arms[1] much better) to 5 (arms[0] much better).

    `left_arm` is the arm that stood left, by which a leaning to one side can be seen.
    """

    pair_id: int
    annotator: str
    score: int
    left_arm: int
    seconds: float
    created_at: datetime


def create(
    session: Session,
    name: str,
    arms: Sequence[str],
    pairs: Iterable[tuple[str, str | None, str, str]],
    question: str = DEFAULT_QUESTION,
) -> Study:
    """A study of two arms; a pair is (prompt, response, trace of arms[0], trace of arms[1]).

    Raises ValueError where there are not two different arms, and IntegrityError where the name
    is taken.
    """
    if len(arms) != 2 or arms[0] == arms[1]:
        raise ValueError(f"arms={list(arms)!r}: must be two different names")
    study = Study(name=name, arms=list(arms), question=question)
    study.pairs = [
        StudyPair(prompt=prompt, response=response, first=first, second=second)
        for prompt, response, first, second in pairs
    ]
    session.add(study)
    session.flush()
    return study


def get_study(session: Session, study_id: int) -> Study | None:
    return session.get(Study, study_id)


def list_studies(session: Session) -> list[Study]:
    """The newest first."""
    return list(session.scalars(select(Study).order_by(Study.id.desc())))


def _rated_by(annotator: str) -> ColumnElement[bool]:
    mine = select(Rating.id).where(Rating.pair_id == StudyPair.id, Rating.annotator == annotator)
    return exists(mine.correlate(StudyPair))


def next_pair(
    session: Session, study_id: int, annotator: str, rng: Random | None = None
) -> ShownPair | None:
    """What this person is to rate next; None once all is rated. Needs a writing session.

    A pair once shown is shown again, on the same sides, until it is rated. Otherwise it is one
    of those with the fewest ratings, on sides drawn at random.
    """
    open_pair = (
        select(StudyPair, Assignment.left_arm)
        .join(Assignment, Assignment.pair_id == StudyPair.id)
        .where(StudyPair.study_id == study_id, Assignment.annotator == annotator)
        .where(~_rated_by(annotator))
        .order_by(Assignment.id)
        .limit(1)
    )
    found = session.execute(open_pair).first()
    if found is None:
        # One draw at a time, or the same person's second tab would draw another pair.
        session.execute(select(Study.id).where(Study.id == study_id).with_for_update())
        found = session.execute(open_pair).first()
    if found is None and _assign(session, study_id, annotator, rng or Random()):
        found = session.execute(open_pair).first()
    if found is None:
        return None
    pair, left_arm = found
    left, right = (pair.first, pair.second) if left_arm == 0 else (pair.second, pair.first)
    return ShownPair(pair.id, pair.prompt, pair.response, left, right)


def _assign(session: Session, study_id: int, annotator: str, rng: Random) -> bool:
    counts = (
        select(StudyPair.id, func.count(Rating.id))
        .outerjoin(Rating, Rating.pair_id == StudyPair.id)
        .where(StudyPair.study_id == study_id, ~_rated_by(annotator))
        .group_by(StudyPair.id)
        .order_by(StudyPair.id)
    )
    rows = session.execute(counts).all()
    if not rows:
        return False
    fewest = min(count for _, count in rows)
    pair_id = rng.choice([pair_id for pair_id, count in rows if count == fewest])
    session.add(Assignment(pair_id=pair_id, annotator=annotator, left_arm=rng.randrange(2)))
    session.flush()
    return True


def add_rating(
    session: Session, pair_id: int, annotator: str, score: int, seconds: float = 0.0
) -> Rating | None:
    """Stores a score from 1 (left much better) to 5 (right much better).

    Returns None, changing nothing, where this person has rated the pair before. Raises
    LookupError where the pair was never shown to them, ValueError where the score is no 1 to 5.
    """
    if score not in range(1, 6):
        raise ValueError(f"score={score!r}: must be 1, 2, 3, 4 or 5")
    shown = select(Assignment.left_arm).where(
        Assignment.pair_id == pair_id, Assignment.annotator == annotator
    )
    left_arm = session.scalar(shown)
    if left_arm is None:
        raise LookupError(f"pair={pair_id}: was not shown to {annotator}")
    row = Rating(
        pair_id=pair_id, annotator=annotator, left_arm=left_arm, score=score, seconds=seconds
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return None
    return row


def results(session: Session, study_id: int) -> list[Preference]:
    """Every rating of the study, oldest first, told by arm and not by side."""
    query = (
        select(Rating)
        .join(StudyPair, StudyPair.id == Rating.pair_id)
        .where(StudyPair.study_id == study_id)
        .order_by(Rating.id)
    )
    return [
        Preference(
            row.pair_id,
            row.annotator,
            6 - row.score if row.left_arm == 0 else row.score,
            row.left_arm,
            row.seconds,
            row.created_at,
        )
        for row in session.scalars(query)
    ]


def progress(session: Session, study_id: int, annotator: str | None = None) -> tuple[int, int]:
    """(ratings given, by this person where named; pairs in the study)."""
    pairs = select(func.count()).select_from(StudyPair).where(StudyPair.study_id == study_id)
    ratings = select(func.count(Rating.id)).join(StudyPair, StudyPair.id == Rating.pair_id)
    ratings = ratings.where(StudyPair.study_id == study_id)
    if annotator is not None:
        ratings = ratings.where(Rating.annotator == annotator)
    return session.scalar(ratings) or 0, session.scalar(pairs) or 0
