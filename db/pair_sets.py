"""Pair sets by name, each a line of frozen versions."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from db.models import Artifact, PairSet, PairSetVersion

WHOLE = (
    selectinload(PairSetVersion.pair_set),
    selectinload(PairSetVersion.artifact).selectinload(Artifact.job),
)


def register_version(
    session: Session,
    *,
    name: str | None,
    artifact_id: int,
    sha256: str,
    rows: int,
    job_id: int | None,
    note: str = "",
) -> PairSetVersion:
    """The next version of the set of this name (`job N` where None), for a frozen folder.

    An artifact that has a version keeps it. Raises ValueError where there is neither a name nor
    a job.
    """
    known = version_of_artifact(session, artifact_id)
    if known is not None:
        return known
    if not name and job_id is None:
        raise ValueError("a pair set that no job made needs a name")
    title = (name or f"job {job_id}")[:200]
    found = session.scalar(select(PairSet).where(PairSet.name == title))
    if found is None:
        found = PairSet(name=title, job_id=job_id)
        session.add(found)
        session.flush()
    version = PairSetVersion(
        pair_set_id=found.id,
        version=next_version(session, title),
        artifact_id=artifact_id,
        sha256=sha256,
        rows=rows,
        note=note,
    )
    session.add(version)
    session.flush()
    session.refresh(version, ["pair_set", "artifact"])
    return version


def next_version(session: Session, name: str) -> int:
    """The number that the next version of this set will have; 1 for a new name."""
    query = (
        select(func.max(PairSetVersion.version))
        .join(PairSetVersion.pair_set)
        .where(PairSet.name == name)
    )
    return (session.scalar(query) or 0) + 1


def list_pair_sets(session: Session) -> list[PairSet]:
    """Every set with its versions and their artifacts, the one of the newest version first."""
    newest = select(func.max(PairSetVersion.id)).where(PairSetVersion.pair_set_id == PairSet.id)
    query = (
        select(PairSet)
        .options(selectinload(PairSet.versions).selectinload(PairSetVersion.artifact))
        .order_by(newest.scalar_subquery().desc(), PairSet.id.desc())
    )
    return list(session.scalars(query))


def get_version(session: Session, version_id: int) -> PairSetVersion | None:
    """A version with its set and its artifact."""
    return session.get(PairSetVersion, version_id, options=WHOLE)


def version_of_artifact(session: Session, artifact_id: int) -> PairSetVersion | None:
    """The version whose folder this artifact is, with its set and artifact."""
    query = select(PairSetVersion).where(PairSetVersion.artifact_id == artifact_id)
    return session.scalar(query.options(*WHOLE))


def find_version(session: Session, name: str, version: int | None = None) -> PairSetVersion | None:
    """This version of the set of this name, the newest where None, with set and artifact."""
    query = (
        select(PairSetVersion)
        .join(PairSetVersion.pair_set)
        .where(PairSet.name == name)
        .options(*WHOLE)
        .order_by(PairSetVersion.version.desc())
        .limit(1)
    )
    if version is not None:
        query = query.where(PairSetVersion.version == version)
    return session.scalar(query)
