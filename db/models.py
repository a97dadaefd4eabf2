"""The tables: jobs, their groups, events and artifacts.

Those of mining stand in `db/sample_models.py`, of preference studies in `db/study_models.py`, of
access in `db/access_models.py`; all are named here too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.access_models import ApiKey as ApiKey
from db.access_models import AuditRow as AuditRow
from db.base import Base as Base
from db.base import now as now
from db.sample_models import GenerationRow as GenerationRow
from db.sample_models import HardSampleRow as HardSampleRow
from db.sample_models import PairSet as PairSet
from db.sample_models import PairSetVersion as PairSetVersion
from db.sample_models import SampleChange as SampleChange
from db.study_models import Annotator as Annotator
from db.study_models import AnnotatorName as AnnotatorName
from db.study_models import Rating as Rating
from db.study_models import Study as Study
from db.study_models import StudyItem as StudyItem
from db.study_models import StudyPair as StudyPair
from db.study_models import StudySkip as StudySkip
from db.study_models import StudySlot as StudySlot
from db.study_models import StudyTrace as StudyTrace

WAITING = ("queued", "blocked")
ACTIVE = ("starting", "running", "stopping")
ENDED = ("succeeded", "failed", "stopped", "interrupted")
RESUMABLE = ("stopped", "interrupted", "failed")
STATES = (*WAITING, *ACTIVE, *ENDED)

HOLDS_LEASE = text(f"exclusive AND state IN {ACTIVE!r}")
# An id is never given twice, so that a page which asks for "all after id N" misses nothing and
# a job never finds the folder of a deleted one.
FRESH_IDS = {"sqlite_autoincrement": True}


class JobGroup(Base):
    """Jobs that were launched together: a recipe's chain, or a sweep over one config field."""

    __tablename__ = "job_groups"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))  # recipe or sweep
    name: Mapped[str] = mapped_column(String(60))  # the recipe's name, or the sweep's
    title: Mapped[str] = mapped_column(String(200), default="")
    field: Mapped[str] = mapped_column(String(60), default="")  # the swept field
    created_at: Mapped[datetime] = mapped_column(default=now)
    jobs: Mapped[list[Job]] = relationship(back_populates="group", order_by="Job.id")


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
    group_id: Mapped[int | None] = mapped_column(
        ForeignKey("job_groups.id", ondelete="SET NULL"), index=True
    )
    group_key: Mapped[str] = mapped_column(String(60), default="")  # its step, or its swept value

    group: Mapped[JobGroup | None] = relationship(back_populates="jobs")
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
