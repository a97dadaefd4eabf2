"""How fast jobs of this home ran, for telling how long another will take."""

from __future__ import annotations

from statistics import median

from sqlalchemy.orm import Session

from db import jobs
from db.models import ENDED, Event, Job
from db.session import Database
from pipelines.plan_time import Measured
from pipelines.schema import GuardUIError
from pipelines.stages import all_stages
from pipelines.stages.base import build_config
from pipelines.stages.workloads import cost_of

LOOKED_AT = 40
METRICS = 200


def measured_speeds(database: Database) -> list[Measured]:
    """What the newest jobs reached in tokens a second, the newest first."""
    with database.read() as session:
        rows = jobs.list_jobs(session, states=(*ENDED, "running"), limit=LOOKED_AT)
        found = [_measured(session, job) for job in rows]
    return [one for one in found if one]


def _measured(session: Session, job: Job) -> Measured | None:
    stage = all_stages().get(job.stage)
    if stage is None or stage.workload is None:
        return None
    events = jobs.events(session, job.id, kind="metrics", limit=METRICS)
    speeds = [event.data.get("tokens_per_second") for event in events]
    trained = [float(speed) for speed in speeds if speed]
    drawn = [event for event in events if "parse_failure_rate" in event.data]
    if not trained and len(drawn) < 2:
        return None
    try:
        config = build_config(stage, None, job.resolved or job.config)
        base, cost = cost_of(config)
    except GuardUIError:
        return None  # of an older version, with other fields
    if not cost:
        return None
    kind = job.device.partition(":")[0]
    if trained:
        # The first record has the warming up in it.
        speed = median(trained[1:] or trained)
        return Measured(job.id, job.stage, "training", kind, base, speed, cost)
    speed, an_answer = _drawing_speed(drawn, int(config.model_dump()["k"]))
    return Measured(job.id, job.stage, "generation", kind, base, speed, cost, an_answer)


def _drawing_speed(events: list[Event], k: int) -> tuple[float, float]:
    """(tokens a second between the first and the last record, tokens an answer)."""
    first, last = events[0], events[-1]
    seconds = max((last.at - first.at).total_seconds(), 1e-9)
    tokens = float(last.data.get("tokens") or 0)
    speed = (tokens - float(first.data.get("tokens") or 0)) / seconds
    return speed, tokens / max(1, (last.step or 0) * k)
