"""How a started job goes on and ends, by one conditional UPDATE a change.

Of two processes that try the same change one succeeds and the other is told so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import and_, delete, select, update
from sqlalchemy.orm import Session, selectinload

from db.jobs import add_event, log_state, queue
from db.models import ACTIVE, RESUMABLE, WAITING, HardSampleRow, Job, now


def heartbeat(session: Session, job_id: int) -> bool:
    """Says that the job's process lives; returns whether it has been asked to stop."""
    beat = update(Job).where(Job.id == job_id).values(heartbeat_at=now()).returning(Job.state)
    return session.scalar(beat) != "running"


def set_progress(
    session: Session,
    job_id: int,
    *,
    step: int | None = None,
    total: int | None = None,
    activity: str | None = None,
) -> None:
    """Changes what is given and leaves the rest."""
    changes: dict[str, Any] = {"step": step, "total_steps": total}
    changes["activity"] = activity[:200] if activity is not None else None
    given = {name: value for name, value in changes.items() if value is not None}
    if given:
        session.execute(update(Job).where(Job.id == job_id).values(**given))


def set_resolved(session: Session, job_id: int, resolved: dict[str, Any]) -> None:
    """Keeps the config as the stage gets it, references made paths."""
    session.execute(update(Job).where(Job.id == job_id).values(resolved=resolved))


def finish(
    session: Session,
    job_id: int,
    state: str,
    reason: str | None = None,
    failure: dict[str, Any] | None = None,
    *,
    attempt: int | None = None,
) -> bool:
    """Ends an active job, and blocks or frees what waits for it.

    Returns False, changing nothing, where the job is not active any more or is at another
    attempt. Hard samples of a job that did not succeed go: they are half of something.
    """
    active = and_(Job.id == job_id, Job.state.in_(ACTIVE))
    if attempt is not None:
        active = and_(active, Job.attempt == attempt)
    ended = update(Job).where(active).returning(Job.id)
    values = {"state": state, "reason": reason, "failure": failure, "activity": ""}
    if session.scalar(ended.values(finished_at=now(), **values)) is None:
        return False
    if state != "succeeded":
        session.execute(delete(HardSampleRow).where(HardSampleRow.job_id == job_id))
    log_state(session, job_id, state, reason)
    refresh_blocked(session)
    return True


def request_stop(session: Session, job_id: int, reason: str = "cancelled") -> str | None:
    """Asks a running job to stop and ends a waiting one; returns the new state, None if ended."""
    waiting = update(Job).where(Job.id == job_id, Job.state.in_(WAITING))
    cancelled = waiting.values(state="stopped", reason=reason, finished_at=now())
    if session.scalar(cancelled.returning(Job.id)) is not None:
        log_state(session, job_id, "stopped", reason)
        refresh_blocked(session)
        return "stopped"
    running = update(Job).where(Job.id == job_id, Job.state.in_(("starting", "running")))
    asked = running.values(state="stopping", stop_requested_at=now())
    if session.scalar(asked.returning(Job.id)) is not None:
        log_state(session, job_id, "stopping")
        return "stopping"
    return session.scalar(select(Job.state).where(Job.id == job_id, Job.state == "stopping"))


def abandon(session: Session, job_id: int, reason: str) -> None:
    """Ends a foreground job that is still queued though nobody waits for it any more."""
    queued = update(Job).where(
        Job.id == job_id, Job.state == "queued", Job.launcher == "foreground"
    )
    left = queued.values(state="interrupted", reason=reason, finished_at=now())
    if session.scalar(left.returning(Job.id)) is not None:
        log_state(session, job_id, "interrupted", reason)
        refresh_blocked(session)


def note_signal(session: Session, job_id: int, name: str) -> None:
    """Keeps which signal (`TERM`, `KILL`) a stopping job was last sent."""
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == "stopping")
        .values(stop_signal=name, stop_signal_at=now())
    )
    add_event(session, job_id, "log", data={"text": f"sent SIG{name}"})


def requeue(
    session: Session, job_id: int, launcher: str = "local", device: str | None = None
) -> Job | None:
    """stopped, interrupted or failed -> queued (or blocked), keeping its folder and its place.

    `device`: the one to wait for, where it is not that of the attempt before.
    """
    again = {"device": device} if device is not None else {}
    ended = update(Job).where(Job.id == job_id, Job.state.in_(RESUMABLE))
    queued = ended.values(
        state="queued",
        reason=None,
        failure=None,
        pid=None,
        pid_created=None,
        boot_id=None,
        heartbeat_at=None,
        finished_at=None,
        stop_requested_at=None,
        stop_signal=None,
        stop_signal_at=None,
        launcher=launcher,
        **again,
    ).returning(Job)
    job = session.scalar(queued, execution_options={"populate_existing": True})
    if job is not None:
        log_state(session, job_id, "queued", "resumed")
        refresh_blocked(session)
        session.refresh(job)
    return job


def move(session: Session, job_id: int, to: int) -> bool:
    """Puts a queued job at this place of the queue, 0 being the next to start."""
    order = [job.id for job in queue(session)]
    if job_id not in order:
        return False
    order.remove(job_id)
    order.insert(max(to, 0), job_id)
    for place, its_id in enumerate(order):
        session.execute(update(Job).where(Job.id == its_id).values(position=float(place)))
    return True


def refresh_blocked(session: Session) -> None:
    """Blocks queued jobs with a parent that ended without success, and frees those without."""
    waiting = select(Job).where(Job.state.in_(WAITING)).options(selectinload(Job.parents))
    # A parent is always older than its children, so one pass in this order reaches them all.
    query = waiting.order_by(Job.id).execution_options(populate_existing=True)
    reasons: dict[int, str] = {}
    for job in session.scalars(query).all():
        reason = _why_blocked(job.parents, reasons)
        if reason is not None:
            reasons[job.id] = reason
        state = "queued" if reason is None else "blocked"
        if (job.state, job.reason) != (state, reason):
            change = update(Job).where(Job.id == job.id, Job.state.in_(WAITING))
            session.execute(change.values(state=state, reason=reason))
            log_state(session, job.id, state, reason)


def _why_blocked(parents: Iterable[Job], reasons: dict[int, str]) -> str | None:
    for parent in parents:
        if parent.id in reasons:
            return reasons[parent.id]
        if parent.state in RESUMABLE:
            how = "was interrupted" if parent.state == "interrupted" else parent.state
            how = "was stopped" if how == "stopped" else how
            return f"needs job {parent.id} ({parent.stage}), which {how}"
    return None
