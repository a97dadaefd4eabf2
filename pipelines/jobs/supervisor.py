"""Looking after this machine's jobs: the dead are finalised, the deaf ended, the next begun."""

from __future__ import annotations

import logging
import signal
import threading
from datetime import timedelta

from db import jobs, lifecycle
from db.models import ACTIVE, Job, now
from db.session import Database
from pipelines.jobs.launchers import ProcessId, boot_id, is_alive, reap, send
from pipelines.jobs.outcome import read_outcome
from pipelines.jobs.queue import dispatch, job_dir
from pipelines.settings import get_settings

logger = logging.getLogger(__name__)

HERE = ("local", "foreground")
LAUNCH_SECONDS = 60.0
FOREIGN_SECONDS = 60.0
SUPERVISOR_SECONDS = 1.0


def reconcile(database: Database) -> list[int]:
    """One pass over all jobs; returns the ids of those it launched.

    Any process may do this at any time, several at once too.
    """
    reap()
    with database.read() as session:
        found = jobs.unfinished(session)
    queued = [job for job in found if job.state == "queued"]
    for job in found:
        if job.state in ACTIVE and job.launcher in HERE:
            _look_after(database, job)
    for job in queued:
        if job.launcher == "foreground" and _is_gone(job):
            with database.write() as session:
                lifecycle.abandon(session, job.id, "the terminal in which it waited is gone")
    return dispatch(database) if queued else []


def process_of(job: Job) -> ProcessId | None:
    """The process that does the job, as its row names it."""
    if job.pid is None or job.pid_created is None or job.boot_id is None:
        return None
    return ProcessId(job.pid, job.pid_created, job.boot_id)


def _is_gone(job: Job) -> bool:
    process = process_of(job)
    if process is None:
        begun = (job.started_at if job.state in ACTIVE else None) or job.created_at
        return now() - begun > timedelta(seconds=LAUNCH_SECONDS)
    if process.boot_id != boot_id():
        # Another boot: this machine was restarted, or another one shares the database and its
        # worker is well. The heartbeat tells which.
        heard = job.heartbeat_at or job.started_at or job.created_at
        return now() - heard > timedelta(seconds=FOREIGN_SECONDS)
    return not is_alive(process)


def _look_after(database: Database, job: Job) -> None:
    if not _is_gone(job):
        if job.state == "stopping":
            _press(database, job)
        return
    outcome = read_outcome(job_dir(get_settings(), job.id), job.attempt)
    if outcome is not None and job.state != "starting":
        logger.info("job %d: finalised as %s from its outcome file", job.id, outcome.state)
        outcome.record(database, job.id)
        return
    state, reason = _end_without_word(job)
    with database.write() as session:
        if lifecycle.finish(session, job.id, state, reason, attempt=job.attempt):
            logger.info("job %d: %s, %s", job.id, state, reason)


def _end_without_word(job: Job) -> tuple[str, str]:
    if job.state == "stopping":
        how = f"by SIG{job.stop_signal}" if job.stop_signal else "before it could answer"
        return "stopped", f"ended {how}; it goes on from its last checkpoint"
    if job.state == "starting":
        return "interrupted", "its process never came up; the log may say why"
    return "interrupted", "its process is gone without a word: killed, or the machine went down"


def _press(database: Database, job: Job) -> None:
    """Sends SIGTERM, then SIGKILL, each after its wait, to a job that was asked to stop."""
    process, settings = process_of(job), get_settings()
    if process is None or process.boot_id != boot_id() or job.stop_requested_at is None:
        return
    if job.stop_signal is None:
        number, since, wait = signal.SIGTERM, job.stop_requested_at, settings.stop_ask_seconds
    elif job.stop_signal == "TERM":
        number, since = signal.SIGKILL, job.stop_signal_at or job.stop_requested_at
        wait = settings.stop_term_seconds
    else:
        return
    if now() - since > timedelta(seconds=wait):
        logger.warning("job %d does not stop: %s", job.id, number.name)
        with database.write() as session:
            lifecycle.note_signal(session, job.id, number.name.removeprefix("SIG"))
        send(process, number)


class Supervisor:
    """A thread that reconciles each second, for as long as the app runs."""

    def __init__(self, database: Database, seconds: float = SUPERVISOR_SECONDS) -> None:
        self._database = database
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; the workers go on."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                reconcile(self._database)
            except Exception:
                logger.exception("the supervisor's pass failed; it tries again")
            self._ended.wait(self._seconds)
