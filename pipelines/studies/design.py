"""The design of a preference study: all that is decided before the first rating, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Criterion = Literal["coherence", "relevance", "specificity", "support"]
CRITERIA: dict[str, str] = {
    "coherence": "The steps follow from one another and lead to the conclusions.",
    "relevance": "The steps are about this conversation and what matters in it.",
    "specificity": "The steps name what is in the conversation instead of speaking in general.",
    "support": "The reasoning supports the verdicts; asked once these are shown.",
}
Stopping = Literal["fixed", "sequential"]
Enrolment = Literal["invite", "open"]


_ESSENTIAL: dict[str, Any] = {"essential": True}
_QUESTIONS: dict[str, Any] = {"group": "Questions"}
_RATINGS: dict[str, Any] = {"group": "Ratings"}
_PEOPLE: dict[str, Any] = {"group": "People"}
_ENDING: dict[str, Any] = {"group": "Ending"}


class DesignFields(BaseModel):
    """What a researcher decides: what is asked of whom, how often, when it ends and passes."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(
        "",
        max_length=200,
        description="What people who rate see the study called; it must not tell the arms. "
        "Empty: Study and its number.",
        json_schema_extra=_QUESTIONS,
    )
    question: str = Field(
        "Whose reasoning is better?",
        min_length=1,
        max_length=300,
        description="What people are asked of each pair.",
        json_schema_extra=_ESSENTIAL,
    )
    guidelines: str = Field(
        "",
        description="Shown before the first item; empty: the usual ones.",
        json_schema_extra=_QUESTIONS,
    )
    consent: str = Field(
        "", description="What people agree to; empty: the usual text.", json_schema_extra=_QUESTIONS
    )
    criteria: list[Criterion] = Field(
        ["coherence", "relevance", "specificity", "support"],
        description="What is rated from 1 to 5 for each trace: coherence, relevance, specificity, "
        "support.",
        json_schema_extra=_QUESTIONS,
    )
    criteria_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of pairs that ask for them.",
        json_schema_extra=_QUESTIONS,
    )
    ratings_per_pair: int = Field(
        1, ge=1, le=50, description="Ratings of each pair.", json_schema_extra=_ESSENTIAL
    )
    overlap_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of pairs that more people rate, to tell agreement.",
        json_schema_extra=_RATINGS,
    )
    overlap_ratings: int = Field(
        3, ge=1, le=50, description="Ratings of each of those pairs.", json_schema_extra=_RATINGS
    )
    attention_every: int = Field(
        15,
        ge=0,
        le=500,
        description="One attention item among so many ratings; 0: none.",
        json_schema_extra=_RATINGS,
    )
    practice: bool = Field(
        True,
        description="Practice with feedback before the first item.",
        json_schema_extra=_RATINGS,
    )
    topics: list[str] = Field(
        [], description="Topics that a person may leave out.", json_schema_extra=_PEOPLE
    )
    reveal_verdicts: bool = Field(
        True, description="Show the verdicts once a pair is rated.", json_schema_extra=_QUESTIONS
    )
    daily_cap: int = Field(
        150,
        ge=0,
        description="Most ratings of a person in a day; 0: no cap.",
        json_schema_extra=_PEOPLE,
    )
    break_every: int = Field(
        25, ge=0, description="Suggest a break after so many ratings.", json_schema_extra=_PEOPLE
    )
    lease_minutes: float = Field(
        30,
        gt=0,
        le=1440,
        description="How long a pair stays with a person who doesn't rate it.",
        json_schema_extra=_PEOPLE,
    )
    target: float = Field(
        0.6,
        gt=0.5,
        lt=1,
        description="The win rate of the first arm that the study is to show.",
        json_schema_extra=_ESSENTIAL,
    )
    stopping: Stopping = Field(
        "fixed",
        description="When it ends: once every pair is rated (fixed), or at the latest then: sooner "
        "once the e-value has reached 20 and the study passes or speaks against the first arm "
        "(sequential).",
        json_schema_extra=_ENDING,
    )
    enrolment: Enrolment = Field(
        "invite",
        description="Only people with a link (invite), or anybody who gives a name (open).",
        json_schema_extra=_PEOPLE,
    )
    seed: int = Field(0, ge=0, description="Seed of the draw of items, sides and shares.")


class StudyDesign(DesignFields):
    """All that was decided, with what making the study had to say."""

    remarks: list[str] = Field(
        [], description="What making the study had to say, such as items left out, and why."
    )


def title(study_id: int, given: str) -> str:
    """What people who rate see a study called. Never its name, which tells the arms."""
    return given.strip() or f"Study {study_id}"


def design_hash(content: Mapping[str, Any] | Sequence[Any]) -> str:
    """SHA-256 of the design, arms, items, traces and pairs as canonical JSON."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
