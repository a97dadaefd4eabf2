from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from db import jobs
from db.models import Base, HardSampleRow, Job, JobParent
from db.session import MIGRATIONS, Database, _migrating, driver_url, open_database, upgrade

OLD_ROWS = (
    "INSERT INTO jobs (stage, title, state, position, config, command, device, exclusive, "
    "launcher, attempt, created_at, step, total_steps, activity) VALUES ('mine', '', 'succeeded', "
    "0, '{}', '', 'cpu', true, 'local', 1, '2026-11-01', 0, 0, '')",
    "INSERT INTO hard_samples (job_id, row_id, source, task, prompt, gold, k_correct, k_incorrect, "
    "chosen, rejected, weight) VALUES (1, 'a', '', 'refusal', 'p', '{}', 1, 1, 0, 1, 1.0)",
    "INSERT INTO generations (hard_sample_id, position, text, labels, tokens) "
    "VALUES (1, 0, 'right', '{}', 1), (1, 1, 'wrong', '{}', 1)",
)


def test_postgresql_urls_get_the_driver() -> None:
    assert driver_url("postgresql://u@h/d") == "postgresql+psycopg://u@h/d"
    assert driver_url("postgres://u@h/d") == "postgresql+psycopg://u@h/d"
    assert driver_url("postgresql+psycopg://u@h/d") == "postgresql+psycopg://u@h/d"
    assert driver_url("sqlite:///x.db") == "sqlite:///x.db"


def not_search(name: str | None, _kind: str, _parents: object) -> bool:
    return not (name or "").startswith("sample_search")


def test_migrations_make_the_models_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        # The search table is each database's own and stands in the migration alone.
        own = {"compare_type": True, "include_name": not_search}
        context = MigrationContext.configure(connection, opts=own)
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_make_the_partial_index(database: Database) -> None:
    indexes = {index["name"]: index for index in inspect(database.engine).get_indexes("jobs")}
    lease = indexes["uq_jobs_device_lease"]
    assert lease["unique"]
    backend = database.engine.dialect.name
    assert "starting" in str(lease["dialect_options"][f"{backend}_where"])


def test_what_is_read_together_is_of_one_moment(database: Database) -> None:
    with database.read() as session:
        assert jobs.list_jobs(session) == []
        with database.write() as other:
            jobs.add_job(other, stage="rsft", config={})
        assert jobs.list_jobs(session) == []
    with database.read() as session:
        assert len(jobs.list_jobs(session)) == 1


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


def test_sqlite_pragmas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # what makes other tests faster
    database = open_database(f"sqlite:///{tmp_path}/guardui.db")
    with database.read() as session:
        pragmas = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    database.dispose()
    expected = {"journal_mode": "wal", "busy_timeout": 10_000, "foreign_keys": 1, "synchronous": 2}
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


def test_an_upgrade_keeps_what_is_there(database_url: str) -> None:
    """From the first tables, with rows that refer to each other, to the newest."""
    migrate(database_url, "0001")
    database = Database(database_url)
    with database.engine.begin() as connection:
        for line in OLD_ROWS:
            connection.execute(text(line))
    database.dispose()
    database = open_database(database_url)
    with database.read() as session:
        sample = session.get_one(HardSampleRow, 1)
        assert [one.text for one in sample.generations] == ["right", "wrong"]
        assert (sample.chosen, sample.review, sample.hardness) == (0, "new", "hard")
        assert session.get_one(Job, 1).group_id is None
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(text("UPDATE jobs SET state = 'lost'"))
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(text("UPDATE jobs SET group_id = 7"))
    database.dispose()
    migrate(database_url, "0001")


def migrate(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    database = Database(url)
    with _migrating(database) as connection:
        config.attributes["connection"] = connection
        known = MigrationContext.configure(connection).get_current_revision()
        (command.downgrade if known else command.upgrade)(config, revision)
    database.dispose()
