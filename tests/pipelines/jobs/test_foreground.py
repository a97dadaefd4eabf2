from __future__ import annotations

import subprocess
import threading
import time

import pytest

from db import jobs, leases, lifecycle
from db.models import Job
from db.session import Database
from pipelines.jobs import foreground, queue
from pipelines.jobs.foreground import wait_for_turn
from pipelines.jobs.launchers import identify
from pipelines.jobs.queue import submit
from pipelines.jobs.supervisor import reconcile
from pipelines.jobs.worker import run_job
from pipelines.schema import InputError, NotFoundError, StopRequested


def job(database: Database, job_id: int) -> Job:
    with database.read() as session:
        found = jobs.get_job(session, job_id)
    assert found is not None
    return found


@pytest.fixture
def holder(database: Database, idle: list[int], sleeper: subprocess.Popen[bytes]) -> int:
    """A running job that holds the device."""
    process = identify(sleeper.pid)
    assert process is not None
    job_id = submit(database, "rsft", {})
    with database.write() as session:
        identity = {"pid_created": process.created, "boot_id": process.boot_id}
        assert leases.claim(session, job_id, pid=process.pid, **identity)  # type: ignore[arg-type]
    return job_id


def test_it_waits_for_its_device_and_then_runs(database: Database, holder: int) -> None:
    mine = submit(database, "rsft", {}, launcher="foreground")
    told: list[str] = []

    def end_the_holder() -> None:
        while not told:
            time.sleep(0.01)
        with database.write() as session:
            lifecycle.finish(session, holder, "succeeded")

    thread = threading.Thread(target=end_the_holder)
    thread.start()
    wait_for_turn(database, mine, told.append, seconds=0.02)
    thread.join()
    assert told == [f"job {holder} (rsft), which is first on cpu"]
    assert job(database, mine).state == "starting"
    assert run_job(database, mine, foreground=True).state == "succeeded"


def test_nothing_behind_it_starts_before_it(
    database: Database, holder: int, idle: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = submit(database, "rsft", {}, launcher="foreground")
    behind = submit(database, "rsft", {})
    free = submit(database, "free", {})
    with database.write() as session:
        lifecycle.finish(session, holder, "succeeded")
    assert queue.dispatch(database) == []
    wait_for_turn(database, mine)
    run_job(database, mine)
    assert idle == [holder, free, behind]


def test_it_lets_those_ahead_go_first(database: Database, holder: int, idle: list[int]) -> None:
    ahead = submit(database, "rsft", {})
    mine = submit(database, "rsft", {}, launcher="foreground")
    with database.write() as session:
        lifecycle.finish(session, holder, "succeeded")
        assert leases.reserve_next(session, only=mine) is None
        assert leases.why_waiting(session, mine) == f"job {ahead} (rsft), which is first on cpu"


def test_a_cancelled_job_waits_no_longer(database: Database, holder: int) -> None:
    mine = submit(database, "rsft", {}, launcher="foreground")

    def cancel(_text: str) -> None:
        queue.cancel(database, mine)

    with pytest.raises(StopRequested, match=f"job={mine}: was stopped before its turn came"):
        wait_for_turn(database, mine, cancel, seconds=0.02)


def test_a_parent_that_fails_ends_the_wait(database: Database, holder: int) -> None:
    mine = submit(database, "mine", {"adapter": f"job:{holder}"}, launcher="foreground")
    told: list[str] = []

    def fail(text: str) -> None:
        told.append(text)
        with database.write() as session:
            lifecycle.finish(session, holder, "failed")

    with pytest.raises(InputError, match=f"needs job {holder} .rsft., which failed"):
        wait_for_turn(database, mine, fail, seconds=0.02)
    assert told == [f"job {holder} (rsft), whose result it takes"]
    assert job(database, mine).state == "stopped"


def test_the_keyboard_cancels_it(
    database: Database, holder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = submit(database, "rsft", {}, launcher="foreground")

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(foreground.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        wait_for_turn(database, mine)
    assert job(database, mine).state == "stopped"


def test_a_terminal_that_is_gone_holds_nothing_up(
    database: Database, holder: int, idle: list[int], sleeper: subprocess.Popen[bytes]
) -> None:
    mine = submit(database, "rsft", {}, launcher="foreground")
    behind = submit(database, "rsft", {})
    with database.write() as session:
        lifecycle.finish(session, holder, "succeeded")
        process = identify(sleeper.pid)
        assert process is not None
        leases.set_process(
            session, mine, pid=process.pid, pid_created=process.created - 9, boot_id=process.boot_id
        )
    assert reconcile(database) == [behind]
    row = job(database, mine)
    assert (row.state, row.reason) == ("interrupted", "the terminal in which it waited is gone")


def test_an_unknown_job(files: Database) -> None:
    with pytest.raises(NotFoundError, match="job=404"):
        wait_for_turn(files, 404)
