"""The tables of mining: hard samples, their answers and changes, and frozen pair sets."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.base import Base, now

if TYPE_CHECKING:
    from db.models import Artifact

# All that the inspector filters, counts and sorts by, so that none of it reads the wide texts.
FACET_COLUMNS = (
    *("job_id", "hardness", "task", "source", "model", "direction", "review", "human_edited"),
    *("duplicate", "near_equal", "length_gap", "unparsed", "k_incorrect"),
    *("length", "weight", "chosen_length", "rejected_length", "id"),
)

# Of one job, in the orders of `db.sample_filters.ORDERS`; `hardness` is nearly always asked for.
ORDER_INDEXES = {
    "ix_hard_samples_mined": ("job_id", "id", "hardness"),
    "ix_hard_samples_weight": ("job_id", "weight", "id", "hardness"),
    "ix_hard_samples_wrong": ("job_id", "k_incorrect", "id", "hardness"),
    "ix_hard_samples_length": ("job_id", "length", "id", "hardness"),
}


class HardSampleRow(Base):
    """A mined hard sample; `chosen` and `rejected` are positions among its generations.

    Columns from `hardness` on are told from the rest, and stored so that lists can be filtered.
    """

    __tablename__ = "hard_samples"
    __table_args__ = (
        UniqueConstraint("job_id", "row_id"),
        Index("ix_hard_samples_facets", *FACET_COLUMNS),
        *(Index(name, *columns) for name, columns in ORDER_INDEXES.items()),
        # A page that shows a sample must not find another one under its id after a new run.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    row_id: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text, default="")
    model: Mapped[str] = mapped_column(Text, default="")  # the moderator that gave the answers
    sampling: Mapped[dict[str, Any]] = mapped_column(default=dict)  # seed, temperature, top_p, ...
    task: Mapped[str] = mapped_column(String(30))
    prompt: Mapped[str] = mapped_column(Text)
    response: Mapped[str | None] = mapped_column(Text)
    gold: Mapped[dict[str, Any]] = mapped_column()  # task -> label
    mined_gold: Mapped[dict[str, Any] | None] = mapped_column()  # what it was before a relabel
    k_correct: Mapped[int] = mapped_column()
    k_incorrect: Mapped[int] = mapped_column()
    chosen: Mapped[int | None] = mapped_column()
    rejected: Mapped[int | None] = mapped_column()
    weight: Mapped[float] = mapped_column(Float)
    review: Mapped[str] = mapped_column(String(10), default="new")  # new, accepted or dropped
    reason: Mapped[str] = mapped_column(Text, default="")  # why it was dropped
    human_edited: Mapped[bool] = mapped_column(default=False)  # a person wrote chosen or rejected
    reviewed_at: Mapped[datetime | None] = mapped_column()
    hardness: Mapped[str] = mapped_column(String(10), default="hard")  # hard, all_wrong or settled
    direction: Mapped[str] = mapped_column(String(12), default="")  # false_alarm or miss
    unparsed: Mapped[int] = mapped_column(default=0)  # of its generations
    length: Mapped[int] = mapped_column(default=0)  # characters of the conversation
    duplicate_of: Mapped[int | None] = mapped_column()  # id of the first of its near-duplicates
    duplicate: Mapped[bool] = mapped_column(default=False)  # it has such a first one
    near_equal: Mapped[bool] = mapped_column(default=False)  # chosen and rejected hardly differ
    length_gap: Mapped[bool] = mapped_column(default=False)  # one is far longer than the other
    chosen_length: Mapped[int] = mapped_column(default=0)  # in characters; 0 where there is none
    rejected_length: Mapped[int] = mapped_column(default=0)
    generations: Mapped[list[GenerationRow]] = relationship(
        order_by="GenerationRow.position", cascade="all, delete-orphan", passive_deletes=True
    )
    changes: Mapped[list[SampleChange]] = relationship(
        order_by="SampleChange.id", cascade="all, delete-orphan", passive_deletes=True
    )


class GenerationRow(Base):
    """One of the k answers of a hard sample, or a person's edit of one."""

    __tablename__ = "generations"
    __table_args__ = (UniqueConstraint("hard_sample_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    hard_sample_id: Mapped[int] = mapped_column(ForeignKey("hard_samples.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column()
    text: Mapped[str] = mapped_column(Text)
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)  # task -> label or null
    error: Mapped[str | None] = mapped_column(Text)
    correct: Mapped[bool | None] = mapped_column()
    tokens: Mapped[int] = mapped_column(default=0)
    edited_from: Mapped[int | None] = mapped_column()  # the position of what a person edited


class SampleChange(Base):
    """What a person did to a hard sample: enough to show it and to take it back."""

    __tablename__ = "sample_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    hard_sample_id: Mapped[int] = mapped_column(
        ForeignKey("hard_samples.id", ondelete="CASCADE"), index=True
    )
    at: Mapped[datetime] = mapped_column(default=now)
    action: Mapped[str] = mapped_column(String(20))  # accept, drop, restore, pick, edit, relabel
    before: Mapped[dict[str, Any]] = mapped_column(default=dict)
    after: Mapped[dict[str, Any]] = mapped_column(default=dict)


class PairSet(Base):
    """A named line of frozen pair-set versions: what mining made and what curation made of it."""

    __tablename__ = "pair_sets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    # The job whose hard samples the inspector shows for it; none for an imported set.
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    versions: Mapped[list[PairSetVersion]] = relationship(
        order_by="PairSetVersion.version", back_populates="pair_set", passive_deletes=True
    )


class PairSetVersion(Base):
    """A frozen pair set: its folder is an artifact, its rows never change."""

    __tablename__ = "pair_set_versions"
    __table_args__ = (UniqueConstraint("pair_set_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    pair_set_id: Mapped[int] = mapped_column(ForeignKey("pair_sets.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column()
    artifact_id: Mapped[int] = mapped_column(
        ForeignKey("artifacts.id", ondelete="CASCADE"), unique=True
    )
    sha256: Mapped[str] = mapped_column(String(64))  # of pairs.jsonl
    rows: Mapped[int] = mapped_column()
    note: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    pair_set: Mapped[PairSet] = relationship(back_populates="versions")
    artifact: Mapped[Artifact] = relationship()
