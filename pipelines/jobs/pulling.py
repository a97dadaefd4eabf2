"""What was fetched from the Hub, registered as an artifact with the commit that it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from db import audit, jobs
from db.session import Database
from pipelines.hub_pull import fetch
from pipelines.jobs.context import digest


def pull(
    database: Database, repo: str, revision: str = "main", token: str | None = None
) -> dict[str, Any]:
    """Fetches an adapter or a whole model; the artifact it is from now on, as plain values.

    The same commit is registered once. Raises as `hub_pull.fetch` does.
    """
    found = fetch(repo, revision, token)
    path = str(found.path.resolve())
    with database.read() as session:
        known = [one for one in jobs.artifacts(session, kind=found.kind) if one.path == path]
    if not known:
        sha256, size = digest(Path(path))
        details = {"hub": {"repo": found.repo, "revision": found.revision}}
        with database.write() as session:
            made = jobs.add_artifact(
                session,
                job_id=None,
                kind=found.kind,
                name=f"{found.repo} at {found.revision[:12]}",
                path=path,
                sha256=sha256,
                size=size,
                details=details,
            )
            audit.record(session, "hub.pull", f"artifact:{made.id}", **details["hub"])
            known = [made]
    return {
        "artifact": known[0].id,
        "kind": found.kind,
        "repo": found.repo,
        "revision": found.revision,
        "path": path,
    }
