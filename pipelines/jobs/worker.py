"""The process that does a job: `python -m pipelines.jobs.worker JOB`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from db import jobs, leases, lifecycle
from db.audit import Actor, acting
from db.models import Job
from db.session import Database, open_database
from pipelines.job_inputs import write_inputs
from pipelines.jobs.context import JobContext, OnEvent
from pipelines.jobs.devices import as_seen, only, visible_devices
from pipelines.jobs.inputs import describe_inputs
from pipelines.jobs.launchers import WORKER_ENV, own_identity
from pipelines.jobs.outcome import FILE, Outcome, explain_failure, insist, storable
from pipelines.jobs.queue import check_room, job_dir
from pipelines.jobs.references import resolved
from pipelines.jobs.supervisor import reconcile
from pipelines.schema import (
    GateError,
    GuardUIError,
    InputError,
    NotFoundError,
    StopRequested,
)
from pipelines.settings import get_settings
from pipelines.stages import get_stage
from pipelines.stages.base import build_config

logger = logging.getLogger(__name__)

Handler = Callable[[int, FrameType | None], None] | signal.Handlers
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
EXIT_CODES = {"succeeded": 0, "stopped": 3, "interrupted": 130}


class Terminated(BaseException):
    """SIGTERM came. No Exception, so that nothing between swallows it."""


def run_job(
    database: Database,
    job_id: int,
    foreground: bool = False,
    on_event: OnEvent | None = None,
) -> Job:
    """Does the job in this process and returns its row as it ended.

    In the foreground the log goes to the job's file too, the first Ctrl-C asks for a stop with
    a checkpoint, and the second interrupts. Raises NotFoundError or InputError where the job
    does not exist or may not start.
    """
    job = _claim(database, job_id)
    if job.state == "running":
        folder = job_dir(get_settings(), job_id)
        with _handling(dict.fromkeys(SIGNALS, signal.SIG_IGN)):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / FILE).unlink(missing_ok=True)
            except OSError as error:
                outcome = _failed(job, error)
            else:
                log = _log_file(folder / "log.txt" if foreground else None)
                itself = Actor(f"job {job_id}", "researcher", "job")
                with log, only(job.device), acting(itself):
                    outcome = _attempt(database, job, folder, on_event)
            # From here on it is short, and nothing may come between.
            _settle(database, job_id, folder, outcome)
    try:
        reconcile(database)
    except Exception:
        logger.exception("what waits was not looked at; a supervisor will do that")
    with database.read() as session:
        return jobs.get_job(session, job_id) or job


def _claim(database: Database, job_id: int) -> Job:
    identity = own_identity()

    def take() -> Job:
        with database.write() as session:
            job = leases.claim(session, job_id, **identity, devices=visible_devices())
            if job is not None:
                return job
            found = jobs.get_job(session, job_id)
            if found is None:
                raise NotFoundError(f"job={job_id}: there is no such job")
            if found.state == "stopping" and found.pid in (None, os.getpid()):
                lifecycle.finish(session, job_id, "stopped", "stopped before it began")
                return found
            raise InputError(
                f"job={job_id}: is {found.state} and may not start here: must be queued or "
                "starting, its parents succeeded and its device free"
            )

    return insist(take)


def _attempt(database: Database, job: Job, folder: Path, on_event: OnEvent | None) -> Outcome:
    """Runs the stage and tells how it ended, whatever happens."""
    seconds = get_settings().heartbeat_seconds
    context = JobContext(
        database,
        job.id,
        job.attempt,
        folder,
        heartbeat_seconds=seconds,
        command=job.command,
        on_event=on_event,
    )
    try:
        with context, _signals(context):
            logger.info("job %d, attempt %d: %s", job.id, job.attempt, job.command)
            _run_stage(database, job, context)
    except StopRequested as error:
        return Outcome(job.attempt, "stopped", storable(str(error)))
    except Terminated:
        return Outcome(job.attempt, "stopped", "ended by SIGTERM")
    except KeyboardInterrupt:
        return Outcome(job.attempt, "interrupted", "interrupted from the keyboard")
    except GateError as error:
        # What it missed was measured all the same: the evaluations stay.
        return replace(_failed(job, error), artifacts=context.made)
    except (Exception, SystemExit) as error:
        logger.exception("job %d failed", job.id)
        return _failed(job, error)
    return Outcome(job.attempt, "succeeded", artifacts=context.made)


def _failed(job: Job, error: BaseException) -> Outcome:
    failure = explain_failure(error)
    return Outcome(job.attempt, "failed", failure["message"], failure)


def _run_stage(database: Database, job: Job, context: JobContext) -> None:
    check_room(context.directory)
    stage = get_stage(job.stage)
    given = build_config(stage, None, job.config)
    config = resolved(database, given)
    write_inputs(context.directory, describe_inputs(database, given, config))
    plain = config.model_dump(mode="json")
    (context.directory / "config.json").write_text(json.dumps(plain, indent=2), "utf-8")
    (context.directory / "command.txt").write_text(job.command + "\n", "utf-8")

    def keep() -> None:
        with database.write() as session:
            lifecycle.set_resolved(session, job.id, plain)

    insist(keep)
    stage.run(as_seen(config), context)


def _settle(database: Database, job_id: int, folder: Path, outcome: Outcome) -> None:
    """The file first: should the database be away, a supervisor finalises the job from it."""
    logger.info("job %d %s%s", job_id, outcome.state, f": {outcome.reason}" * bool(outcome.reason))
    try:
        outcome.save(folder)
    except OSError:
        logger.exception("the outcome could not be written to %s", folder)
    insist(lambda: outcome.record(database, job_id))


@contextmanager
def _signals(context: JobContext) -> Iterator[None]:
    """SIGTERM and a closed terminal end the stage; Ctrl-C asks it to stop, twice interrupts."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise Terminated

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if context.should_stop():
            raise KeyboardInterrupt
        logger.warning("asked to stop: saving a checkpoint; once more interrupts at once")
        context.ask_stop()

    handlers = {
        signal.SIGTERM: terminate,
        signal.SIGHUP: terminate,
        signal.SIGINT: interrupt,
    }
    with _handling(handlers):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may; whoever runs a job elsewhere stops it by its row
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _log_file(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO) if level else logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Does the job named on the command line; the exit code tells how it ended."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for name, value in WORKER_ENV.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    if len(words) != 1 or not words[0].isdigit():
        logger.error("usage: python -m pipelines.jobs.worker JOB (a job's number)")
        return 2
    try:
        database = open_database(get_settings().database_url)
        job = run_job(database, int(words[0]))
    except GuardUIError as error:
        logger.error("%s", error)
        return 2
    return EXIT_CODES.get(job.state, 1)


if __name__ == "__main__":
    raise SystemExit(main())
