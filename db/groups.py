"""Groups of jobs: a recipe's chain, or a sweep over one field."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from db.models import Job, JobGroup

MEMBERS = selectinload(JobGroup.jobs).options(
    selectinload(Job.parents), selectinload(Job.children), selectinload(Job.artifacts)
)


def add_group(
    session: Session, *, kind: str, name: str, title: str = "", field: str = ""
) -> JobGroup:
    """A group without members yet; it has its id at once. `kind`: recipe or sweep."""
    group = JobGroup(kind=kind, name=name[:60], title=title[:200], field=field[:60])
    session.add(group)
    session.flush()
    return group


def get_group(session: Session, group_id: int) -> JobGroup | None:
    """The group with its jobs, theirs loaded too."""
    return session.get(JobGroup, group_id, options=[MEMBERS], populate_existing=True)


def list_groups(session: Session, limit: int = 50) -> list[JobGroup]:
    """The newest first, with their jobs."""
    query = select(JobGroup).options(MEMBERS).order_by(JobGroup.id.desc()).limit(limit)
    return list(session.scalars(query))
