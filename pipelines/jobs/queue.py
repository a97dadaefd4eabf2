"""What the page and the CLI do with jobs: submit, stop, resume, cancel, move, dispatch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db import jobs, leases, lifecycle
from db.audit import record
from db.models import WAITING, Job
from db.session import Database
from pipelines.jobs.devices import detect_device as detect_device
from pipelines.jobs.devices import lease_for, visible_devices
from pipelines.jobs.launchers import LAUNCHERS, identify
from pipelines.jobs.outcome import explain_failure
from pipelines.jobs.planning import Group, Planned, insert, plan_recipe
from pipelines.jobs.planning import check as check
from pipelines.jobs.planning import check_room as check_room
from pipelines.jobs.planning import command_line as command_line
from pipelines.jobs.publications import check_resumable
from pipelines.jobs.recipes import get_recipe
from pipelines.jobs.references import resolve_reference as resolve_reference
from pipelines.jobs.references import with_absolute_paths
from pipelines.jobs.sweeps import SweepPlan, plan_sweep, require_all
from pipelines.schema import InputError, NotFoundError
from pipelines.settings import Settings, get_settings
from pipelines.stages import get_stage
from pipelines.stages.base import build_config

logger = logging.getLogger(__name__)


def job_dir(settings: Settings, job_id: int) -> Path:
    """The folder of a job: log, checkpoints, outcome, artifacts."""
    return settings.jobs_dir / str(job_id)


# Submitting


def submit(
    database: Database,
    stage_name: str,
    values: Mapping[str, Any],
    *,
    preset: str | None = None,
    title: str | None = None,
    launcher: str = "local",
) -> int:
    """Checks the run, queues it and starts what may start; returns its id.

    `launcher="foreground"` is for a run in this terminal: `foreground.wait_for_turn`
    and `worker.run_job` do it. Raises a GuardUIError, having stored nothing, where it can't work.
    """
    if launcher not in ("foreground", *LAUNCHERS):
        known = ", ".join(("foreground", *LAUNCHERS))
        raise InputError(f"launcher={launcher}: no such launcher (there are: {known})")
    stage = get_stage(stage_name)
    config = with_absolute_paths(build_config(stage, preset, values))
    check_room(get_settings().home)
    check(database, stage, config)
    job_id = insert(database, [Planned(stage, preset, config, title, launcher)])[0]
    if launcher in LAUNCHERS:
        dispatch(database)
    return job_id


def submit_recipe(
    database: Database,
    name: str,
    values: Mapping[str, Any],
    presets: Mapping[str, str] | None = None,
) -> list[int]:
    """Queues a chain as a group, all of it or nothing; returns the ids in the order of its steps.

    A value goes to each step whose config has that field, to those of one stage where it is named
    `stage.field`, or to one step as `key.field`. `presets` replaces the preset of a stage or of a
    step. Raises as `submit` does.
    """
    recipe = get_recipe(name)
    plans = plan_recipe(database, recipe, values, presets)
    return submit_group(database, plans, Group("recipe", recipe.name, recipe.title))


def submit_sweep(
    database: Database,
    name: str,
    values: Mapping[str, Any],
    presets: Mapping[str, str] | None = None,
    *,
    skip: bool = False,
) -> list[int]:
    """Queues a job for each value of one field, all other values shared; returns their ids.

    `values` may hold `values`, the swept ones. Where some can't run nothing is queued and the
    error tells why, unless `skip` leaves them out. Raises as `submit` does.
    """
    plan = plan_sweep(database, name, values, presets)
    require_all(plan, skip)
    return submit_group(database, plan.plans, sweep_group(plan))


def sweep_group(plan: SweepPlan) -> Group:
    """What the jobs of a sweep have in common."""
    return Group("sweep", plan.sweep.name, plan.sweep.title, plan.sweep.field)


def submit_group(database: Database, plans: Sequence[Planned], group: Group) -> list[int]:
    """Queues jobs that were planned, as a group, and starts what may start; returns their ids."""
    check_room(get_settings().home)
    ids = insert(database, plans, group)
    dispatch(database)
    return ids


# Looking after


def _get(session: Session, job_id: int) -> Job:
    job = jobs.get_job(session, job_id)
    if job is None:
        raise NotFoundError(f"job={job_id}: there is no such job")
    return job


def stop(database: Database, job_id: int) -> str:
    """Cancels a waiting job or asks a running one to stop; returns its new state.

    Whoever runs `supervisor.reconcile` sees to it that a job which does not answer is ended.
    """
    with database.write() as session:
        job = _get(session, job_id)
        state = lifecycle.request_stop(session, job_id)
        if state is None:
            raise InputError(f"job={job_id}: has {job.state} and can't be stopped any more")
        record(session, "job.stop", f"job:{job_id}")
        return state


def cancel(database: Database, job_id: int) -> str:
    """Ends a queued or blocked job; what has started is stopped by `stop`."""
    with database.write() as session:
        job = _get(session, job_id)
        if job.state not in WAITING:
            raise InputError(f"job={job_id}: is {job.state}, must be queued or blocked")
        lifecycle.request_stop(session, job_id)
        record(session, "job.cancel", f"job:{job_id}")
    return "stopped"


def resume(database: Database, job_id: int, launcher: str = "local") -> str:
    """Queues a job again that did not succeed; it goes on from what its folder holds."""
    check_room(get_settings().home)
    with database.write() as session:
        job = _get(session, job_id)
        check_resumable(session, job_id)
        # It may have had any device; it need not wait for that same one.
        device = lease_for(str(job.config.get("device", "cpu")))
        queued = lifecycle.requeue(session, job_id, launcher, device)
        if queued is None:
            raise InputError(
                f"job={job_id}: is {job.state}, must be stopped, interrupted or failed"
            )
        state = queued.state
        record(session, "job.resume", f"job:{job_id}")
    if launcher in LAUNCHERS:
        dispatch(database)
    return state


def move(database: Database, job_id: int, to: int) -> None:
    """Puts a queued job at this place of the queue, 0 being the next to start."""
    with database.write() as session:
        job = _get(session, job_id)
        if not lifecycle.move(session, job_id, to):
            raise InputError(f"job={job_id}: is {job.state}, must be queued to be moved")
        record(session, "job.move", f"job:{job_id}", place=to)


def dispatch(database: Database) -> list[int]:
    """Starts a worker for each job that may start; returns their ids.

    Several processes may do this at once: a job is first made `starting`, which one of them
    manages, and launched after.
    """
    started: list[int] = []
    devices = visible_devices()
    with database.read() as session:
        waiting = len(leases.startable(session, devices))
    for _ in range(waiting):
        with database.write() as session:
            job = leases.reserve_next(session, devices=devices)
        if job is None:
            break
        if _launch(database, job):
            started.append(job.id)
    return started


def _launch(database: Database, job: Job) -> bool:
    settings = get_settings()
    start = LAUNCHERS[job.launcher]
    folder = job_dir(settings, job.id)
    return launched(database, job.id, lambda: start(settings, database.url, job.id, folder))


def launched(database: Database, job_id: int, launch: Callable[[], int]) -> bool:
    """Starts the process of a reserved job and notes which it is; a job that can't be has failed.

    `launch` returns the process's pid.
    """
    try:
        pid = launch()
    except OSError as error:
        logger.exception("job %d could not be launched", job_id)
        failure = explain_failure(error)
        with database.write() as session:
            lifecycle.finish(session, job_id, "failed", failure["message"], failure)
        return False
    if (process := identify(pid)) is not None:
        with database.write() as session:
            leases.set_process(
                session,
                job_id,
                pid=process.pid,
                pid_created=process.created,
                boot_id=process.boot_id,
            )
    return True
