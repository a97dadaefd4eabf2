"""Opening the database: SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, FromClause, create_engine, event, text
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MILLISECONDS = 10_000
SYNCHRONOUS = "FULL"
"""A commit is on the disk when it returns: "saved" holds through a power cut, for milliseconds."""
UPGRADE_LOCK = 0x6755495F  # any constant; all processes that upgrade agree on it
WRITES = "guardui_writes"
ERASED = "guardui_erased"
"""In the `info` of a session that deletes what is to be gone from the disk once it commits."""
FOUND = "found_samples"  # a table of each SQLite connection's own, for `db/sample_search.py`


def driver_url(url: str) -> str:
    """The URL with the driver that GuardUI ships with: `postgresql://` means psycopg."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url[len(scheme) :]
    return url


class Database:
    """An engine with its two kinds of short transaction, one to read and one to write."""

    def __init__(self, url: str) -> None:
        self.url = driver_url(url)
        self.is_sqlite = make_url(self.url).get_backend_name() == "sqlite"
        # What people write, and what lets them in, is in no message of an error, nor in a log.
        self.engine: Engine = create_engine(
            self.url, pool_pre_ping=not self.is_sqlite, hide_parameters=True
        )
        if self.is_sqlite:
            self.engine.dialect.statement_compiler = _WithHints
            event.listen(self.engine, "connect", _set_pragmas)
            event.listen(self.engine, "begin", _begin)
        self._turn = threading.Lock()
        self._writer = self.engine.execution_options(**{WRITES: True})
        # PostgreSQL would otherwise see another moment with each statement.
        snapshot = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reader = self.engine.execution_options(**snapshot)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session whose reads agree with each other; nothing is saved."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls all back when an exception passes.

        On SQLite it takes the write lock at its first statement, so what it reads cannot change
        before it writes.
        """
        with self._in_turn():
            with Session(self._writer, expire_on_commit=False) as session, session.begin():
                yield session
            if self.is_sqlite and session.info.get(ERASED):
                self._empty_log()

    def _empty_log(self) -> None:
        """Writes SQLite's log into its file and empties it, or what was erased is still in both."""
        with self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            logger.warning("others read the database: what was erased stays in its log for a while")

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Lets this process's writers to SQLite wait in line.

        SQLite itself has those who find it locked look again after longer and longer pauses, so
        that of many some never get in.
        """
        mine = self.is_sqlite and self._turn.acquire(timeout=BUSY_MILLISECONDS / 1000)
        try:
            yield
        finally:
            if mine:
                self._turn.release()

    def dispose(self) -> None:
        """Closes the pooled connections."""
        self.engine.dispose()


class _WithHints(SQLiteCompiler):
    """Says `INDEXED BY` where a statement has such a hint for a table."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        return text


def is_writing(session: Session) -> bool:
    """Whether the session is of `Database.write`."""
    return bool(session.get_bind().get_execution_options().get(WRITES))


def remembered(session: Session) -> dict[Any, Any]:
    """What a reading transaction has learned already, forgotten with it; else always empty.

    What it sees doesn't change under it, while a writing one changes it itself.
    """
    if is_writing(session):
        return {}
    session.connection()  # begins the transaction
    transaction = session.get_transaction()
    if session.info.get("of") is not transaction:
        session.info.clear()
        session.info["of"] = transaction
    return session.info


def _set_pragmas(connection: Any, _record: object) -> None:
    # sqlite3 would otherwise begin transactions by itself, and not before a SELECT.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    _use_wal(connection)
    connection.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute(f"CREATE TEMP TABLE {FOUND} (id INTEGER PRIMARY KEY)")


def _use_wal(connection: Any) -> None:
    """Turns on the write-ahead log, which a new file needs once.

    SQLite doesn't wait here as it does elsewhere: it refuses at once where others open the same new
    file at the same moment.
    """
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    # A deferred transaction that reads first and writes later fails at once, whatever the
    # timeout, when another one wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def upgrade(url: str) -> None:
    """Brings the database to the newest tables, making SQLite's folder where it is missing."""
    database = _create(url)
    try:
        _upgrade(database)
    finally:
        database.dispose()


def open_database(url: str) -> Database:
    """An upgraded database, ready to use."""
    database = _create(url)
    _upgrade(database)
    return database


def _create(url: str) -> Database:
    database = Database(url)
    file = make_url(database.url).database
    if database.is_sqlite and file:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    return database


def _upgrade(database: Database) -> None:
    # At INFO it lists its plugins at every start, which is the head of every job's log.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    heads = ScriptDirectory.from_config(config).get_heads()
    with database.engine.connect() as connection:
        if list(MigrationContext.configure(connection).get_current_heads()) == heads:
            return
    with _migrating(database) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _migrating(database: Database) -> Iterator[Connection]:
    """The transaction in which the tables change, one process at a time."""
    with database._writer.connect() as connection:
        if not database.is_sqlite:
            with connection.begin():
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                connection.execute(lock, {"key": UPGRADE_LOCK})
                yield connection
            return
        # SQLite changes some things by making a table anew; with foreign keys on, dropping the
        # old one would delete all rows that refer to it. It can't be switched in a transaction.
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                yield connection
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                if broken:
                    raise RuntimeError(f"the new tables would break references: {broken[:5]}")
        finally:
            driver.execute("PRAGMA foreign_keys=ON")
