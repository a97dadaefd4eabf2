"""The tables of preference studies: items, traces, pairs, slots, people and ratings.

Sides are as people saw them (left, right); arms are numbers, the places in `Study.arms`. Which arm
stood on which side is in the slot and never leaves the server.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.base import Base, now

STUDY_STATES = ("draft", "open", "paused", "closed")
ITEM_KINDS = ("main", "practice", "attention")
SLOT_KINDS = ("regular", "extra", "overflow")
PERSON_STATES = ("invited", "active", "stopped", "withdrawn")
BOTH_BAD = 0
"""An overall rating beside 1 (left much better) to 5 (right much better)."""


class Study(Base):
    """A blinded comparison of two or more arms' reasoning. Frozen once `design_hash` is set."""

    __tablename__ = "studies"
    __table_args__ = (CheckConstraint(f"state in {STUDY_STATES!r}", name="state"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    state: Mapped[str] = mapped_column(String(20), default="draft", index=True)
    arms: Mapped[list[Any]] = mapped_column()  # {name, kind, reference, ...} each, in fixed order
    design: Mapped[dict[str, Any]] = mapped_column(default=dict)  # a StudyDesign as JSON
    design_hash: Mapped[str | None] = mapped_column(String(64))
    job_id: Mapped[int | None] = mapped_column(
        ForeignKey("jobs.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=now)
    opened_at: Mapped[datetime | None] = mapped_column()
    closed_at: Mapped[datetime | None] = mapped_column()
    close_reason: Mapped[str] = mapped_column(String(200), default="")
    items: Mapped[list[StudyItem]] = relationship(order_by="StudyItem.id", passive_deletes=True)


class StudyItem(Base):
    """A conversation that is rated; practice and attention items have an expected answer."""

    __tablename__ = "study_items"
    __table_args__ = (
        CheckConstraint(f"kind in {ITEM_KINDS!r}", name="kind"),
        UniqueConstraint("study_id", "position"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column()  # 0, 1, ... within the study
    kind: Mapped[str] = mapped_column(String(20), default="main")
    prompt: Mapped[str] = mapped_column(Text)
    response: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(200), default="")
    row_id: Mapped[str] = mapped_column(String(200), default="")
    topic: Mapped[str] = mapped_column(String(100), default="", index=True)
    gold: Mapped[dict[str, Any]] = mapped_column(default=dict)  # task -> label
    expected_arm: Mapped[int | None] = mapped_column()  # the better arm of practice and attention
    feedback: Mapped[str] = mapped_column(Text, default="")  # said after a practice item
    traces: Mapped[list[StudyTrace]] = relationship(order_by="StudyTrace.arm", passive_deletes=True)
    pairs: Mapped[list[StudyPair]] = relationship(order_by="StudyPair.id", passive_deletes=True)


class StudyTrace(Base):
    """What one arm answered to an item: the whole text, and what was read in it."""

    __tablename__ = "study_traces"
    __table_args__ = (UniqueConstraint("item_id", "arm"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("study_items.id", ondelete="CASCADE"))
    arm: Mapped[int] = mapped_column()
    text: Mapped[str] = mapped_column(Text)
    verdicts: Mapped[dict[str, Any]] = mapped_column(default=dict)  # task -> label or None
    right: Mapped[bool | None] = mapped_column()  # every gold label met; None without gold
    quality: Mapped[float | None] = mapped_column(Float)  # automatic reasoning score, 0 to 1


class StudyPair(Base):
    """Two arms' traces of one item, to be compared `wanted` times."""

    __tablename__ = "study_pairs"
    __table_args__ = (
        UniqueConstraint("item_id", "first_arm", "second_arm"),
        CheckConstraint("first_arm <> second_arm", name="arms"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("study_items.id", ondelete="CASCADE"))
    first_arm: Mapped[int] = mapped_column()
    second_arm: Mapped[int] = mapped_column()
    stratum: Mapped[str] = mapped_column(String(20), default="")  # both, first, second, neither
    wanted: Mapped[int] = mapped_column(default=1)
    slots: Mapped[list[StudySlot]] = relationship(order_by="StudySlot.number", passive_deletes=True)


class StudySlot(Base):
    """A place for one rating of a pair, and the lease of the person who has it.

    `regular` ones are made when the study opens, as many as a pair's `wanted`, and only their
    ratings count. `extra` ones are made as a person comes to a practice or attention item. A place
    that somebody lost, skipped or withdrew from becomes an `overflow` one, with all that is in it,
    and another regular one is made instead: so a token finds what it was given for, for ever.
    """

    __tablename__ = "study_slots"
    __table_args__ = (
        UniqueConstraint("pair_id", "number"),
        UniqueConstraint("pair_id", "annotator_id"),
        CheckConstraint(f"kind in {SLOT_KINDS!r}", name="kind"),
        # All that choosing the next pair reads, so that it needn't touch the table.
        Index(
            "ix_study_slots_places",
            *("study_id", "kind", "pair_id", "left_first", "annotator_id", "lease_until"),
            "done_at",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    pair_id: Mapped[int] = mapped_column(ForeignKey("study_pairs.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column()
    kind: Mapped[str] = mapped_column(String(20), default="regular")
    left_first: Mapped[bool] = mapped_column()  # the pair's first arm stands left
    with_criteria: Mapped[bool] = mapped_column(default=False)
    annotator_id: Mapped[int | None] = mapped_column(
        ForeignKey("annotators.id", ondelete="SET NULL"), index=True
    )
    token: Mapped[str | None] = mapped_column(String(64), unique=True)  # of the present lease
    leased_at: Mapped[datetime | None] = mapped_column()
    lease_until: Mapped[datetime | None] = mapped_column()
    shown_at: Mapped[datetime | None] = mapped_column()  # the conversation was revealed
    done_at: Mapped[datetime | None] = mapped_column()
    draft: Mapped[dict[str, Any] | None] = mapped_column()
    drafted_at: Mapped[datetime | None] = mapped_column()


class Rating(Base):
    """What one person said of one pair, by side. Revision 1 counts; later ones are kept beside."""

    __tablename__ = "ratings"
    __table_args__ = (
        UniqueConstraint("pair_id", "annotator_id", "revision"),
        UniqueConstraint("slot_id", "revision"),
        Index("ix_ratings_annotator_created", "annotator_id", "created_at"),
        CheckConstraint("overall between 0 and 5", name="overall"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    pair_id: Mapped[int] = mapped_column(ForeignKey("study_pairs.id", ondelete="CASCADE"))
    slot_id: Mapped[int] = mapped_column(ForeignKey("study_slots.id", ondelete="CASCADE"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id", ondelete="CASCADE"))
    revision: Mapped[int] = mapped_column(default=1)
    submission: Mapped[str] = mapped_column(String(80), unique=True)  # the token it came with
    overall: Mapped[int] = mapped_column()
    criteria: Mapped[dict[str, Any]] = mapped_column(default=dict)  # name -> [left, right], 1 to 5
    note: Mapped[str] = mapped_column(Text, default="")
    marks: Mapped[list[Any]] = mapped_column(default=list)  # {side, step, mark} each
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    late: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class StudySkip(Base):
    """A pair that a person passed over, and why. It isn't shown to them again."""

    __tablename__ = "study_skips"
    __table_args__ = (UniqueConstraint("pair_id", "annotator_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    pair_id: Mapped[int] = mapped_column(ForeignKey("study_pairs.id", ondelete="CASCADE"))
    annotator_id: Mapped[int] = mapped_column(
        ForeignKey("annotators.id", ondelete="CASCADE"), index=True
    )
    reason: Mapped[str] = mapped_column(String(40))
    note: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Annotator(Base):
    """A person within one study, known by the keyed hash of an invite code or a Hub login."""

    __tablename__ = "annotators"
    __table_args__ = (
        UniqueConstraint("study_id", "key_hash"),
        CheckConstraint(f"state in {PERSON_STATES!r}", name="state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    key_hash: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20), default="invited")
    consented_at: Mapped[datetime | None] = mapped_column()
    excluded_topics: Mapped[list[Any]] = mapped_column(default=list)
    practised_at: Mapped[datetime | None] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(default=now)
    joined_at: Mapped[datetime | None] = mapped_column()
    ended_at: Mapped[datetime | None] = mapped_column()


class AnnotatorName(Base):
    """The name of a person, in a table of its own that can be emptied without losing a rating."""

    __tablename__ = "annotator_names"

    annotator_id: Mapped[int] = mapped_column(
        ForeignKey("annotators.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(200))
