"""Jobs with their events and artifacts: adding and reading. `lifecycle` changes their state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, selectinload

from db.models import (
    ACTIVE,
    Artifact,
    Event,
    Job,
    JobParent,
)

RELATED = (selectinload(Job.parents), selectinload(Job.children), selectinload(Job.artifacts))


def add_job(
    session: Session,
    *,
    stage: str,
    config: dict[str, Any],
    preset: str | None = None,
    title: str = "",
    device: str = "cpu",
    exclusive: bool = True,
    launcher: str = "local",
    parents: Sequence[int] = (),
    command: str = "",
    group_id: int | None = None,
    group_key: str = "",
) -> Job:
    """A queued job behind all others; it has its id at once."""
    last = session.scalar(select(func.coalesce(func.max(Job.position), 0.0))) or 0.0
    job = Job(
        stage=stage,
        config=config,
        preset=preset,
        title=title[:200],
        device=device,
        exclusive=exclusive,
        launcher=launcher,
        command=command,
        position=last + 1,
        state="queued",
        group_id=group_id,
        group_key=group_key[:60],
    )
    session.add(job)
    session.flush()
    session.add_all(JobParent(job_id=job.id, parent_id=parent) for parent in parents)
    log_state(session, job.id, "queued")
    return job


def get_job(session: Session, job_id: int) -> Job | None:
    """The job with its parents, children and artifacts loaded."""
    return session.get(Job, job_id, options=RELATED, populate_existing=True)


def list_jobs(
    session: Session, *, states: Iterable[str] | None = None, limit: int = 200
) -> list[Job]:
    """The newest first, each with its parents, children and artifacts loaded."""
    query = select(Job).options(*RELATED).order_by(Job.id.desc()).limit(limit)
    if states is not None:
        query = query.where(Job.state.in_(list(states)))
    return list(session.scalars(query))


def queue(session: Session) -> list[Job]:
    """The queued jobs in the order in which they will start."""
    query = select(Job).where(Job.state == "queued").order_by(Job.position, Job.id)
    return list(session.scalars(query))


def unfinished(session: Session) -> list[Job]:
    """The jobs that run or are queued, without what belongs to them."""
    query = select(Job).where(Job.state.in_(("queued", *ACTIVE))).order_by(Job.position, Job.id)
    return list(session.scalars(query))


def holder(session: Session, device: str) -> Job | None:
    """The job that holds the lease of this device, if any does."""
    query = select(Job).where(Job.device == device, Job.exclusive, Job.state.in_(ACTIVE))
    return session.scalar(query)


def add_event(
    session: Session, job_id: int, kind: str, step: int | None = None, data: Any = None
) -> Event:
    """Adds something that happened; `data` is a JSON object."""
    row = Event(job_id=job_id, kind=kind, step=step, data=dict(data or {}))
    session.add(row)
    return row


def events(
    session: Session,
    job_id: int,
    *,
    kind: str | None = None,
    after_id: int = 0,
    limit: int = 10_000,
) -> list[Event]:
    """The events with a greater id than `after_id`, oldest first."""
    query = select(Event).where(Event.job_id == job_id, Event.id > after_id)
    if kind is not None:
        query = query.where(Event.kind == kind)
    return list(session.scalars(query.order_by(Event.id).limit(limit)))


def metrics(session: Session, job_id: int, after_id: int = 0) -> list[Event]:
    """The metric events with a greater id than `after_id`, oldest first."""
    return events(session, job_id, kind="metrics", after_id=after_id, limit=1_000_000)


def drop_metrics(session: Session, job_id: int, *, from_step: int) -> None:
    """Forgets the metrics of steps which a resumed job does again."""
    session.execute(
        delete(Event).where(
            Event.job_id == job_id, Event.kind == "metrics", Event.step >= from_step
        )
    )


def log_state(session: Session, job_id: int, state: str, reason: str | None = None) -> Event:
    """Adds the event that a job came to be in this state."""
    return add_event(session, job_id, "state", data={"state": state, "reason": reason})


def add_artifact(
    session: Session,
    *,
    job_id: int | None,
    kind: str,
    name: str,
    path: str,
    sha256: str,
    size: int,
    details: dict[str, Any] | None = None,
) -> Artifact:
    """Records a finished file or folder; `size` in bytes."""
    row = Artifact(job_id=job_id, kind=kind, name=name[:200], path=path, sha256=sha256, bytes=size)
    row.details = details or {}
    session.add(row)
    session.flush()
    return row


def get_artifact(session: Session, artifact_id: int) -> Artifact | None:
    return session.get(Artifact, artifact_id, options=[selectinload(Artifact.job)])


def artifacts(
    session: Session, kind: str | Sequence[str] | None = None, job_id: int | None = None
) -> list[Artifact]:
    """The newest first, of this kind (or these) and made by this job where given, with their
    jobs."""
    query = select(Artifact).options(selectinload(Artifact.job)).order_by(Artifact.id.desc())
    if kind is not None:
        query = query.where(Artifact.kind.in_([kind] if isinstance(kind, str) else kind))
    if job_id is not None:
        query = query.where(Artifact.job_id == job_id)
    return list(session.scalars(query))
