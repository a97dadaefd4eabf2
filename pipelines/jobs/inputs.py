"""What is known of the artifacts that a job's config names, noted for the stage."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import pair_sets
from db.models import Artifact
from db.session import Database
from pipelines.stages.base import StageConfig, references


def describe_inputs(
    database: Database, given: StageConfig, resolved: StageConfig
) -> list[dict[str, Any]]:
    """One entry a reference: `field`, `reference` as it was given, `path`, and what made it.

    A pair set that is a version has its `name`, `version` and `sha256` (of its rows) too.
    """
    with database.read() as session:
        return [
            {"field": field, "reference": before, "path": path, **_known(session, path)}
            for (field, _, before), (_, _, path) in zip(
                references(given), references(resolved), strict=True
            )
        ]


def _known(session: Session, path: str) -> dict[str, Any]:
    query = select(Artifact).where(Artifact.path == path).order_by(Artifact.id.desc()).limit(1)
    artifact = session.scalar(query)
    if artifact is None:
        return {}
    known: dict[str, Any] = {"artifact": artifact.id, "job": artifact.job_id}
    version = pair_sets.version_of_artifact(session, artifact.id)
    if version is not None:
        known |= {
            "name": version.pair_set.name,
            "version": version.version,
            "sha256": version.sha256,
        }
    return known
