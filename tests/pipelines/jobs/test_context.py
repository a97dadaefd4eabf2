from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from db import jobs, leases, lifecycle, samples
from db.session import Database
from pipelines.jobs.context import JobContext, digest
from pipelines.jobs.launchers import own_identity
from pipelines.jobs.queue import stop, submit
from pipelines.schema import InputError
from tests.pipelines.jobs import throwaway

Told = list[tuple[str, Mapping[str, Any]]]


@pytest.fixture
def job_id(database: Database, idle: list[int]) -> int:
    """A running job, done by this process."""
    return running(database)


def running(database: Database) -> int:
    job_id = submit(database, "rsft", {})
    with database.write() as session:
        assert leases.claim(session, job_id, **own_identity())
    return job_id


def context(
    database: Database, job_id: int, folder: Path, attempt: int = 1, told: Told | None = None
) -> JobContext:
    return JobContext(
        database,
        job_id,
        attempt,
        folder,
        heartbeat_seconds=0.05,
        on_event=None if told is None else lambda kind, data: told.append((kind, data)),
    )


def losses(database: Database, job_id: int) -> dict[int | None, Any]:
    with database.read() as session:
        return {event.step: event.data["loss"] for event in jobs.metrics(session, job_id)}


def test_what_a_stage_reports_is_stored(database: Database, job_id: int, tmp_path: Path) -> None:
    told: Told = []
    with context(database, job_id, tmp_path, told=told) as stage:
        stage.activity("training\0" + "x" * 300)
        stage.progress(1, 10)
        stage.metrics(1, {"loss": 2.0, "gradient": float("nan"), "far": float("inf")})
        stage.progress(2, 10)
    with database.read() as session:
        row = jobs.get_job(session, job_id)
        (event,) = jobs.metrics(session, job_id)
        beats = jobs.events(session, job_id, kind="heartbeat")
    assert row is not None
    assert (row.step, row.total_steps) == (2, 10)
    assert row.activity.startswith("training\ufffdx")
    assert event.data == {"loss": 2.0, "gradient": None, "far": None}
    assert beats[0].data["rss"] > 2**20
    assert beats[0].data["peak"] >= beats[0].data["rss"] // 2
    assert [kind for kind, _ in told] == ["activity", "progress", "metrics", "progress"]


def test_metrics_arrive_while_the_stage_runs(
    database: Database, job_id: int, tmp_path: Path
) -> None:
    with context(database, job_id, tmp_path) as stage:
        stage.metrics(1, {"loss": 1.0})
        deadline = time.monotonic() + 5
        while not losses(database, job_id):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        stage.metrics(2, {"loss": 0.5})
    assert losses(database, job_id) == {1: 1.0, 2: 0.5}


def test_metrics_of_steps_done_again_replace_the_old(
    database: Database, job_id: int, tmp_path: Path
) -> None:
    with context(database, job_id, tmp_path) as stage:
        for step in range(1, 6):
            stage.metrics(step, {"loss": 1.0})
    with context(database, job_id, tmp_path, attempt=2) as stage:
        for step in (4, 5, 6):
            stage.metrics(step, {"loss": 9.0})
    assert losses(database, job_id) == {1: 1.0, 2: 1.0, 3: 1.0, 4: 9.0, 5: 9.0, 6: 9.0}
    with database.read() as session:
        assert len(jobs.metrics(session, job_id)) == 6


def test_should_stop_once_asked(database: Database, job_id: int, tmp_path: Path) -> None:
    with context(database, job_id, tmp_path) as stage:
        assert not stage.should_stop()
        stop(database, job_id)
        deadline = time.monotonic() + 5
        while not stage.should_stop():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_stop_asked_here_is_told_to_the_database(
    database: Database, job_id: int, tmp_path: Path
) -> None:
    with context(database, job_id, tmp_path) as stage:
        stage.ask_stop()
        assert stage.should_stop()
    with database.read() as session:
        row = jobs.get_job(session, job_id)
    assert row is not None
    assert row.state == "stopping"


def test_an_attempt_whose_job_was_ended_stops(
    database: Database, job_id: int, tmp_path: Path
) -> None:
    with context(database, job_id, tmp_path) as stage:
        with database.write() as session:
            lifecycle.finish(session, job_id, "interrupted")
        deadline = time.monotonic() + 5
        while not stage.should_stop():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_locked_database_neither_slows_nor_loses(
    files: Database, idle: list[int], tmp_path: Path
) -> None:
    job_id = running(files)
    lock = sqlite3.connect(files.engine.url.database or "", isolation_level=None)
    with context(files, job_id, tmp_path) as stage:
        lock.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        for step in range(50):
            stage.metrics(step, {"loss": 1.0})
        assert time.monotonic() - begun < 1
        time.sleep(0.3)
        lock.execute("ROLLBACK")
    lock.close()
    assert len(losses(files, job_id)) == 50


def test_artifacts_wait_for_the_end(database: Database, job_id: int, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("abc")
    with context(database, job_id, tmp_path) as stage:
        details = {"path": tmp_path, "nan": float("nan"), "rows": 3}
        stage.artifact("adapter", tmp_path / "weights", "mine", details)
        with pytest.raises(InputError, match=r"artifact lost: .*/lost does not exist"):
            stage.artifact("adapter", tmp_path / "lost", "lost", {})
    (made,) = stage.made
    assert (made.kind, made.size) == ("adapter", 3)
    assert made.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert made.details == {"path": str(tmp_path), "nan": None, "rows": 3}
    with database.read() as session:
        assert jobs.artifacts(session) == []


def test_digest_of_a_folder(tmp_path: Path) -> None:
    def folder(name: str, files: dict[str, str]) -> Path:
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        return tmp_path / name

    a = digest(folder("a", {"x": "1", "deep/y": "22"}))
    assert a[1] == 3
    assert a == digest(folder("b", {"deep/y": "22", "x": "1"}))
    assert a[0] != digest(folder("c", {"x": "1", "deep/z": "22"}))[0]
    assert a[0] != digest(folder("d", {"x": "1", "deep/y": "23"}))[0]


def test_hard_samples_replace_each_other(database: Database, job_id: int, tmp_path: Path) -> None:
    told: Told = []
    with context(database, job_id, tmp_path, told=told) as stage:
        stage.hard_samples([throwaway.sample("a"), throwaway.sample("b")])
        stage.hard_samples([throwaway.sample("c", 1.2, "one \0 two \ud800")])
    with database.read() as session:
        (row,), total = samples.list_samples(session, job_id=job_id)
    assert (total, row.row_id, row.weight) == (1, "c", 1.2)
    assert [one.text for one in row.generations] == ["one \ufffd two ?"] * 2
    assert [one.correct for one in row.generations] == [True, False]
    assert row.generations[0].labels == {"prompt_harmfulness": "harmful"}
    assert row.gold == {"prompt_harmfulness": "harmful"}
    assert told[-1] == ("hard_samples", {"count": 1})
