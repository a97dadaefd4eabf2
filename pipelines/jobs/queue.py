"""What the page and the CLI do with jobs: submit, stop, resume, cancel, move, dispatch."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import jobs, leases, lifecycle
from db.models import WAITING, Job
from db.session import Database
from pipelines.jobs.devices import detect_device as detect_device
from pipelines.jobs.devices import leased_device
from pipelines.jobs.launchers import LAUNCHERS, identify
from pipelines.jobs.outcome import DISK_ADVICE, explain_failure
from pipelines.jobs.recipes import Step, get_recipe, refuse_unknown, values_of
from pipelines.jobs.references import (
    find_parents,
    resolved_so_far,
    with_absolute_paths,
)
from pipelines.jobs.references import (
    resolve_reference as resolve_reference,
)
from pipelines.schema import DiskFullError, InputError, NotFoundError
from pipelines.settings import Settings, get_settings
from pipelines.stages import get_stage
from pipelines.stages.base import Stage, StageConfig, build_config

logger = logging.getLogger(__name__)

MIN_FREE_BYTES = 200 * 2**20


def job_dir(settings: Settings, job_id: int) -> Path:
    """The folder of a job: log, checkpoints, outcome, artifacts."""
    return settings.jobs_dir / str(job_id)


def command_line(stage: Stage, preset: str | None, config: StageConfig) -> str:
    """The same run as a line for the shell; it names what differs from the preset."""
    words = ["guardui", "run", stage.name]
    if preset:
        words += ["--preset", preset]
    # Only the defaults and the preset, not validated: a field without a default may be missing.
    usual = {name: info.get_default(call_default_factory=True) for name, info in _fields(stage)}
    usual |= dict(stage.presets[preset]) if preset else {}
    for name, value in config.model_dump(mode="json").items():
        if value != usual.get(name):
            words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _fields(stage: Stage) -> Any:
    return stage.config.model_fields.items()


def check_room(folder: Path) -> None:
    """Raises DiskFullError where a job could hardly write anything."""
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise DiskFullError(
            f"{folder} has {free / 2**20:.0f} MiB free: a job needs at least "
            f"{MIN_FREE_BYTES / 2**20:.0f} MiB",
            advice=DISK_ADVICE,
        )


def check(
    database: Database, stage: Stage, config: StageConfig, links: Mapping[str, str] | None = None
) -> list[str]:
    """Looks at a run before it is queued, and returns the stage's remarks for people.

    `links`: fields that jobs which don't exist yet will fill, with what stands for them. Raises
    a GuardUIError where a reference names nothing or the stage says that it can't work.
    """
    links = links or {}
    named = with_absolute_paths(config).model_copy(update=dict.fromkeys(links, ""))
    with database.read() as session:
        find_parents(session, named)
        ready = resolved_so_far(session, named)
    return stage.check(ready.model_copy(update=dict(links)))


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
    job_id = _insert(database, [(stage, preset, config, title, launcher)])[0]
    if launcher in LAUNCHERS:
        dispatch(database)
    return job_id


def submit_recipe(
    database: Database,
    recipe_name: str,
    values: Mapping[str, Any],
    presets: Mapping[str, str] | None = None,
) -> list[int]:
    """Queues a chain, all of it or nothing; returns the ids in the order of its steps.

    A value goes to each step whose config has that field, or to one of them where it is named
    `stage.field`. `presets` replaces the preset of a stage. Raises as `submit` does.
    """
    recipe = get_recipe(recipe_name)
    refuse_unknown(recipe, values, presets or {})
    check_room(get_settings().home)
    chain = []
    for step in recipe.steps:
        stage, preset = get_stage(step.stage), (presets or {}).get(step.stage, step.preset)
        # The jobs have no ids yet; `job:0` stands for what a step before this one will make.
        links = dict.fromkeys(step.links, "job:0")
        given = values_of(stage, values) | links
        config = with_absolute_paths(build_config(stage, preset, given))
        check(database, stage, config, links)
        chain.append((stage, preset, config, f"{recipe.title}: {stage.title}", "local"))
    ids = _insert(database, chain, recipe.steps)
    dispatch(database)
    return ids


_Planned = tuple[Stage, str | None, StageConfig, str | None, str]


def _insert(database: Database, plans: Sequence[_Planned], steps: Any = ()) -> list[int]:
    """Stores all jobs in one transaction, links between them made `job:ID`."""
    ids: dict[str, int] = {}
    try:
        with database.write() as session:
            for index, (stage, preset, config, title, launcher) in enumerate(plans):
                step: Step | None = steps[index] if steps else None
                links = {f: f"job:{ids[s]}" for f, s in step.links.items()} if step else {}
                config = config.model_copy(update=links)
                ids[stage.name] = _add(session, stage, preset, config, title, launcher)
            lifecycle.refresh_blocked(session)
    except OperationalError as error:
        if "disk is full" in str(error):
            raise DiskFullError("the disk is full: no job stored", advice=DISK_ADVICE) from error
        raise
    return list(ids.values())


def _add(
    session: Session,
    stage: Stage,
    preset: str | None,
    config: StageConfig,
    title: str | None,
    launcher: str,
) -> int:
    return jobs.add_job(
        session,
        stage=stage.name,
        config=config.model_dump(mode="json"),
        preset=preset,
        title=title or (f"{stage.title} ({preset})" if preset else stage.title),
        device=leased_device(config),
        exclusive=stage.exclusive,
        launcher=launcher,
        parents=find_parents(session, config),
        command=command_line(stage, preset, config),
    ).id


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
        return state


def cancel(database: Database, job_id: int) -> str:
    """Ends a queued or blocked job; what has started is stopped by `stop`."""
    with database.write() as session:
        job = _get(session, job_id)
        if job.state not in WAITING:
            raise InputError(f"job={job_id}: is {job.state}, must be queued or blocked")
        lifecycle.request_stop(session, job_id)
    return "stopped"


def resume(database: Database, job_id: int, launcher: str = "local") -> str:
    """Queues a job again that did not succeed; it goes on from what its folder holds."""
    check_room(get_settings().home)
    with database.write() as session:
        job = _get(session, job_id)
        queued = lifecycle.requeue(session, job_id, launcher)
        if queued is None:
            raise InputError(
                f"job={job_id}: is {job.state}, must be stopped, interrupted or failed"
            )
        state = queued.state
    if launcher in LAUNCHERS:
        dispatch(database)
    return state


def move(database: Database, job_id: int, to: int) -> None:
    """Puts a queued job at this place of the queue, 0 being the next to start."""
    with database.write() as session:
        job = _get(session, job_id)
        if not lifecycle.move(session, job_id, to):
            raise InputError(f"job={job_id}: is {job.state}, must be queued to be moved")


def dispatch(database: Database) -> list[int]:
    """Starts a worker for each job that may start; returns their ids.

    Several processes may do this at once: a job is first made `starting`, which one of them
    manages, and launched after.
    """
    launched: list[int] = []
    with database.read() as session:
        waiting = len(leases.startable(session))
    for _ in range(waiting):
        with database.write() as session:
            job = leases.reserve_next(session)
        if job is None:
            break
        if _launch(database, job):
            launched.append(job.id)
    return launched


def _launch(database: Database, job: Job) -> bool:
    settings = get_settings()
    try:
        launch = LAUNCHERS[job.launcher]
        pid = launch(settings, database.url, job.id, job_dir(settings, job.id))
    except OSError as error:
        logger.exception("job %d could not be launched", job.id)
        failure = explain_failure(error)
        with database.write() as session:
            lifecycle.finish(session, job.id, "failed", failure["message"], failure)
        return False
    if (process := identify(pid)) is not None:
        with database.write() as session:
            leases.set_process(
                session,
                job.id,
                pid=process.pid,
                pid_created=process.created,
                boot_id=process.boot_id,
            )
    return True
