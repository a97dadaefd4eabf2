"""What the lists of hard samples can be narrowed to, as conditions of SQL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, UnaryExpression, false
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.models import HardSampleRow
from db.sample_search import FEW, count_found, has_words, words_of
from db.session import is_writing

FLAGS = ("label_suspect", "duplicate", "near_equal", "length_gap")
REVIEWS = ("new", "accepted", "dropped", "edited")
HARDNESS = ("hard", "all_wrong", "settled")
NEAR = 1e-9  # a weight of 1.2 is stored as 1.2000000000000002, and is 1.2 to whoever filters

Row = HardSampleRow
ORDERS: dict[str, tuple[UnaryExpression[Any] | InstrumentedAttribute[Any], ...]] = {
    "mined": (Row.job_id.desc(), Row.id),
    "newest": (Row.id.desc(),),
    "weight": (Row.weight.desc(), Row.id.desc()),
    "lightest": (Row.weight, Row.id),
    "wrong": (Row.k_incorrect.desc(), Row.id.desc()),
    "length": (Row.length.desc(), Row.id.desc()),
    "shortest": (Row.length, Row.id),
}
"""Name -> how a list is sorted: `mined` as the job found them (the newest job first), `newest`
the other way round, the heaviest, most often wrong or longest conversation first. Each can be read
off an index of one job, forwards or backwards."""

_WEIGHT = ("ix_hard_samples_weight", ("min_weight", "max_weight"))
_LENGTH = ("ix_hard_samples_length", ("min_length", "max_length"))
# Order -> its index, and the filters that this can tell beside hardness.
ORDER_INDEXES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mined": ("ix_hard_samples_mined", ()),
    "newest": ("ix_hard_samples_mined", ()),
    "weight": _WEIGHT,
    "lightest": _WEIGHT,
    "wrong": ("ix_hard_samples_wrong", ("wrong",)),
    "length": _LENGTH,
    "shortest": _LENGTH,
}


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
        wanted.append(Row.weight >= f.min_weight - NEAR)
    if f.max_weight is not None:
        wanted.append(Row.weight <= f.max_weight + NEAR)
    if f.text.strip():
        wanted.append(has_words(session, f.text, f.job_id))
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


def hint(session: Session, f: SampleFilter, order: str = "") -> str:
    """The index that SQLite shall read for samples that match, in this order where one is named.

    Left to itself it guesses from statistics that may be older than the samples.
    """
    if f.job_id is None or is_writing(session):
        return ""
    if words_of(f.text) and count_found(session, f.text, f.job_id) <= FEW:
        return "NOT INDEXED"  # by id
    index, own = ORDER_INDEXES.get(order, ("", ()))
    also: dict[str, Any] = dict.fromkeys(own) | {"job_id": None, "hardness": "", "text": ""}
    if f.flag == "label_suspect":  # which is a hardness
        also["flag"] = ""
    if index and replace(f, **also) == SampleFilter(hardness=""):
        return f"INDEXED BY {index}"
    return "INDEXED BY ix_hard_samples_facets"
