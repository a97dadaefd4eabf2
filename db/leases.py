"""Which queued job may start: its parents have succeeded and its device is free.

A device is leased to one exclusive job at a time. A unique index of the table holds that, so two
processes that start jobs at the same moment cannot break it. A queued job whose device is ANY gets
one when it starts: the first free one of those that the starting process sees (`devices`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, literal, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased, selectinload

from db.jobs import log_state
from db.models import ACTIVE, Job, JobParent, now

ANY = "auto"
"""The device of a job that waits for whichever is free; no job runs on it."""
CPU = ("cpu",)


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


def free_devices(session: Session, devices: Sequence[str]) -> list[str]:
    """Those of the devices that no exclusive job holds, in their order."""
    active = select(Job.device).where(Job.exclusive, Job.state.in_(ACTIVE))
    held = set(session.scalars(active))
    return [device for device in devices if device not in held]


def _place(
    job: Job, free: Sequence[str], devices: Sequence[str], taken: Collection[str] = ()
) -> str | None:
    """The device that the job would run on; None where each is held or `taken`."""
    if not job.exclusive:
        return next(iter(free or devices)) if job.device == ANY else job.device
    offered = free if job.device == ANY else [job.device]
    return next((device for device in offered if device not in taken), None)


def reserve(session: Session, job_id: int, device: str | None = None) -> Job | None:
    """queued -> starting, by the one who will launch its process; None where it may not start.

    `device` is the free one that a job for ANY gets.
    """
    # `started_at` is when the launch began, until the worker claims the job.
    values: dict[str, Any] = {"pid": None, "pid_created": None, "boot_id": None}
    values["started_at"] = now()
    values |= {"device": device} if device is not None else {}
    may = and_(Job.id == job_id, _may_start(device is not None))
    job = _take(session, may, state="starting", **values)
    if job is not None:
        log_state(session, job_id, "starting")
    return job


def startable(session: Session, devices: Sequence[str] = CPU) -> list[Job]:
    """The queued jobs that may start now, in the order of the queue."""
    may = _may_start(bool(free_devices(session, devices)))
    return list(session.scalars(select(Job).where(may).order_by(Job.position, Job.id)))


def _may_start(any_free: bool) -> ColumnElement[bool]:
    """`any_free`: whether there is a device for a job that takes whichever is free."""
    for_any = and_(Job.device == ANY, literal(any_free))
    has_device = or_(~Job.exclusive, for_any, and_(Job.device != ANY, _device_free()))
    return and_(Job.state == "queued", _parents_done(), has_device)


def reserve_next(
    session: Session, *, only: int | None = None, devices: Sequence[str] = CPU
) -> Job | None:
    """Reserves the first queued job that may start, or the job `only` when it is its turn.

    A job that runs in somebody's terminal keeps its turn: nothing behind it in the queue of its
    device starts before it. None where nothing may start.
    """
    free = free_devices(session, devices)
    query = select(Job).where(_may_start(bool(free))).order_by(Job.position, Job.id)
    taken: set[str] = set()
    for job in session.scalars(query.with_for_update(skip_locked=True)).all():
        place = _place(job, free, devices, taken)
        if place is None or (job.exclusive and place in taken):
            continue
        wanted = job.launcher != "foreground" if only is None else job.id == only
        if wanted and (reserved := reserve(session, job.id, place)) is not None:
            return reserved
        if job.exclusive:
            taken.add(place)
    return None


def claim(
    session: Session,
    job_id: int,
    *,
    pid: int,
    pid_created: float,
    boot_id: str,
    devices: Sequence[str] = CPU,
) -> Job | None:
    """queued or starting -> running, by the process that will do the work; None where it may not.

    A job that is `starting` already holds its device; a queued one must find its parents
    succeeded and a device free.
    """
    found = session.get(Job, job_id)
    if found is None:
        return None
    free = free_devices(session, devices)
    place = found.device if found.state == "starting" else _place(found, free, devices)
    moment = now()
    may = or_(Job.state == "starting", _may_start(place is not None))
    job = _take(
        session,
        # The device too: another process may have given it one meanwhile.
        and_(Job.id == job_id, Job.device == found.device, may),
        state="running",
        device=place or found.device,
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


def why_waiting(session: Session, job_id: int, devices: Sequence[str] = CPU) -> str:
    """What a queued job waits for, in words; empty where nothing holds it."""
    job = session.get_one(Job, job_id, options=[selectinload(Job.parents)])
    unready = [parent for parent in job.parents if parent.state != "succeeded"]
    if unready:
        return f"job {unready[0].id} ({unready[0].stage}), whose result it takes"
    if not job.exclusive:
        return ""
    if job.device == ANY:
        return _why_none_free(session, job, devices)
    on_device = Job.device == job.device, Job.exclusive, Job.id != job_id
    holds = select(Job).where(*on_device, Job.state.in_(ACTIVE))
    ahead = select(Job).where(*on_device, Job.state == "queued", Job.position < job.position)
    other = session.scalar(holds) or session.scalar(ahead.order_by(Job.position).limit(1))
    return f"job {other.id} ({other.stage}), which is first on {job.device}" if other else ""


def _why_none_free(session: Session, job: Job, devices: Sequence[str]) -> str:
    holds = select(Job).where(Job.device.in_(devices), Job.exclusive, Job.state.in_(ACTIVE))
    held = {one.device: one for one in session.scalars(holds)}
    if len(held) == len(devices):
        said = (f"{device} has job {held[device].id} ({held[device].stage})" for device in devices)
        return f"a free device: {', '.join(said)}"
    ahead = [one for one in startable(session, devices) if one.position < job.position]
    ahead = [one for one in ahead if one.exclusive and one.device in (ANY, *devices)]
    enough = len(ahead) < len(devices) - len(held)
    return "" if enough else f"job {ahead[0].id} ({ahead[0].stage}), which is first in the queue"
