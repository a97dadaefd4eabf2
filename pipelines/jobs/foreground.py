"""A job in somebody's terminal: it waits for its turn in the queue like any other."""

from __future__ import annotations

import time
from collections.abc import Callable

from db import jobs, leases, lifecycle
from db.session import Database
from pipelines.jobs.devices import visible_devices
from pipelines.jobs.launchers import own_identity
from pipelines.jobs.supervisor import reconcile
from pipelines.schema import InputError, NotFoundError, StopRequested


def wait_for_turn(
    database: Database,
    job_id: int,
    on_wait: Callable[[str], None] | None = None,
    seconds: float = 0.5,
) -> None:
    """Returns once a job submitted with `launcher="foreground"` holds its device.

    `run_job` in this process then does it. `on_wait` is told what it waits for, whenever that
    changes. Raises InputError where a parent ended without success, StopRequested where the job
    was cancelled; Ctrl-C cancels it.
    """
    told = ""
    try:
        while not _take_turn(database, job_id):
            with database.read() as session:
                waits_for = leases.why_waiting(session, job_id, visible_devices())
            if on_wait is not None and waits_for != told:
                on_wait(waits_for)
            told = waits_for
            time.sleep(seconds)
    except KeyboardInterrupt:
        with database.write() as session:
            lifecycle.request_stop(session, job_id)
        raise


def _take_turn(database: Database, job_id: int) -> bool:
    identity = own_identity()
    with database.write() as session:
        job = jobs.get_job(session, job_id)
        if job is None:
            raise NotFoundError(f"job={job_id}: there is no such job")
        state, reason = job.state, job.reason or ""
        if state == "blocked":
            lifecycle.request_stop(session, job_id, reason)
        leases.set_process(session, job_id, **identity)
        lifecycle.heartbeat(session, job_id)
    if state == "blocked":
        raise InputError(f"job={job_id}: {reason}")
    if state != "queued":
        raise StopRequested(f"job={job_id}: was {state} before its turn came")
    reconcile(database)
    with database.write() as session:
        if leases.reserve_next(session, only=job_id, devices=visible_devices()) is None:
            return False
        leases.set_process(session, job_id, **identity)
        return True
