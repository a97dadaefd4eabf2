"""Jobs for whichever GPU is free, on a machine with two, as far as this process knows."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from db import jobs, leases, lifecycle
from db.models import Job
from db.session import Database, open_database
from pipelines.jobs import devices, foreground, queue, worker
from pipelines.jobs.launchers import own_identity
from pipelines.jobs.queue import dispatch, submit
from pipelines.jobs.worker import run_job

TWO = ["cuda:0", "cuda:1"]


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (devices, queue, foreground, worker):
        monkeypatch.setattr(module, "visible_devices", lambda: TWO)


def rsft(database: Database, device: str = "auto", **options: Any) -> int:
    return submit(database, "rsft", {"device": device}, **options)


def job(database: Database, job_id: int) -> Job:
    with database.read() as session:
        found = jobs.get_job(session, job_id)
    assert found is not None
    return found


def place(database: Database, *ids: int) -> list[tuple[str, str]]:
    found = [job(database, one) for one in ids]
    return [(one.device, one.state) for one in found]


def end(database: Database, job_id: int, state: str = "succeeded") -> None:
    with database.write() as session:
        assert lifecycle.finish(session, job_id, state)


def waits_for(database: Database, job_id: int) -> str:
    with database.read() as session:
        return leases.why_waiting(session, job_id, TWO)


def test_each_takes_a_free_one_and_the_next_waits(database: Database, idle: list[int]) -> None:
    first, second, third = rsft(database), rsft(database), rsft(database)
    assert place(database, first, second, third) == [
        ("cuda:0", "starting"),
        ("cuda:1", "starting"),
        ("auto", "queued"),
    ]
    assert waits_for(database, third) == (
        f"a free device: cuda:0 has job {first} (rsft), cuda:1 has job {second} (rsft)"
    )
    end(database, second)
    assert waits_for(database, third) == ""
    assert dispatch(database) == [third]
    assert place(database, third) == [("cuda:1", "starting")]


def test_a_named_gpu_stays_named(database: Database, idle: list[int]) -> None:
    named, any_one, same, late = (
        rsft(database, "cuda:0"),
        rsft(database),
        rsft(database, "cuda:0"),
        rsft(database),
    )
    assert place(database, named, any_one, same) == [
        ("cuda:0", "starting"),
        ("cuda:1", "starting"),
        ("cuda:0", "queued"),
    ]
    end(database, named)
    assert dispatch(database) == [same], "it stands before the one that takes any"
    assert waits_for(database, late).startswith("a free device: ")


def test_one_that_needs_no_lease_takes_any_at_once(database: Database, idle: list[int]) -> None:
    held = [rsft(database), rsft(database)]
    free = submit(database, "free", {"device": "auto"})
    assert idle == [*held, free]
    assert place(database, free) == [("cuda:0", "starting")]


def test_a_resumed_job_waits_for_no_certain_one(database: Database, idle: list[int]) -> None:
    first, second = rsft(database), rsft(database)
    end(database, first, "interrupted")
    other = rsft(database, "cuda:0")
    end(database, second)
    queue.resume(database, first)
    assert place(database, other, first) == [("cuda:0", "starting"), ("cuda:1", "starting")]


def test_many_dispatchers_give_each_gpu_once(
    database: Database, idle: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "dispatch", lambda _database: [])
    waiting = [rsft(database) for _ in range(5)]
    start = threading.Barrier(4)

    def run(_: int) -> list[int]:
        own = open_database(database.url)
        start.wait()
        launched = dispatch(own)
        own.dispose()
        return launched

    with ThreadPoolExecutor(4) as pool:
        found = [one for launched in pool.map(run, range(4)) for one in launched]
    found += dispatch(database)
    assert len(found) == len(set(found)) == 2
    assert sorted(device for device, _ in place(database, *found)) == TWO
    assert [state for _, state in place(database, *sorted(set(waiting) - set(found)))] == [
        "queued"
    ] * 3


def test_one_in_a_terminal_keeps_one_gpu_for_its_turn(database: Database, idle: list[int]) -> None:
    held = rsft(database), rsft(database)
    mine = rsft(database, launcher="foreground")
    behind = rsft(database)
    end(database, held[0])
    assert dispatch(database) == [], "the free one is for the job in the terminal"
    assert waits_for(database, behind) == f"job {mine} (rsft), which is first in the queue"
    end(database, held[1])
    assert dispatch(database) == [behind]
    foreground.wait_for_turn(database, mine)
    assert place(database, mine, behind) == [("cuda:0", "starting"), ("cuda:1", "starting")]


def test_a_worker_started_by_hand_gets_a_free_one(
    database: Database, idle: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rsft(database)
    monkeypatch.setattr(queue, "dispatch", lambda _database: [])
    mine, late = rsft(database), rsft(database)
    with database.write() as session:
        claimed = leases.claim(session, mine, **own_identity(), devices=TWO)
        assert claimed is not None
        assert (claimed.device, claimed.state) == ("cuda:1", "running")
        assert leases.claim(session, late, **own_identity(), devices=TWO) is None


def test_the_stage_sees_its_own_gpu_alone(files: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the trainer would see, told by the config and the environment that it is given."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(queue, "dispatch", lambda _database: [])
    seen: list[tuple[str, str | None]] = []

    def look(config: Any, _context: Any) -> None:
        seen.append((config.device, devices.os.environ.get("CUDA_VISIBLE_DEVICES")))

    stage = queue.get_stage("rsft")
    altered = type(stage)(stage.name, stage.title, "", stage.config, look)
    monkeypatch.setattr(worker, "get_stage", lambda _name: altered)
    run_job(files, rsft(files, "cuda:1"))
    run_job(files, rsft(files))
    assert seen == [("cuda", "1"), ("auto", "0")]
    assert "CUDA_VISIBLE_DEVICES" not in devices.os.environ
