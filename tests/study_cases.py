"""Small studies and people in them, for tests of all that has to do with ratings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy.orm import Session

from db import annotators, studies, study_ratings, study_slots
from db.session import Database
from db.studies import NewItem, NewTrace
from db.study_ratings import Rated, Submitted
from db.study_slots import Lease

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
ARMS = ("plain", "tuned", "other")


def new_item(
    number: int,
    wanted: int = 1,
    kind: str = "main",
    arms: int = 2,
    topic: str = "",
    expected_arm: int | None = None,
) -> NewItem:
    """An item whose traces name their arms, all of which are compared."""
    pairs = [(one, two, "both", wanted) for two in range(arms) for one in range(two)]
    return NewItem(
        kind=kind,
        prompt=f"{kind} prompt {number}",
        response=None if number % 2 else f"response {number}",
        source="test",
        row_id=f"{kind}-{number}",
        topic=topic,
        gold={"prompt_harmfulness": "harmful"},
        traces=[
            NewTrace(arm, f"{ARMS[arm]} {number}", {"prompt_harmfulness": "harmful"}, True, 0.5)
            for arm in range(arms)
        ],
        pairs=pairs,
        expected_arm=expected_arm,
        feedback="because" if kind == "practice" else "",
    )


def make_study(
    session: Session,
    items: list[NewItem] | int = 6,
    *,
    name: str = "tuned against plain",
    arms: int = 2,
    criteria_share: float = 0.0,
    seed: int = 0,
    design: dict[str, Any] | None = None,
) -> int:
    """The id of an open study."""
    if isinstance(items, int):
        items = [new_item(number, arms=arms) for number in range(items)]
    named = [{"name": ARMS[arm]} for arm in range(arms)]
    study = studies.create(session, name, named, design or {}, items)
    studies.open_study(session, study.id, "0" * 64, seed, criteria_share)
    return study.id


def add_people(session: Session, study_id: int, count: int, prefix: str = "person") -> list[int]:
    """The ids of so many people who have consented."""
    made = [
        annotators.invite(session, study_id, f"{prefix} {n}", f"{prefix}-{n}") for n in range(count)
    ]
    return [annotators.consent(session, person.id, []).id for person in made]


class Sitting:
    """A person who rates, with a clock of their own."""

    def __init__(self, database: Database, study_id: int, person: int, seed: int = 0) -> None:
        self.database, self.study_id, self.person = database, study_id, person
        self.rng = Random(seed)
        self.now = START

    def next(
        self,
        lease_seconds: float = 60,
        attention_every: int = 0,
        practice: bool = False,
        cap: int = 0,
    ) -> Lease | None:
        with self.database.write() as session:
            return study_slots.next_slot(
                session,
                self.study_id,
                self.person,
                lease_seconds=lease_seconds,
                attention_every=attention_every,
                practice=practice,
                daily_cap=cap,
                now=self.now,
                rng=self.rng,
            )

    def take(self, **options: Any) -> Lease:
        lease = self.next(**options)
        assert lease is not None
        return lease

    def submit(self, token: str, overall: int = 3) -> Submitted:
        with self.database.write() as session:
            return study_ratings.submit(
                session, token, self.person, overall, {}, "", [], now=self.now
            )

    def skip(self, token: str) -> None:
        with self.database.write() as session:
            study_ratings.skip(session, token, self.person, "unclear", "", now=self.now)

    def reveal(self, token: str) -> Lease:
        with self.database.write() as session:
            return study_slots.reveal(session, token, self.person, now=self.now)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def sitting(database: Database, study: int, count: int = 1) -> list[Sitting]:
    """So many people of a study, each with a draw of their own."""
    with database.write() as session:
        people = add_people(session, study, count)
    return [Sitting(database, study, person, seed) for seed, person in enumerate(people)]


def opened(database: Database, *args: object, **options: object) -> int:
    """The number of an open study; as `make_study`."""
    with database.write() as session:
        return make_study(session, *args, **options)  # type: ignore[arg-type]


def counted(database: Database, study_id: int) -> list[Rated]:
    """The ratings that count, oldest first."""
    with database.read() as session:
        rated = study_ratings.ratings_of(session, study_id)
    return [one for one in rated if study_ratings.counts(one)]


def worst_gap(rated: Iterable[Rated]) -> int:
    """How far the sides of any pair were from even, at any moment."""
    gaps: dict[int, int] = defaultdict(int)
    worst = 0
    for one in rated:
        gaps[one.pair.id] += 1 if one.slot.left_first else -1
        worst = max(worst, abs(gaps[one.pair.id]))
    return worst
