"""Fixtures that all tests share: a home of its own, a database of its own, the real data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from db.session import Database, open_database
from pipelines.settings import Settings, get_settings
from tests.tiny_model import make_tiny_base

POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings whose home is a temporary folder."""
    for name in [name for name in os.environ if name.startswith("GUARDUI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GUARDUI_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A URL whose tables live in a schema of their own, which is dropped afterwards."""
    schema = f"guardui_test_{uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES, connect_timeout=2, autocommit=True)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL answers at 127.0.0.1:5432")
    with admin:
        admin.execute(f'CREATE SCHEMA "{schema}"'.encode())
        try:
            yield f"{POSTGRES}?options=-csearch_path%3D{schema}"
        finally:
            admin.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URL of an empty database, which the settings name too."""
    if request.param == "sqlite":
        return home.database_url
    url: str = request.getfixturevalue("postgres_url")
    monkeypatch.setenv("GUARDUI_DATABASE_URL", url)
    get_settings.cache_clear()
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An upgraded database, once on SQLite and once on PostgreSQL."""
    database = open_database(database_url)
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
