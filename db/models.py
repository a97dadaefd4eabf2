"""The tables: jobs, their events and artifacts, hard samples, and preference studies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

WAITING = ("queued", "blocked")
ACTIVE = ("starting", "running", "stopping")
ENDED = ("succeeded", "failed", "stopped", "interrupted")
RESUMABLE = ("stopped", "interrupted", "failed")
STATES = (*WAITING, *ACTIVE, *ENDED)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite would otherwise hand back a naive one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    # Named constraints, so that a migration can drop them on every database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


HOLDS_LEASE = text(f"exclusive AND state IN {ACTIVE!r}")
# An id is never given twice, so that a page which asks for "all after id N" misses nothing and
# a job never finds the folder of a deleted one.
FRESH_IDS = {"sqlite_autoincrement": True}


class JobParent(Base):
    """An edge of the job graph: `job_id` starts only after `parent_id` has succeeded."""

    __tablename__ = "job_parents"
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    parent_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Job(Base):
    """One run of a stage. A resumed job keeps its row; `attempt` counts its processes."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state in {STATES!r}", name="state"),
        # The lease: one active exclusive job a device, whoever launches it.
        Index(
            "uq_jobs_device_lease",
            "device",
            unique=True,
            sqlite_where=HOLDS_LEASE,
            postgresql_where=HOLDS_LEASE,
        ),
        FRESH_IDS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    stage: Mapped[str] = mapped_column(String(40))
    preset: Mapped[str | None] = mapped_column(String(60))
    title: Mapped[str] = mapped_column(String(200), default="")
    state: Mapped[str] = mapped_column(String(20), default="queued", index=True)
    reason: Mapped[str | None] = mapped_column(Text)  # why blocked, failed or interrupted
    position: Mapped[float] = mapped_column(Float, default=0.0)  # lower runs first
    config: Mapped[dict[str, Any]] = mapped_column()
    resolved: Mapped[dict[str, Any] | None] = mapped_column()  # config, references made paths
    command: Mapped[str] = mapped_column(Text, default="")
    device: Mapped[str] = mapped_column(String(20), default="cpu")
    exclusive: Mapped[bool] = mapped_column(default=True)  # holds the lease of its device
    launcher: Mapped[str] = mapped_column(String(20), default="local")
    attempt: Mapped[int] = mapped_column(default=0)
    pid: Mapped[int | None] = mapped_column()
    pid_created: Mapped[float | None] = mapped_column(Float)  # the process's start, in seconds
    boot_id: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None] = mapped_column()
    finished_at: Mapped[datetime | None] = mapped_column()
    heartbeat_at: Mapped[datetime | None] = mapped_column()
    stop_requested_at: Mapped[datetime | None] = mapped_column()
    stop_signal: Mapped[str | None] = mapped_column(String(10))  # last signal sent: TERM, KILL
    stop_signal_at: Mapped[datetime | None] = mapped_column()
    step: Mapped[int] = mapped_column(Integer, default=0)
    total_steps: Mapped[int] = mapped_column(Integer, default=0)
    activity: Mapped[str] = mapped_column(String(200), default="")  # what it is doing now
    failure: Mapped[dict[str, Any] | None] = mapped_column()  # code, message, advice, traceback

    parents: Mapped[list[Job]] = relationship(
        secondary="job_parents",
        primaryjoin="Job.id == JobParent.job_id",
        secondaryjoin="Job.id == JobParent.parent_id",
        back_populates="children",
        order_by="Job.id",
    )
    children: Mapped[list[Job]] = relationship(
        secondary="job_parents",
        primaryjoin="Job.id == JobParent.parent_id",
        secondaryjoin="Job.id == JobParent.job_id",
        back_populates="parents",
        order_by="Job.id",
    )
    artifacts: Mapped[list[Artifact]] = relationship(
        back_populates="job", order_by="Artifact.id", passive_deletes=True
    )


class Event(Base):
    """Something that happened in a job: `metrics` of a step, `heartbeat`, `log`, `state`."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_job_kind_id", "job_id", "kind", "id"), FRESH_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(default=now)
    kind: Mapped[str] = mapped_column(String(20))
    step: Mapped[int | None] = mapped_column()
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Artifact(Base):
    """Something a job made and others take: `adapter`, `model`, `dataset`, `pair_set`, `report`."""

    __tablename__ = "artifacts"
    __table_args__ = (FRESH_IDS,)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int | None] = mapped_column(
        ForeignKey("jobs.id", ondelete="SET NULL"), index=True
    )
    kind: Mapped[str] = mapped_column(String(20), index=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    job: Mapped[Job | None] = relationship(back_populates="artifacts")


class HardSampleRow(Base):
    """A mined hard sample; `chosen` and `rejected` are positions among its generations."""

    __tablename__ = "hard_samples"
    __table_args__ = (UniqueConstraint("job_id", "row_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    row_id: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text, default="")
    task: Mapped[str] = mapped_column(String(30), index=True)
    prompt: Mapped[str] = mapped_column(Text)
    response: Mapped[str | None] = mapped_column(Text)
    gold: Mapped[dict[str, Any]] = mapped_column()  # task -> label
    k_correct: Mapped[int] = mapped_column()
    k_incorrect: Mapped[int] = mapped_column()
    chosen: Mapped[int] = mapped_column()
    rejected: Mapped[int] = mapped_column()
    weight: Mapped[float] = mapped_column(Float)
    generations: Mapped[list[GenerationRow]] = relationship(
        order_by="GenerationRow.position", cascade="all, delete-orphan", passive_deletes=True
    )


class GenerationRow(Base):
    """One of the k answers of a hard sample."""

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


class Study(Base):
    """A blinded comparison of two arms' reasoning."""

    __tablename__ = "studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    question: Mapped[str] = mapped_column(Text, default="Whose reasoning is better?")
    arms: Mapped[list[Any]] = mapped_column()  # the two arms' names, in a fixed order
    created_at: Mapped[datetime] = mapped_column(default=now)
    pairs: Mapped[list[StudyPair]] = relationship(order_by="StudyPair.id", passive_deletes=True)


class StudyPair(Base):
    """One conversation with a reasoning trace from each arm."""

    __tablename__ = "study_pairs"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    prompt: Mapped[str] = mapped_column(Text)
    response: Mapped[str | None] = mapped_column(Text)
    first: Mapped[str] = mapped_column(Text)  # the trace of arms[0]
    second: Mapped[str] = mapped_column(Text)  # the trace of arms[1]


class Assignment(Base):
    """A pair that was shown to a person, and which arm stood left; it never leaves the server."""

    __tablename__ = "assignments"
    __table_args__ = (
        UniqueConstraint("pair_id", "annotator"),
        CheckConstraint("left_arm in (0, 1)", name="left_arm"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    pair_id: Mapped[int] = mapped_column(ForeignKey("study_pairs.id", ondelete="CASCADE"))
    annotator: Mapped[str] = mapped_column(String(100), index=True)
    left_arm: Mapped[int] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(default=now)


class Rating(Base):
    """One person's preference on one pair. Scores run from 1 (left much) to 5 (right much)."""

    __tablename__ = "ratings"
    __table_args__ = (
        UniqueConstraint("pair_id", "annotator"),
        CheckConstraint("score between 1 and 5", name="score"),
        CheckConstraint("left_arm in (0, 1)", name="left_arm"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    pair_id: Mapped[int] = mapped_column(ForeignKey("study_pairs.id", ondelete="CASCADE"))
    annotator: Mapped[str] = mapped_column(String(100))
    left_arm: Mapped[int] = mapped_column()
    score: Mapped[int] = mapped_column()
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    created_at: Mapped[datetime] = mapped_column(default=now)
