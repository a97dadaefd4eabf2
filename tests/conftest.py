"""Fixtures that all tests share: a home of its own, a database of its own, the real data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from db.session import Database, open_database
from pipelines.settings import Settings, get_settings
from tests.tiny_model import make_tiny_base

POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
ROOT = Path(__file__).parent.parent
# Quicker than TRUNCATE, which makes new files. As a replica it asks no foreign keys.
EMPTY = """
DO $$ DECLARE one record; BEGIN
  SET LOCAL session_replication_role = replica;
  FOR one IN SELECT tablename FROM pg_tables
    WHERE schemaname = '{schema}' AND tablename <> 'alembic_version'
  LOOP EXECUTE format('DELETE FROM %I.%I', '{schema}', one.tablename); END LOOP;
  PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false)
    FROM pg_sequences WHERE schemaname = '{schema}';
END $$"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, lest one be left over when the others are through."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(ROOT / "tests").parts[:-1]
    return 0 if folder == ("e2e",) else 2 if folder else 1


@pytest.fixture(scope="session")
def upgraded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgraded SQLite database without rows, to be copied: quicker than upgrading anew."""
    file = tmp_path_factory.mktemp("upgraded") / "guardui.db"
    open_database(f"sqlite:///{file}").dispose()
    return file


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upgraded_file: Path
) -> Iterator[Settings]:
    """Settings whose home is a temporary folder, with an upgraded database in it."""
    for name in [name for name in os.environ if name.startswith("GUARDUI_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    shutil.copy(upgraded_file, tmp_path / "home" / "guardui.db")
    monkeypatch.setenv("GUARDUI_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.session.SYNCHRONOUS", "OFF")


@contextmanager
def postgres_schema() -> Iterator[tuple[psycopg.Connection, str]]:
    """A connection to PostgreSQL, and a schema for a test's tables, which is dropped afterwards."""
    schema = f"guardui_test_{uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES, connect_timeout=2, autocommit=True)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL answers at 127.0.0.1:5432")
    with admin:
        admin.execute(f'CREATE SCHEMA "{schema}"'.encode())
        try:
            yield admin, schema
        finally:
            _end_others(admin, schema)
            admin.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())


def postgres_url(schema: str) -> str:
    """Nothing here outlives a crash of PostgreSQL's, so no commit waits for the disk."""
    options = f"-csearch_path={schema} -capplication_name={schema} -csynchronous_commit=off"
    return f"{POSTGRES}?options={quote(options)}"


def _end_others(admin: psycopg.Connection, schema: str) -> None:
    """Ends what a killed process has left open in the schema: its locks would be waited for."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    admin.execute(ended, [schema])


@pytest.fixture(scope="session")
def upgraded_schema() -> Iterator[tuple[psycopg.Connection, str]]:
    """An upgraded PostgreSQL schema that tests have one after the other, each without rows."""
    with postgres_schema() as (admin, schema):
        open_database(postgres_url(schema)).dispose()
        yield admin, schema


@pytest.fixture
def emptied_postgres(upgraded_schema: tuple[psycopg.Connection, str]) -> str:
    """The URL of upgraded tables without rows, whose ids start at 1."""
    admin, schema = upgraded_schema
    _end_others(admin, schema)
    admin.execute(EMPTY.format(schema=schema).encode())
    return postgres_url(schema)


@pytest.fixture
def new_postgres() -> Iterator[str]:
    """The URL of a schema without tables."""
    with postgres_schema() as (_, schema):
        yield postgres_url(schema)


def _use_postgres(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GUARDUI_DATABASE_URL", url)
    get_settings.cache_clear()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URL of a database without tables, which the settings name too."""
    if request.param == "sqlite":
        (home.home / "guardui.db").unlink()
        return home.database_url
    return _use_postgres(request.getfixturevalue("new_postgres"), monkeypatch)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """An upgraded database, which the settings name too: once SQLite and once PostgreSQL."""
    url = home.database_url
    if request.param == "postgresql":
        url = _use_postgres(request.getfixturevalue("emptied_postgres"), monkeypatch)
    database = open_database(url)
    yield database
    database.dispose()


@pytest.fixture
def realdata() -> Path:
    """The folder of real benchmarks and predictions; skips where it is absent."""
    folder = Path(os.environ.get("GUARDUI_REALDATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random base model with a chat template."""
    return make_tiny_base(tmp_path_factory.mktemp("tiny-base"))
