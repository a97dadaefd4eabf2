"""What jobs have recorded, read for their curves."""

from __future__ import annotations

from collections.abc import Sequence

from db import jobs
from db.models import Job
from db.session import Database
from pipelines.curves import Run
from pipelines.schema import NotFoundError
from pipelines.stages import all_stages


def read_runs(database: Database, ids: Sequence[int]) -> list[Run]:
    """The jobs in the order in which they are named, each once. Raises NotFoundError."""
    runs = []
    with database.read() as session:
        for number in dict.fromkeys(ids):
            job = jobs.get_job(session, number)
            if job is None:
                raise NotFoundError(f"job={number}: there is no such job")
            events = jobs.metrics(session, number)
            points = [(event.step or 0, event.data) for event in events]
            drawing = any("parse_failure_rate" in data for _, data in points)
            unit = "conversations" if drawing else "steps"
            runs.append(Run(number, name_of(job), points, unit))
    return runs


def name_of(job: Job) -> str:
    """`#12 R-SFT, exp19`."""
    stage = all_stages().get(job.stage)
    title = f"#{job.id} {stage.title if stage else job.stage}"
    return f"{title}, {job.preset}" if job.preset else title
