"""What the database holds of a study, as the values that reports and exports take.

A rating is stored by side; here it is told by arm. Everything that was stored comes along, what
isn't counted with the reason.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import annotators, studies, study_ratings
from db.models import Rating, StudySkip
from db.study_models import BOTH_BAD
from pipelines.jobs.study_facts import study_facts
from pipelines.preferences.votes import Vote
from pipelines.studies.design import design_hash
from pipelines.studies.records import WHY_NOT, Person, Rated, Revision, StudyRecords

TIE = 3


def study_votes(session: Session, study_id: int) -> list[Vote]:
    """Every stored rating's first opinion, told by arm; `why_not` says which aren't counted."""
    return list(read_study(session, study_id).votes)


def read_study(session: Session, study_id: int) -> StudyRecords:
    """The study with its people and ratings. Raises NotFoundError where there is none."""
    facts = study_facts(session, study_id)
    if facts.design_hash:
        found = design_hash(studies.content_of(session, study_id))
        facts = replace(facts, changed=found != facts.design_hash)
    ratings = study_ratings.ratings_of(session, study_id)
    people = _people(session, study_id, ratings)
    return StudyRecords(facts, tuple(people.values()), tuple(_rated(ratings, people)))


def code_of(study_id: int, key_hash: str) -> str:
    """What stands for a person outside of the database: it leads back neither to a name nor to
    the hash that lets them in."""
    return hashlib.sha256(f"guardui person {study_id} {key_hash}".encode()).hexdigest()[:16]


def _people(
    session: Session, study_id: int, ratings: Sequence[study_ratings.Rated]
) -> dict[int, Person]:
    """id -> person, in the order in which they were invited."""
    names = annotators.names(session, study_id)
    first = [one for one in ratings if one.rating.revision == 1]
    practice = Counter(one.annotator.id for one in first if one.item.kind == "practice")
    others = Counter(one.annotator.id for one in first if one.item.kind != "practice")
    unread = Counter(one.annotator.id for one in first if one.slot.shown_at is None)
    last = {one.annotator.id: one.rating.created_at for one in first}
    skips = Counter(
        session.scalars(select(StudySkip.annotator_id).where(StudySkip.study_id == study_id))
    )
    found = sorted(annotators.list_annotators(session, study_id), key=lambda one: one.id)
    return {
        one.id: Person(
            id=one.id,
            number=number,
            code=code_of(study_id, one.key_hash),
            state=one.state,
            name=names.get(one.id),
            ratings=others[one.id],
            practice=practice[one.id],
            skips=skips[one.id],
            unread=unread[one.id],
            joined_at=one.joined_at,
            last_at=last.get(one.id),
            excluded_topics=tuple(map(str, one.excluded_topics)),
        )
        for number, one in enumerate(found, 1)
    }


def _rated(ratings: Sequence[study_ratings.Rated], people: Mapping[int, Person]) -> list[Rated]:
    """Every place with an opinion, in the order in which the first ones came."""
    places: dict[int, list[study_ratings.Rated]] = defaultdict(list)
    for one in ratings:
        places[one.slot.id].append(one)
    found = []
    for opinions in places.values():
        seen = _Seen(opinions[0], people[opinions[0].annotator.id])
        found.append(seen.rated(sorted((one.rating for one in opinions), key=_revision)))
    return found


def _revision(rating: Rating) -> int:
    return rating.revision


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a rating was about, and whose it is."""

    row: study_ratings.Rated
    person: Person

    def rated(self, ratings: Sequence[Rating]) -> Rated:
        """`ratings` by revision, the first of them counts."""
        item, first, second = self.row.item, self.row.first, self.row.second
        revisions = tuple(self.revision(one) for one in ratings)
        return Rated(
            vote=self.vote(revisions),
            prompt=item.prompt,
            response=item.response,
            source=item.source,
            row_id=item.row_id,
            topic=item.topic,
            gold=item.gold,
            traces=(first.text, second.text),
            verdicts=(first.verdicts, second.verdicts),
            right=(first.right, second.right),
            revisions=revisions,
        )

    def vote(self, revisions: Sequence[Revision]) -> Vote:
        primary, last = revisions[0], revisions[-1]
        pair, item, first, second = self.row.pair, self.row.item, self.row.first, self.row.second
        return Vote(
            study=item.study_id,
            item=item.id,
            pair=pair.id,
            annotator=self.person.code,
            first_arm=pair.first_arm,
            second_arm=pair.second_arm,
            score=primary.score,
            left_arm=pair.first_arm if self.row.slot.left_first else pair.second_arm,
            both_bad=primary.both_bad,
            criteria=primary.criteria,
            note=primary.note,
            marks=primary.marks,
            seconds=primary.seconds,
            stratum=pair.stratum,
            kind=item.kind,
            expected_arm=item.expected_arm,
            words=(len(first.text.split()), len(second.text.split())),
            quality=(first.quality, second.quality),
            last_score=last.score if len(revisions) > 1 else None,
            late=primary.late,
            revealed=self.row.slot.shown_at is not None,
            why_not=self.why_not(),
            created_at=primary.created_at,
        )

    def why_not(self) -> str:
        if self.person.state == "withdrawn":
            return WHY_NOT["withdrawn"]
        if self.row.item.kind != "main":
            return WHY_NOT[self.row.item.kind]
        return WHY_NOT["overflow"] if self.row.slot.kind == "overflow" else ""

    def revision(self, rating: Rating) -> Revision:
        """A stored opinion, turned from sides to arms."""
        left_first = self.row.slot.left_first
        arms = (self.row.pair.first_arm, self.row.pair.second_arm)
        left, right = arms if left_first else reversed(arms)
        score = TIE if rating.overall == BOTH_BAD else rating.overall
        return Revision(
            number=rating.revision,
            score=6 - score if left_first else score,
            both_bad=rating.overall == BOTH_BAD,
            criteria={
                name: (sides[0], sides[1]) if left_first else (sides[1], sides[0])
                for name, sides in rating.criteria.items()
            },
            note=rating.note,
            marks=tuple(
                {
                    "arm": left if mark.get("side") == "left" else right,
                    **{key: value for key, value in mark.items() if key != "side"},
                }
                for mark in rating.marks
            ),
            seconds=rating.seconds,
            late=rating.late,
            created_at=rating.created_at,
        )
