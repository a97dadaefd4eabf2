"""Workers in processes of their own, and what becomes of them."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from db import jobs, leases
from db.models import Job, now
from db.session import Database
from pipelines.jobs import queue, supervisor
from pipelines.jobs.launchers import identify, own_identity
from pipelines.jobs.outcome import NewArtifact, Outcome
from pipelines.jobs.queue import job_dir, submit, submit_recipe
from pipelines.jobs.supervisor import Supervisor, reconcile
from pipelines.settings import get_settings

Wait = Callable[..., Job]


def folder(job_id: int) -> Path:
    return job_dir(get_settings(), job_id)


def job(database: Database, job_id: int) -> Job:
    with database.read() as session:
        found = jobs.get_job(session, job_id)
    assert found is not None
    return found


def change(database: Database, job_id: int, **values: object) -> None:
    with database.write() as session:
        row = session.get_one(Job, job_id)
        for name, value in values.items():
            setattr(row, name, value)


# True workers


def test_a_worker_does_its_job(database: Database, wait: Wait) -> None:
    job_id = submit(database, "rsft", {"steps": 3})
    row = wait(database, job_id)
    assert (row.state, row.reason) == ("succeeded", None)
    assert row.pid is not None
    assert row.pid != os.getpid()
    assert [one.name for one in row.artifacts] == ["counted"]
    log = (folder(job_id) / "log.txt").read_text()
    assert f"job {job_id}, attempt 1: guardui run rsft" in log
    assert f"job {job_id} succeeded" in log


def test_a_chain_goes_on_with_nobody_looking(files: Database, wait: Wait) -> None:
    ids = submit_recipe(files, "demo", {})
    row = wait(files, ids[-1], look=False)
    assert row.state == "succeeded"
    assert [job(files, one).state for one in ids] == ["succeeded"] * 3


def test_a_failed_worker_is_named(files: Database, wait: Wait) -> None:
    job_id = submit(files, "rsft", {"fail_at": 2, "fault": "disk"})
    row = wait(files, job_id)
    assert row.state == "failed"
    assert row.failure is not None
    assert row.failure["code"] == "disk_full"
    assert "Traceback" in (folder(job_id) / "log.txt").read_text()


def test_a_killed_worker_is_interrupted_and_resumes(database: Database, wait: Wait) -> None:
    job_id = submit(database, "rsft", {"steps": 40, "seconds": 0.05})
    row = wait(database, job_id, "running", step=5)
    assert row.pid is not None
    os.kill(row.pid, signal.SIGKILL)
    row = wait(database, job_id)
    assert row.state == "interrupted"
    assert "without a word" in (row.reason or "")
    assert row.artifacts == []
    reached = int((folder(job_id) / "checkpoint").read_text())
    assert queue.resume(database, job_id) == "queued"
    row = wait(database, job_id)
    assert (row.state, row.attempt) == ("succeeded", 2)
    with database.read() as session:
        steps = [event.step or 0 for event in jobs.metrics(session, job_id)]
    assert steps == sorted(set(steps))
    assert set(range(reached + 1, 41)) <= set(steps)
    log = (folder(job_id) / "log.txt").read_text()
    assert "attempt 1" in log
    assert "attempt 2" in log


def test_a_worker_that_is_asked_stops_at_a_checkpoint(files: Database, wait: Wait) -> None:
    job_id = submit(files, "rsft", {"steps": 400, "seconds": 0.02})
    wait(files, job_id, "running", step=3)
    assert queue.stop(files, job_id) == "stopping"
    row = wait(files, job_id, "stopped", "stopping", look=False)
    row = wait(files, job_id)
    assert (row.state, row.stop_signal) == ("stopped", None)
    at = int((folder(job_id) / "checkpoint").read_text())
    assert row.reason == f"stopped after {at} of 400"


def test_a_worker_that_does_not_listen_gets_sigterm(files: Database, wait: Wait) -> None:
    job_id = submit(files, "rsft", {"steps": 4000, "seconds": 0.02, "deaf": "ask"})
    wait(files, job_id, "running", step=3)
    queue.stop(files, job_id)
    row = wait(files, job_id)
    assert (row.state, row.reason, row.stop_signal) == ("stopped", "ended by SIGTERM", "TERM")
    assert row.artifacts == []


def test_a_deaf_worker_is_killed(files: Database, wait: Wait) -> None:
    job_id = submit(files, "rsft", {"steps": 4000, "seconds": 0.02, "deaf": "term"})
    row = wait(files, job_id, "running", step=3)
    queue.stop(files, job_id)
    row = wait(files, job_id)
    assert (row.state, row.stop_signal) == ("stopped", "KILL")
    assert row.reason == "ended by SIGKILL; it goes on from its last checkpoint"
    assert row.pid is not None
    assert identify(row.pid) is None
    assert queue.resume(files, job_id) == "queued"


def test_the_worker_is_in_a_session_of_its_own(files: Database, wait: Wait) -> None:
    job_id = submit(files, "rsft", {"steps": 400, "seconds": 0.02})
    row = wait(files, job_id, "running")
    assert row.pid is not None
    assert os.getsid(row.pid) == row.pid
    process = psutil.Process(row.pid)
    assert process.cwd() == str(folder(job_id))
    assert process.environ()["TQDM_DISABLE"] == "1"


def test_a_worker_that_dies_before_it_begins(
    files: Database, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from pipelines.jobs import launchers

    broken = [sys.executable, "-c", "raise SystemExit('no such module')"]
    monkeypatch.setattr(launchers, "worker_command", lambda _: broken)
    row = wait(files, submit(files, "rsft", {}))
    assert row.state == "interrupted"
    assert row.reason == "its process never came up; the log may say why"
    assert "no such module" in (folder(row.id) / "log.txt").read_text()


def test_the_supervisor_carries_a_queue(files: Database, wait: Wait) -> None:
    guard = Supervisor(files, seconds=0.2)
    guard.start()
    first = submit(files, "rsft", {"steps": 2000, "seconds": 0.02})
    second = submit(files, "rsft", {})
    row = wait(files, first, "running", step=1, look=False)
    assert row.pid is not None
    os.kill(row.pid, signal.SIGKILL)
    assert wait(files, second, "succeeded", look=False).state == "succeeded"
    guard.stop()
    assert job(files, first).state == "interrupted"


# Rows as they are found after a restart


@pytest.fixture
def running(database: Database, idle: list[int], sleeper: subprocess.Popen[bytes]) -> int:
    """A running job whose process is alive, as an app finds it that was started again."""
    process = identify(sleeper.pid)
    assert process is not None
    job_id = submit(database, "rsft", {})
    with database.write() as session:
        leases.claim(
            session,
            job_id,
            pid=process.pid,
            pid_created=process.created,
            boot_id=process.boot_id,
        )
    return job_id


def test_a_living_worker_is_left_alone(database: Database, running: int) -> None:
    before = job(database, running)
    reconcile(database)
    after = job(database, running)
    assert (after.state, after.pid, after.attempt) == ("running", before.pid, 1)


def test_a_pid_that_was_given_again(
    database: Database, running: int, sleeper: subprocess.Popen[bytes]
) -> None:
    created = job(database, running).pid_created or 0
    change(database, running, pid_created=created - 100)
    reconcile(database)
    assert job(database, running).state == "interrupted"
    assert sleeper.poll() is None


def test_a_stranger_with_the_pid_is_not_killed(
    database: Database, running: int, sleeper: subprocess.Popen[bytes]
) -> None:
    change(
        database,
        running,
        pid_created=0.0,
        state="stopping",
        stop_requested_at=now() - timedelta(hours=1),
    )
    reconcile(database)
    row = job(database, running)
    assert (row.state, row.stop_signal) == ("stopped", None)
    assert sleeper.poll() is None


def test_after_a_reboot(database: Database, running: int) -> None:
    """A fresh heartbeat means another machine at the same database; an old one, a reboot."""
    change(database, running, boot_id="another")
    reconcile(database)
    assert job(database, running).state == "running"
    change(database, running, heartbeat_at=now() - timedelta(minutes=2))
    reconcile(database)
    assert job(database, running).state == "interrupted"


@pytest.mark.parametrize("state", ["running", "stopping"])
def test_an_outcome_on_disk_counts(
    database: Database, running: int, state: str, tmp_path: Path
) -> None:
    change(database, running, pid_created=0.0, state=state, stop_requested_at=now())
    folder(running).mkdir(parents=True)
    made = NewArtifact("adapter", "kept", str(tmp_path), "0" * 64, 1, {})
    Outcome(1, "succeeded", artifacts=[made]).save(folder(running))
    reconcile(database)
    row = job(database, running)
    assert (row.state, [one.name for one in row.artifacts]) == ("succeeded", ["kept"])
    reconcile(database)
    assert len(job(database, running).artifacts) == 1


def test_an_outcome_of_an_earlier_attempt_does_not_count(database: Database, running: int) -> None:
    change(database, running, pid_created=0.0, attempt=2)
    folder(running).mkdir(parents=True)
    Outcome(1, "succeeded").save(folder(running))
    reconcile(database)
    assert job(database, running).state == "interrupted"


def test_a_launch_that_came_to_nothing(database: Database, idle: list[int]) -> None:
    job_id = submit(database, "rsft", {})
    reconcile(database)
    assert job(database, job_id).state == "starting"
    change(database, job_id, started_at=now() - timedelta(minutes=2))
    reconcile(database)
    assert job(database, job_id).state == "interrupted"


def test_a_stop_while_nothing_came_up(database: Database, idle: list[int]) -> None:
    job_id = submit(database, "rsft", {})
    queue.stop(database, job_id)
    reconcile(database)
    assert job(database, job_id).state == "stopping"
    change(database, job_id, started_at=now() - timedelta(minutes=2))
    reconcile(database)
    assert job(database, job_id).state == "stopped"


def test_signals_wait_their_time(
    files: Database, idle: list[int], sleeper: subprocess.Popen[bytes]
) -> None:
    process = identify(sleeper.pid)
    assert process is not None
    job_id = submit(files, "rsft", {})
    with files.write() as session:
        identity = {"pid_created": process.created, "boot_id": process.boot_id}
        leases.claim(session, job_id, pid=process.pid, **identity)  # type: ignore[arg-type]
    os.kill(sleeper.pid, signal.SIGSTOP)  # so that it does not answer SIGTERM
    queue.stop(files, job_id)
    reconcile(files)
    assert job(files, job_id).stop_signal is None
    change(files, job_id, stop_requested_at=now() - timedelta(hours=1))
    reconcile(files)
    assert job(files, job_id).stop_signal == "TERM"
    reconcile(files)  # however long ago it was asked, SIGTERM gets its own wait
    assert job(files, job_id).stop_signal == "TERM"
    change(files, job_id, stop_signal_at=now() - timedelta(seconds=1))
    reconcile(files)
    assert job(files, job_id).stop_signal == "KILL"
    assert sleeper.wait(5) == -signal.SIGKILL


def test_jobs_of_other_launchers_are_not_ours(files: Database, idle: list[int]) -> None:
    job_id = submit(files, "rsft", {})
    change(files, job_id, launcher="slurm", started_at=now() - timedelta(days=1))
    reconcile(files)
    assert job(files, job_id).state == "starting"


def test_the_supervisor_survives_errors(
    files: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    passes: list[int] = []

    def fail(_database: Database) -> None:
        passes.append(1)
        raise RuntimeError("the database is away")

    monkeypatch.setattr(supervisor, "reconcile", fail)
    guard = Supervisor(files, seconds=0.01)
    with caplog.at_level(logging.ERROR):
        guard.start()
        while len(passes) < 3:
            time.sleep(0.01)
        guard.stop()
    assert "the database is away" in caplog.text


def test_this_process_as_a_job(files: Database, idle: list[int]) -> None:
    """A run in a terminal is watched like any other."""
    job_id = submit(files, "rsft", {}, launcher="foreground")
    with files.write() as session:
        leases.claim(session, job_id, **own_identity())
    reconcile(files)
    assert job(files, job_id).state == "running"
    change(files, job_id, pid_created=0.0)
    reconcile(files)
    assert job(files, job_id).state == "interrupted"
