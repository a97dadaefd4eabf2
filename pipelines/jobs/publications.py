"""What the database knows of a thing that goes to the Hub, and what it keeps of its going."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit, jobs
from db.access_models import AuditRow
from db.models import Artifact, Event
from db.session import Database
from pipelines.evaluations import read_evaluation
from pipelines.hub_history import History, Publication
from pipelines.jobs.study_votes import read_study
from pipelines.mining import weights_sha256
from pipelines.schema import GuardUIError, InputError

EVENT = "hub"
OWN_TOKEN = "own_token"
"""The event of a push whose token was typed in: that it was, and no word of which."""


def history_of(database: Database, path: Path) -> History:
    """The curve of the job that trained these weights, and the evaluations of just them.

    Weights that were merged have the curve of the adapter's training, where that is known.
    """
    path = Path(path).resolve()
    with database.read() as session:
        artifact = _artifact_at(session, path)
        trained = _trained(session, artifact)
        events = jobs.metrics(session, trained.job_id) if trained and trained.job_id else []
        found = reversed(jobs.artifacts(session, kind="evaluation"))
        folders = [Path(one.path) for one in found]
    points = [(event.step or 0, event.data) for event in events]
    weights = weights_sha256(path) if folders else ""
    return History(points, [folder for folder in folders if _is_of(folder, weights)])


def _artifact_at(session: Session, path: Path) -> Artifact | None:
    query = select(Artifact).where(Artifact.path == str(path)).order_by(Artifact.id.desc())
    return session.scalar(query.limit(1))


def _trained(session: Session, artifact: Artifact | None) -> Artifact | None:
    """The artifact that a training made: of merged weights, that which was merged."""
    if artifact is None or artifact.job is None or artifact.job.stage != "export":
        return artifact
    merged = str((artifact.job.resolved or {}).get("adapter") or "")
    return _artifact_at(session, Path(merged)) if merged else None


def _is_of(folder: Path, weights: str) -> bool:
    """Whether an evaluation is of these weights; one that was deleted is of none."""
    try:
        return read_evaluation(folder).info.model_sha256 == weights
    except GuardUIError:
        return False


def write_study(database: Database, study_id: int, folder: Path) -> None:
    """A study's ratings as a dataset's folder. Raises NotFoundError."""
    from pipelines.preferences.report import report
    from pipelines.studies.export import write_dataset

    with database.read() as session:
        records = read_study(session, study_id)
    facts = records.facts
    people = {one.code: one.state for one in records.people}
    made = report(records.votes, facts.arm_names, facts.design, people)
    write_dataset(records, made, folder)


def keep_publication(database: Database, job_id: int, publication: Publication) -> None:
    """Notes a push with its job, with the job that made what was pushed, and in the audit log."""
    data = publication.to_json()
    with database.write() as session:
        job = jobs.get_job(session, job_id)
        jobs.add_event(session, job_id, EVENT, data=data | {"job": job_id})
        source = _artifact_at(session, Path(str((job.resolved or {}).get("what")))) if job else None
        if source is not None and source.job_id not in (None, job_id):
            jobs.add_event(session, int(source.job_id or 0), EVENT, data=data | {"job": job_id})
        with audit.acting(_who_started(session, job_id)):
            audit.record(session, "hub.push", f"job:{job_id}", **data)


def _who_started(session: Session, job_id: int) -> audit.Actor:
    """Whoever launched or last resumed the job; the job itself where nobody is on record."""
    query = (
        select(AuditRow)
        .where(AuditRow.subject == f"job:{job_id}", AuditRow.act.in_(("job.launch", "job.resume")))
        .order_by(AuditRow.id.desc())
    )
    row = session.scalar(query.limit(1))
    if row is None:
        return audit.Actor(f"job {job_id}", "researcher", "job")
    return audit.Actor(row.actor, row.role, row.entrance)


def check_resumable(session: Session, job_id: int) -> None:
    """Raises InputError for a push with a token of somebody's own, which is kept nowhere: it
    mustn't go on with the server's."""
    if jobs.events(session, job_id, kind=OWN_TOKEN, limit=1):
        raise InputError(
            f"job={job_id}: was started with a token of its own, which is kept nowhere, so it "
            "can't be resumed",
            advice="Launch it again with a token: what has arrived isn't sent a second time.",
        )


def publications_of(session: Session, job_id: int) -> Sequence[Event]:
    """What is at the Hub of a job, or by it, the oldest first."""
    return jobs.events(session, job_id, kind=EVENT)


def latest(events: Sequence[Event]) -> list[dict[str, Any]]:
    """The newest push to each repository."""
    return list({str(event.data.get("repo")): dict(event.data) for event in events}.values())
