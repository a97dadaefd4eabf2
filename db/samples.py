"""Hard samples of mining jobs: storing, listing with filters, opening one; counting them is in
`db/sample_counts.py`, what they are narrowed to in `db/sample_filters.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, UnaryExpression, delete, func, insert, select, update
from sqlalchemy.orm import Session, selectinload

from db.models import GenerationRow, HardSampleRow
from db.sample_counts import Balance as Balance
from db.sample_counts import Mix as Mix
from db.sample_counts import balance as balance
from db.sample_counts import count_samples as count_samples
from db.sample_counts import facet_counts as facet_counts
from db.sample_counts import wrong_histogram as wrong_histogram
from db.sample_filters import FLAGS as FLAGS
from db.sample_filters import HARDNESS as HARDNESS
from db.sample_filters import ORDERS as ORDERS
from db.sample_filters import REVIEWS as REVIEWS
from db.sample_filters import SampleFilter as SampleFilter
from db.sample_filters import conditions, hint
from db.sample_search import index_words

STORED_TOGETHER = 500
EXCERPT = 200
FAR = 1000

# By the tables and not by the mapped classes: half a million rows in seconds.
SAMPLES, ANSWERS = (cast(Table, kind.__table__) for kind in (HardSampleRow, GenerationRow))
GENERATION_FIELDS = ("position", "text", "labels", "error", "correct", "tokens", "edited_from")
SAMPLE_FIELDS = tuple(
    column.key for column in HardSampleRow.__table__.columns if column.key not in ("id", "job_id")
)


class SampleLine(NamedTuple):
    """A sample as lists show it; `excerpt` is the beginning of the prompt."""

    id: int
    job_id: int
    row_id: str
    task: str
    source: str
    model: str
    direction: str
    hardness: str
    k_correct: int
    k_incorrect: int
    unparsed: int
    weight: float
    length: int
    chosen_length: int
    rejected_length: int
    review: str
    reason: str
    human_edited: bool
    duplicate_of: int | None
    near_equal: bool
    length_gap: bool
    reviewed_at: datetime | None
    excerpt: str


LINE = tuple(getattr(HardSampleRow, name) for name in SampleLine._fields[:-1])


def replace_samples(session: Session, job_id: int, rows: Iterable[HardSampleRow]) -> int:
    """Stores the rows, with their generations, in place of the job's earlier ones; their number.

    Nothing of the earlier ones stays: their review, edits and changes go with them. The objects
    given stay transient and get no id.
    """
    session.execute(delete(HardSampleRow).where(HardSampleRow.job_id == job_id))
    return add_samples(session, job_id, map(_sample_values, rows))


def add_samples(session: Session, job_id: int, given: Iterable[Mapping[str, Any]]) -> int:
    """Stores more samples of a job in bulk, and makes them findable; their number.

    Each is a mapping from column to value, and has the `generations` in the same form.
    """
    waiting, count = iter(given), 0
    while batch := list(islice(waiting, STORED_TOGETHER)):
        rows = [
            {name: value for name, value in one.items() if name != "generations"}
            | {"job_id": job_id}
            for one in batch
        ]
        session.execute(insert(SAMPLES), rows)
        ids = _ids(session, job_id, [one["row_id"] for one in batch])
        answers = [
            {**answer, "hard_sample_id": ids[one["row_id"]]}
            for one in batch
            for answer in one["generations"]
        ]
        if answers:
            session.execute(insert(ANSWERS), answers)
        texts = [
            (ids[one["row_id"]], f"{one['prompt']} {one.get('response') or ''}") for one in batch
        ]
        index_words(session, job_id, texts)
        count += len(batch)
    return count


def _ids(session: Session, job_id: int, row_ids: Iterable[str]) -> dict[str, int]:
    query = select(HardSampleRow.row_id, HardSampleRow.id).where(
        HardSampleRow.job_id == job_id, HardSampleRow.row_id.in_(row_ids)
    )
    return dict(session.execute(query).all())


def _sample_values(row: HardSampleRow) -> dict[str, Any]:
    generations = [_values(one, GENERATION_FIELDS) for one in row.generations]
    return _values(row, SAMPLE_FIELDS) | {"generations": generations}


def _values(row: HardSampleRow | GenerationRow, names: Sequence[str]) -> dict[str, Any]:
    """What the object holds, defaults where nothing was set: all rows of a bulk need all keys."""
    columns = row.__table__.columns
    values = {}
    for name in names:
        default: Any = columns[name].default
        values[name] = row.__dict__.get(name)
        if values[name] is None and default is not None:
            values[name] = default.arg(None) if default.is_callable else default.arg
    return values


def mark_duplicates(session: Session, job_id: int, first_of: Mapping[str, str]) -> None:
    """Notes near-duplicates: row id -> row id of the first that it is like, both of this job."""
    if not first_of:
        return
    job = HardSampleRow.job_id == job_id
    stored = session.execute(select(HardSampleRow.row_id, HardSampleRow.id).where(job))
    ids: dict[str, int] = dict(stored.all())
    session.execute(
        update(HardSampleRow),
        [
            {"id": ids[row], "duplicate_of": ids[first], "duplicate": True}
            for row, first in first_of.items()
        ],
    )


def refresh_statistics(session: Session) -> None:
    """Tells the database's planner how many samples there are, after many came or went."""
    session.connection().exec_driver_sql("ANALYZE hard_samples")


def sample_lines(
    session: Session,
    f: SampleFilter,
    *,
    order: str = "mined",
    limit: int = 25,
    offset: int = 0,
) -> list[SampleLine]:
    """One page of the samples that match, without their answers.

    Raises ValueError where the order is none of ORDERS.
    """
    if order not in ORDERS:
        raise ValueError(f"order={order!r}: must be one of {', '.join(ORDERS)}")
    ids = sample_ids(session, f, order=order, limit=limit, offset=offset)
    excerpt = func.substr(HardSampleRow.prompt, 1, EXCERPT)
    query = select(*LINE, excerpt).where(HardSampleRow.id.in_(ids))
    lines = {line.id: line for line in map(SampleLine._make, session.execute(query))}
    return [lines[id_] for id_ in ids]


def sample_ids(
    session: Session,
    f: SampleFilter,
    *,
    order: str = "mined",
    limit: int | None = None,
    offset: int = 0,
) -> list[int]:
    """The ids of the samples that match, in this order; found without reading a text."""
    columns: Sequence[Any] = ORDERS[order]
    backwards = False
    if limit is not None and offset > FAR:
        # What lies past the middle is nearer to the end.
        matching = count_samples(session, f)
        backwards = offset > matching // 2
        if backwards:
            limit = min(limit, matching - offset)
            offset, columns = matching - offset - limit, _reversed(columns)
        if limit <= 0:
            return []
    said = hint(session, f, order)
    if "facets" in said:
        # PostgreSQL must not look for the first few along another index either.
        columns = [_computed(column) for column in columns]
    query = select(HardSampleRow.id).where(*conditions(session, f)).order_by(*columns)
    query = query.with_hint(HardSampleRow, said, "sqlite")
    ids = list(session.scalars(query.limit(limit).offset(offset)))
    return ids[::-1] if backwards else ids


def _reversed(columns: Sequence[Any]) -> list[Any]:
    """Falling columns, which are the only ones that are wrapped, rise and others fall."""
    return [c.element if isinstance(c, UnaryExpression) else c.desc() for c in columns]


def _computed(column: Any) -> Any:
    down = isinstance(column, UnaryExpression)
    return (column.element + 0).desc() if down else column + 0


def get_sample(session: Session, sample_id: int) -> HardSampleRow | None:
    """The sample with its generations, in the order in which they were written, and changes."""
    options = [selectinload(HardSampleRow.generations), selectinload(HardSampleRow.changes)]
    return session.get(HardSampleRow, sample_id, options=options)


def sources(session: Session, job_id: int | None = None) -> list[str]:
    """The sources that samples come from, in alphabetical order."""
    query = select(HardSampleRow.source).distinct().order_by(HardSampleRow.source)
    if job_id is not None:
        query = query.where(HardSampleRow.job_id == job_id)
    return list(session.scalars(query))


def list_samples(
    session: Session, f: SampleFilter | None = None, *, limit: int = 50, offset: int = 0, **old: Any
) -> tuple[list[HardSampleRow], int]:
    """One page of whole samples, with their generations, and how many match in all."""
    f = f or SampleFilter(hardness="", **{k: v for k, v in old.items() if v is not None})
    ids = sample_ids(session, f, limit=limit, offset=offset)
    query = select(HardSampleRow).where(HardSampleRow.id.in_(ids))
    found = session.scalars(query.options(selectinload(HardSampleRow.generations)))
    rows = {row.id: row for row in found}
    return [rows[id_] for id_ in ids], count_samples(session, f)
