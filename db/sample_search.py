"""Finding hard samples by words: SQLite's FTS5 or a GIN index of PostgreSQL, fed the same words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, TextClause, column, false, func, select, table, text
from sqlalchemy.orm import Session

from db.sample_models import HardSampleRow as Row
from db.session import FOUND, is_writing, remembered

# Scripts that are written without blanks: each of their signs is searched as a word.
_ONE_EACH = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ONE_EACH}]|[^\W_{_ONE_EACH}]+")
MAX_WORDS = 20_000  # PostgreSQL indexes at most a megabyte of words a row
MAX_WORD = 100
FEW = 3_000
"""So many found samples are read one by one faster than an index of all is gone through."""

found_ids = table(FOUND, column("id"))  # SQLite's connections have one, see `db/session.py`
POSTGRES_BEFORE = (
    f"DROP TABLE IF EXISTS pg_temp.{FOUND}",
    f"CREATE TEMPORARY TABLE {FOUND} (id INTEGER) ON COMMIT DROP",
    # The index of words must be asked: trying each row would unpack all words of all samples.
    "SET LOCAL enable_seqscan = off",
    "SET LOCAL enable_indexscan = off",
)
POSTGRES_AFTER = (
    "SET LOCAL enable_seqscan = on",
    "SET LOCAL enable_indexscan = on",
    "SET LOCAL work_mem = '32MB'",
    f"ANALYZE {FOUND}",
)


def words_of(content: str) -> list[str]:
    """The different words of a text, in one spelling of case and of compatible signs.

    Done here and not by the databases, whose ideas of a word differ.
    """
    plain = unicodedata.normalize("NFKC", content).casefold()
    found = dict.fromkeys(word[:MAX_WORD] for word in _WORD.findall(plain))
    return list(found)[:MAX_WORDS]


def is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def has_words(session: Session, wanted: str, job_id: int | None) -> ColumnElement[bool]:
    """That each of the words begins a word of the sample; a text without words finds nothing.

    A reading transaction looks the words up once, whatever it asks about them.
    """
    words = words_of(wanted)
    if not words:
        return false()
    if is_writing(session):
        return Row.id.in_(_matching(session, words, job_id).columns(column("id")))
    many = count_found(session, wanted, job_id) > FEW and is_sqlite(session)
    # Computed, it is looked up for each row of an index, and no row is looked up for each of it.
    own = Row.id + 0 if many else Row.id
    return own.in_(select(found_ids.c.id))


def count_found(session: Session, wanted: str, job_id: int | None) -> int:
    """How many samples of the job have the words, which are listed in `found_ids` from now on.

    For reading transactions.
    """
    known, key = remembered(session), (tuple(words_of(wanted)), job_id)
    if known.get("found") != key:
        if is_sqlite(session):
            session.execute(text(f"DELETE FROM {FOUND}"))
        else:
            _say(session, *POSTGRES_BEFORE)
        found = _matching(session, key[0], job_id)
        filled = text(f"INSERT INTO {FOUND} {found}").bindparams(**found.compile().params)
        known["found count"] = session.connection().execute(filled).rowcount
        known["found"] = key
        if not is_sqlite(session):
            _say(session, *POSTGRES_AFTER)
    return int(known["found count"])


def _say(session: Session, *lines: str) -> None:
    for line in lines:
        session.execute(text(line))


def _matching(session: Session, words: Sequence[str], job_id: int | None) -> TextClause:
    """A statement that gives the ids."""
    if not is_sqlite(session):
        query = " & ".join(f"'{word}':*" for word in words)
        query += "" if job_id is None else f" & '{_job_word(job_id)}'"
        found = text(
            "SELECT sample_id AS id FROM sample_search WHERE words @@ CAST(:words AS tsquery)"
        )
        return found.bindparams(words=query)
    ends: list[int | None] = [0, 2**62]
    if job_id is not None:
        # Asked apart, each is told from one end of an index.
        both = (func.min(Row.id), func.max(Row.id))
        ends = [session.scalar(select(end).where(Row.job_id == job_id)) for end in both]
    found = text(
        "SELECT rowid AS id FROM sample_search WHERE sample_search MATCH :words "
        "AND rowid BETWEEN :first AND :last"
    )
    query = " ".join(f'"{word}"*' for word in words)
    return found.bindparams(words=query, first=ends[0], last=ends[1])


def _job_word(job_id: int) -> str:
    """Stands among a sample's words in PostgreSQL; no word of a text begins so."""
    return f":{job_id}"


def index_words(session: Session, job_id: int, texts: list[tuple[int, str]]) -> None:
    """Makes a job's samples findable: (id, prompt and response) of each."""
    if not texts:
        return
    if is_sqlite(session):
        insert = "INSERT INTO sample_search (rowid, words) VALUES (:id, :words)"
        rows: list[dict[str, Any]] = [
            {"id": id_, "words": " ".join(words_of(content))} for id_, content in texts
        ]
    else:
        insert = "INSERT INTO sample_search VALUES (:id, array_to_tsvector(CAST(:words AS text[])))"
        own = _job_word(job_id)
        rows = [{"id": id_, "words": [*words_of(content), own]} for id_, content in texts]
    session.execute(text(insert), rows)
