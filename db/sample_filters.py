"""What the lists of hard samples can be narrowed to, as conditions of SQL."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, UnaryExpression, column, false, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.models import HardSampleRow

# Scripts that are written without blanks: each of their signs is searched as a word.
_ONE_EACH = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ONE_EACH}]|[^\W_{_ONE_EACH}]+")
MAX_WORDS = 20_000  # PostgreSQL indexes at most a megabyte of words a row
MAX_WORD = 100

FLAGS = ("label_suspect", "duplicate", "near_equal", "length_gap")
REVIEWS = ("new", "accepted", "dropped", "edited")
HARDNESS = ("hard", "all_wrong", "settled")

Row = HardSampleRow
ORDERS: dict[str, tuple[UnaryExpression[Any] | InstrumentedAttribute[Any], ...]] = {
    "mined": (Row.job_id.desc(), Row.id),
    "newest": (Row.id.desc(),),
    "weight": (Row.weight.desc(), Row.id),
    "lightest": (Row.weight, Row.id),
    "wrong": (Row.k_incorrect.desc(), Row.id),
    "length": (Row.length.desc(), Row.id),
    "shortest": (Row.length, Row.id),
}
"""Name -> how a list is sorted: `mined` as the job found them (the newest job first), `newest`
the other way round, the heaviest, most often wrong or longest conversation first."""


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which hard samples are meant; an empty field narrows nothing, an unknown value finds none.

    `text` is words: each must begin a word of prompt or response, whatever its case; a text with
    signs only finds nothing. `flag="label_suspect"` means the all-wrong ones, so it sets `hardness`
    aside.
    """

    job_id: int | None = None
    task: str = ""
    source: str = ""
    model: str = ""
    direction: str = ""  # false_alarm or miss
    parse: str = ""  # clean (all answers parsed) or failures (some not)
    wrong: int | None = None  # exactly so many of k wrong
    min_length: int | None = None  # characters of the conversation
    max_length: int | None = None
    min_weight: float | None = None
    max_weight: float | None = None
    review: str = ""  # new, accepted, dropped, or edited by a person
    flag: str = ""  # one of FLAGS
    hardness: str = "hard"  # hard, all_wrong, settled, or "" for all
    text: str = ""


def flag_condition(flag: str) -> ColumnElement[bool]:
    """The samples with this flag."""
    if flag == "label_suspect":
        return Row.hardness == "all_wrong"
    flags = {"duplicate": Row.duplicate, "near_equal": Row.near_equal, "length_gap": Row.length_gap}
    return flags[flag].is_(True) if flag in flags else false()


def range_conditions(session: Session, f: SampleFilter) -> list[ColumnElement[bool]]:
    """Job, length, weight and text: what facets are never counted by."""
    wanted: list[ColumnElement[bool]] = []
    if f.job_id is not None:
        wanted.append(Row.job_id == f.job_id)
    if f.min_length is not None:
        wanted.append(Row.length >= f.min_length)
    if f.max_length is not None:
        wanted.append(Row.length <= f.max_length)
    if f.min_weight is not None:
        wanted.append(Row.weight >= f.min_weight)
    if f.max_weight is not None:
        wanted.append(Row.weight <= f.max_weight)
    if f.text.strip():
        wanted.append(_has_words(session, f.text))
    return wanted


def conditions(session: Session, f: SampleFilter) -> list[ColumnElement[bool]]:
    """All that a sample must meet."""
    wanted = range_conditions(session, f)
    equal = {
        Row.task: f.task,
        Row.source: f.source,
        Row.model: f.model,
        Row.direction: f.direction,
        Row.hardness: "" if f.flag == "label_suspect" else f.hardness,
    }
    wanted += [field == value for field, value in equal.items() if value]
    if f.review:
        edited = f.review == "edited"
        wanted.append(Row.human_edited.is_(True) if edited else Row.review == f.review)
    if f.parse:
        parsed = {"clean": Row.unparsed == 0, "failures": Row.unparsed > 0}
        wanted.append(parsed.get(f.parse, false()))
    if f.flag:
        wanted.append(flag_condition(f.flag))
    if f.wrong is not None:
        wanted.append(Row.k_incorrect == f.wrong)
    return wanted


def words_of(content: str) -> list[str]:
    """The different words of a text, in one spelling of case and of compatible signs.

    Done here and not by the databases, whose ideas of a word differ.
    """
    plain = unicodedata.normalize("NFKC", content).casefold()
    found = dict.fromkeys(word[:MAX_WORD] for word in _WORD.findall(plain))
    return list(found)[:MAX_WORDS]


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _has_words(session: Session, wanted: str) -> ColumnElement[bool]:
    words = words_of(wanted)
    if not words:
        return false()
    if _is_sqlite(session):
        query = " ".join(f'"{word}"*' for word in words)
        found = text("SELECT rowid FROM sample_search WHERE sample_search MATCH :words")
        return Row.id.in_(found.bindparams(words=query).columns(column("rowid")))
    query = " & ".join(f"'{word}':*" for word in words)
    found = text("SELECT sample_id FROM sample_search WHERE words @@ CAST(:words AS tsquery)")
    return Row.id.in_(found.bindparams(words=query).columns(column("sample_id")))


def index_words(session: Session, texts: list[tuple[int, str]]) -> None:
    """Makes samples findable: (id, prompt and response) of each."""
    if not texts:
        return
    if _is_sqlite(session):
        insert = "INSERT INTO sample_search (rowid, words) VALUES (:id, :words)"
        rows: list[dict[str, Any]] = [
            {"id": id_, "words": " ".join(words_of(content))} for id_, content in texts
        ]
    else:
        insert = "INSERT INTO sample_search VALUES (:id, array_to_tsvector(CAST(:words AS text[])))"
        rows = [{"id": id_, "words": words_of(content)} for id_, content in texts]
    session.execute(text(insert), rows)
