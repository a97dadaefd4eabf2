"""What a study has gathered, as plain values: its facts, its people, and every rating by arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.preferences.votes import Vote
from pipelines.studies.design import StudyDesign


@dataclass(frozen=True, slots=True)
class Revision:
    """One opinion as it was given, told by arm; `score` is as a vote's, 5 for the first arm."""

    number: int
    score: int
    both_bad: bool
    criteria: Mapping[str, tuple[int, int]]
    note: str
    marks: tuple[Mapping[str, object], ...]
    seconds: float
    late: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Rated:
    """A rating with all that it was about. Two of a thing are those of (first arm, second arm)."""

    vote: Vote
    prompt: str
    response: str | None
    source: str
    row_id: str
    topic: str
    gold: Mapping[str, str]
    traces: tuple[str, str]
    verdicts: tuple[Mapping[str, str | None], Mapping[str, str | None]]
    right: tuple[bool | None, bool | None]
    revisions: tuple[Revision, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was invited or joined. `code` stands for them wherever the study is passed on,
    `number` is their place among the study's people, from 1."""

    id: int
    number: int
    code: str
    state: str
    name: str | None = None
    ratings: int = 0
    practice: int = 0
    skips: int = 0
    unread: int = 0  # ratings without opening the conversation
    joined_at: datetime | None = None
    last_at: datetime | None = None
    excluded_topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a study is. `rated` of `wanted` ratings are in; `items` and `pairs` count what is
    compared, without practice and attention; `strata` pairs by stratum. `changed`: design, arms,
    items or traces aren't what they were when the study was opened; only `read_study` looks."""

    id: int
    name: str
    state: str
    arms: tuple[Mapping[str, object], ...]
    design: StudyDesign
    design_hash: str | None
    job_id: int | None
    items: int
    practice: int
    attention: int
    pairs: int
    wanted: int
    rated: int
    strata: Mapping[str, int]
    created_at: datetime
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: str = ""
    changed: bool = False

    @property
    def arm_names(self) -> tuple[str, ...]:
        return tuple(str(arm.get("name", "")) for arm in self.arms)


@dataclass(frozen=True, slots=True)
class StudyRecords:
    """A study whole, as it is at one moment."""

    facts: StudyFacts
    people: tuple[Person, ...] = ()
    rated: tuple[Rated, ...] = field(default=())

    @property
    def votes(self) -> tuple[Vote, ...]:
        return tuple(one.vote for one in self.rated)

    @property
    def shared(self) -> tuple[Rated, ...]:
        """The ratings that may be passed on: all but those of people who withdrew."""
        return tuple(one for one in self.rated if one.vote.why_not != WHY_NOT["withdrawn"])


WHY_NOT = {
    "practice": "practice",
    "attention": "attention item",
    "overflow": "came too late: its place was given to somebody else, or the study was closed",
    "withdrawn": "withdrawn",
}
"""Why a rating isn't counted, as votes say it."""
