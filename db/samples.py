"""Hard samples of mining jobs: storing, listing with filters, opening one."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session, selectinload

from db.models import HardSampleRow


def replace_samples(session: Session, job_id: int, rows: Iterable[HardSampleRow]) -> int:
    """Stores the rows, with their generations, in place of the job's earlier ones; their number."""
    session.execute(delete(HardSampleRow).where(HardSampleRow.job_id == job_id))
    count = 0
    for row in rows:
        row.job_id = job_id
        session.add(row)
        count += 1
    session.flush()
    return count


def list_samples(
    session: Session,
    *,
    job_id: int | None = None,
    task: str | None = None,
    source: str | None = None,
    text: str | None = None,
    min_weight: float | None = None,
    max_weight: float | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[HardSampleRow], int]:
    """One page of the samples that match, with their generations, and how many match in all.

    `text` is looked for in prompt and response, whatever its case.
    """
    wanted: list[ColumnElement[bool]] = []
    if job_id is not None:
        wanted.append(HardSampleRow.job_id == job_id)
    if task:
        wanted.append(HardSampleRow.task == task)
    if source:
        wanted.append(HardSampleRow.source == source)
    if text:
        in_prompt = HardSampleRow.prompt.icontains(text, autoescape=True)
        wanted.append(or_(in_prompt, HardSampleRow.response.icontains(text, autoescape=True)))
    if min_weight is not None:
        wanted.append(HardSampleRow.weight >= min_weight)
    if max_weight is not None:
        wanted.append(HardSampleRow.weight <= max_weight)
    total = session.scalar(select(func.count()).select_from(HardSampleRow).where(*wanted)) or 0
    query = select(HardSampleRow).where(*wanted).order_by(HardSampleRow.job_id.desc())
    page = query.order_by(HardSampleRow.id).limit(limit).offset(offset)
    return list(session.scalars(page.options(selectinload(HardSampleRow.generations)))), total


def get_sample(session: Session, sample_id: int) -> HardSampleRow | None:
    """The sample with its generations, in the order in which they were written."""
    return session.get(HardSampleRow, sample_id, options=[selectinload(HardSampleRow.generations)])


def sources(session: Session, job_id: int | None = None) -> list[str]:
    """The sources that samples come from, in alphabetical order."""
    query = select(HardSampleRow.source).distinct().order_by(HardSampleRow.source)
    if job_id is not None:
        query = query.where(HardSampleRow.job_id == job_id)
    return list(session.scalars(query))
