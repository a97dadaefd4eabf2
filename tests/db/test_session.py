from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from db import jobs
from db.models import Base, Job, JobParent
from db.session import Database, driver_url, open_database, upgrade


def test_postgresql_urls_get_the_driver() -> None:
    assert driver_url("postgresql://u@h/d") == "postgresql+psycopg://u@h/d"
    assert driver_url("postgres://u@h/d") == "postgresql+psycopg://u@h/d"
    assert driver_url("postgresql+psycopg://u@h/d") == "postgresql+psycopg://u@h/d"
    assert driver_url("sqlite:///x.db") == "sqlite:///x.db"


def test_migrations_make_the_models_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_make_the_partial_index(database: Database) -> None:
    indexes = {index["name"]: index for index in inspect(database.engine).get_indexes("jobs")}
    lease = indexes["uq_jobs_device_lease"]
    assert lease["unique"]
    backend = database.engine.dialect.name
    assert "starting" in str(lease["dialect_options"][f"{backend}_where"])


def test_upgrade_twice_changes_nothing(database: Database) -> None:
    with database.write() as session:
        jobs.add_job(session, stage="rsft", config={})
    upgrade(database.url)
    with database.read() as session:
        assert len(jobs.list_jobs(session)) == 1


def test_several_upgrades_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_database, [database_url] * 4))
    for database in opened:
        with database.read() as session:
            assert jobs.list_jobs(session) == []
        database.dispose()


def test_upgrade_makes_the_folder(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/deep/er/guardui.db")
    assert (tmp_path / "deep" / "er" / "guardui.db").exists()


def test_sqlite_pragmas(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/guardui.db")
    with database.read() as session:
        pragmas = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    database.dispose()
    expected = {"journal_mode": "wal", "busy_timeout": 10_000, "foreign_keys": 1, "synchronous": 1}
    assert pragmas == expected


def test_write_rolls_back_on_an_error(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as session:
            jobs.add_job(session, stage="rsft", config={})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with database.read() as session:
        assert jobs.list_jobs(session) == []


def test_read_saves_nothing(database: Database) -> None:
    with database.read() as session:
        session.add(Job(stage="rsft", config={}))
        session.flush()
    with database.read() as session:
        assert jobs.list_jobs(session) == []


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(JobParent(job_id=1, parent_id=2))


def test_reading_then_writing_at_once_loses_nothing(database: Database) -> None:
    """Eight threads count up; on SQLite a deferred transaction would fail or lose some."""
    with database.write() as session:
        job_id = jobs.add_job(session, stage="rsft", config={}).id
    start = threading.Barrier(8)

    def count() -> None:
        start.wait()
        for _ in range(5):
            with database.write() as session:
                job = session.get_one(Job, job_id, with_for_update=True)
                job.step += 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(count) for _ in range(8)]:
            done.result()
    with database.read() as session:
        assert session.get_one(Job, job_id).step == 40


def test_a_missing_json_value_is_null(database: Database) -> None:
    with database.write() as session:
        jobs.add_job(session, stage="rsft", config={})
    with database.read() as session:
        found = session.scalar(text("SELECT count(*) FROM jobs WHERE failure IS NULL"))
    assert found == 1


def test_ids_are_never_given_twice(database: Database) -> None:
    with database.write() as session:
        first = jobs.add_job(session, stage="rsft", config={})
        session.delete(first)
    with database.write() as session:
        assert jobs.add_job(session, stage="rsft", config={}).id > first.id
