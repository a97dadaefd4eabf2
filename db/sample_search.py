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

found_ids = table(FOUND, column("id"), schema="temp")


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

    A reading transaction on SQLite looks the words up once, whatever it asks about them.
    """
    words = words_of(wanted)
    if not words:
        return false()
    if not is_sqlite(session):
        query = " & ".join(f"'{word}':*" for word in words)
        found = text("SELECT sample_id FROM sample_search WHERE words @@ CAST(:words AS tsquery)")
        return Row.id.in_(found.bindparams(words=query).columns(column("sample_id")))
    if is_writing(session):
        return Row.id.in_(_matching(session, words, job_id).columns(column("rowid")))
    count_found(session, wanted, job_id)
    return Row.id.in_(select(found_ids.c.id))


def count_found(session: Session, wanted: str, job_id: int | None) -> int:
    """How many samples of the job have the words, which are now listed in `found_ids`.

    For reading transactions on SQLite.
    """
    known, key = remembered(session), (tuple(words_of(wanted)), job_id)
    if known.get("found") != key:
        found = _matching(session, key[0], job_id)
        session.execute(text(f"DELETE FROM temp.{FOUND}"))
        filled = text(f"INSERT INTO temp.{FOUND} {found}").bindparams(**found.compile().params)
        known["found count"] = session.connection().execute(filled).rowcount
        known["found"] = key
    return int(known["found count"])


def _matching(session: Session, words: Sequence[str], job_id: int | None) -> TextClause:
    ends: list[int | None] = [0, 2**62]
    if job_id is not None:
        # Asked apart, each is told from one end of an index.
        both = (func.min(Row.id), func.max(Row.id))
        ends = [session.scalar(select(end).where(Row.job_id == job_id)) for end in both]
    found = text(
        "SELECT rowid FROM sample_search WHERE sample_search MATCH :words "
        "AND rowid BETWEEN :first AND :last"
    )
    query = " ".join(f'"{word}"*' for word in words)
    return found.bindparams(words=query, first=ends[0], last=ends[1])


def index_words(session: Session, texts: list[tuple[int, str]]) -> None:
    """Makes samples findable: (id, prompt and response) of each."""
    if not texts:
        return
    if is_sqlite(session):
        insert = "INSERT INTO sample_search (rowid, words) VALUES (:id, :words)"
        rows: list[dict[str, Any]] = [
            {"id": id_, "words": " ".join(words_of(content))} for id_, content in texts
        ]
    else:
        insert = "INSERT INTO sample_search VALUES (:id, array_to_tsvector(CAST(:words AS text[])))"
        rows = [{"id": id_, "words": words_of(content)} for id_, content in texts]
    session.execute(text(insert), rows)
