"""Throw-away stages, here and in workers, and jobs whose processes are sure to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

import pipelines.stages
from db import jobs
from db.models import ENDED, Job
from db.session import Database, open_database
from pipelines.jobs import launchers
from pipelines.jobs.supervisor import reconcile
from pipelines.settings import Settings, get_settings
from tests.pipelines.jobs import throwaway

Wait = Callable[..., Job]


@pytest.fixture(autouse=True)
def stages(monkeypatch: pytest.MonkeyPatch, home: Settings) -> None:
    """The throw-away stages in place of the real ones, and short waits."""
    monkeypatch.setattr(pipelines.stages, "all_stages", lambda: throwaway.STAGES)
    monkeypatch.setattr(launchers, "worker_command", throwaway.command)
    for name, value in {"HEARTBEAT": "0.1", "STOP_ASK": "0.4", "STOP_TERM": "0.4"}.items():
        monkeypatch.setenv(f"GUARDUI_{name}_SECONDS", value)
    get_settings.cache_clear()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Launches nothing; the list tells which jobs would have been."""
    launched: list[int] = []

    def note(_settings: object, _url: str, job_id: int, _folder: object) -> int:
        launched.append(job_id)
        return 2**22 + 1  # above the highest pid there may be

    monkeypatch.setitem(launchers.LAUNCHERS, "local", note)
    return launched


@pytest.fixture
def files(home: Settings) -> Iterator[Database]:
    """A SQLite database, for what does not differ between the two."""
    database = open_database(get_settings().database_url)
    yield database
    database.dispose()


@pytest.fixture
def workers() -> Iterator[None]:
    """Ends what the test left running."""
    yield
    for child in launchers._children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    launchers._children.clear()


@pytest.fixture
def wait(workers: None) -> Wait:
    """wait(database, id, *states): reconciles until the job is in one of the states."""

    def until(
        database: Database,
        job_id: int,
        *states: str,
        step: int = 0,
        seconds: float = 120,
        look: bool = True,
    ) -> Job:
        deadline = time.monotonic() + seconds
        while True:
            if look:
                reconcile(database)
            with database.read() as session:
                job = jobs.get_job(session, job_id)
            assert job is not None
            if job.state in (states or ENDED) and job.step >= step:
                return job
            assert time.monotonic() < deadline, f"{job.state} at step {job.step}: {job.reason}"
            assert not (job.state in ENDED and states and job.state not in states), job.reason
            time.sleep(0.2)

    return until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A living process that is nobody's worker."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()
