"""Which queued job may start: its parents have succeeded and its device is free.

A device is leased to one exclusive job at a time. A unique index of the table holds that, so two
processes that start jobs at the same moment cannot break it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased, selectinload

from db.jobs import log_state
from db.models import ACTIVE, Job, JobParent, now


def _parents_done() -> ColumnElement[bool]:
    parent = aliased(Job)
    return ~exists(
        select(JobParent.job_id)
        .join(parent, parent.id == JobParent.parent_id)
        .where(JobParent.job_id == Job.id, parent.state != "succeeded")
        .correlate(Job)
    )


def _device_free() -> ColumnElement[bool]:
    other = aliased(Job)
    taken = exists(
        select(other.id)
        .where(other.device == Job.device, other.exclusive, other.state.in_(ACTIVE))
        .where(other.id != Job.id)
        .correlate(Job)
    )
    return or_(~Job.exclusive, ~taken)


def _take(session: Session, condition: ColumnElement[bool], **values: Any) -> Job | None:
    change = update(Job).where(condition).values(**values).returning(Job)
    try:
        with session.begin_nested():
            return session.scalar(change, execution_options={"populate_existing": True})
    except IntegrityError:  # another process took the lease of the device meanwhile
        return None


def reserve(session: Session, job_id: int) -> Job | None:
    """queued -> starting, by the one who will launch its process; None where it may not start."""
    # `started_at` is when the launch began, until the worker claims the job.
    values = {"pid": None, "pid_created": None, "boot_id": None, "started_at": now()}
    job = _take(session, and_(Job.id == job_id, _may_start()), state="starting", **values)
    if job is not None:
        log_state(session, job_id, "starting")
    return job


def startable(session: Session) -> list[Job]:
    """The queued jobs that may start now, in the order of the queue."""
    query = select(Job).where(_may_start()).order_by(Job.position, Job.id)
    return list(session.scalars(query))


def _may_start() -> ColumnElement[bool]:
    return and_(Job.state == "queued", _parents_done(), _device_free())


def reserve_next(session: Session, *, only: int | None = None) -> Job | None:
    """Reserves the first queued job that may start, or the job `only` when it is its turn.

    A job that runs in somebody's terminal keeps its turn: nothing behind it in the queue of its
    device starts before it. None where nothing may start.
    """
    columns = select(Job.id, Job.launcher, Job.device, Job.exclusive).where(_may_start())
    query = columns.order_by(Job.position, Job.id).with_for_update(skip_locked=True)
    taken: set[str] = set()
    for job_id, launcher, device, exclusive in session.execute(query).all():
        if exclusive and device in taken:
            continue
        wanted = launcher != "foreground" if only is None else job_id == only
        if wanted and (job := reserve(session, job_id)) is not None:
            return job
        if exclusive:
            taken.add(device)
    return None


def claim(
    session: Session, job_id: int, *, pid: int, pid_created: float, boot_id: str
) -> Job | None:
    """queued or starting -> running, by the process that will do the work; None where it may not.

    A job that is `starting` already holds its device; a queued one must find its parents
    succeeded and the device free.
    """
    moment = now()
    job = _take(
        session,
        and_(Job.id == job_id, or_(Job.state == "starting", _may_start())),
        state="running",
        attempt=Job.attempt + 1,
        pid=pid,
        pid_created=pid_created,
        boot_id=boot_id,
        started_at=moment,
        heartbeat_at=moment,
        finished_at=None,
        reason=None,
        failure=None,
        activity="",
    )
    if job is not None:
        log_state(session, job_id, "running")
    return job


def set_process(
    session: Session, job_id: int, *, pid: int, pid_created: float, boot_id: str
) -> None:
    """Notes which process is to do a job that has none yet, so that it can be watched."""
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.pid.is_(None), Job.state.in_(("queued", *ACTIVE)))
        .values(pid=pid, pid_created=pid_created, boot_id=boot_id)
    )


def why_waiting(session: Session, job_id: int) -> str:
    """What a queued job waits for, in words; empty where nothing holds it."""
    job = session.get_one(Job, job_id, options=[selectinload(Job.parents)])
    unready = [parent for parent in job.parents if parent.state != "succeeded"]
    if unready:
        return f"job {unready[0].id} ({unready[0].stage}), whose result it takes"
    if not job.exclusive:
        return ""
    on_device = Job.device == job.device, Job.exclusive, Job.id != job_id
    holds = select(Job).where(*on_device, Job.state.in_(ACTIVE))
    ahead = select(Job).where(*on_device, Job.state == "queued", Job.position < job.position)
    other = session.scalar(holds) or session.scalar(ahead.order_by(Job.position).limit(1))
    return f"job {other.id} ({other.stage}), which is first on {job.device}" if other else ""
