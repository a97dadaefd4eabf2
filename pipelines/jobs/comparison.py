"""Reads a group of jobs for comparison: what each recorded, used and made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db import groups, jobs
from db.models import Artifact, Event, Job, JobGroup, now
from db.session import Database
from pipelines.comparison import Comparison, Entry, Record
from pipelines.jobs.sweeps import caveat_of
from pipelines.schema import NotFoundError

RECORD = "training_info.json"


def read_comparison(database: Database, group_id: int) -> Comparison:
    """The group with its jobs, in the order in which they were launched.

    Raises NotFoundError where there is no such group.
    """
    with database.read() as session:
        group = groups.get_group(session, group_id)
        if group is None:
            raise NotFoundError(f"group={group_id}: there is no such group")
        return _comparison(group, [_entry(session, job) for job in group.jobs])


def list_comparisons(database: Database, kind: str | None = None) -> list[Comparison]:
    """The groups of this kind, the newest first, their jobs without records and facts."""
    with database.read() as session:
        found = groups.list_groups(session)
        return [
            _comparison(group, [_bare(job) for job in group.jobs])
            for group in found
            if kind in (None, group.kind)
        ]


def _comparison(group: JobGroup, entries: Sequence[Entry]) -> Comparison:
    return Comparison(
        id=group.id,
        kind=group.kind,
        name=group.name,
        title=group.title or group.name,
        field=group.field,
        created_at=group.created_at,
        entries=entries,
        caveat=_caveat(group),
    )


def _caveat(group: JobGroup) -> str:
    if group.kind == "sweep":
        return caveat_of(group.field)
    if len({job.stage for job in group.jobs}) > 1:
        return "Losses of different stages are not on one scale."
    return ""


def _bare(job: Job) -> Entry:
    return Entry(job.id, job.group_key or f"#{job.id}", job.stage, job.state, job.reason or "")


def _entry(session: Session, job: Job) -> Entry:
    made = next((one for one in job.artifacts if one.kind in ("adapter", "model")), None)
    made = made or next(iter(job.artifacts), None)
    record = _record(made)
    events = jobs.metrics(session, job.id)
    bare = _bare(job)
    return Entry(
        job=bare.job,
        label=bare.label,
        stage=bare.stage,
        state=bare.state,
        reason=bare.reason,
        made=f"artifact:{made.id}" if made else "",
        records=_records(events, _rows_a_step(job, record), _rows_an_epoch(record)),
        facts=_facts(session, job, record, events),
    )


def _record(made: Artifact | None) -> dict[str, Any]:
    """What a training wrote beside its weights; empty where there is none."""
    if made is None:
        return {}
    try:
        found = json.loads((Path(made.path) / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _rows_a_step(job: Job, record: Mapping[str, Any]) -> float | None:
    """Rows that make a step, as it was done or as it was asked for; None for no training."""
    done = (record.get("batch") or {}).get("rows_per_step")
    if done:
        return float(done)
    batch, accumulation = job.config.get("batch_size"), job.config.get("accumulation")
    return float(batch) * float(accumulation) if batch and accumulation else None


def _rows_an_epoch(record: Mapping[str, Any]) -> float | None:
    """Rows that were trained on; None where that isn't written down, as of a job that runs."""
    rows = (record.get("dataset") or {}).get("rows")
    return float(rows) if rows else None


def _records(
    events: Sequence[Event], rows_a_step: float | None, rows_an_epoch: float | None
) -> list[Record]:
    """The records in rising steps. A held-out loss comes without epoch and tokens: it has those of
    the record before it.

    The last step of an epoch may be short: rows are counted by epochs where those of one are known.
    """
    found, epochs, tokens = [], None, None
    for event in sorted(events, key=lambda one: (one.step or 0, one.id)):
        values = {
            name: float(value)
            for name, value in event.data.items()
            if isinstance(value, int | float)
        }
        epochs, tokens = values.get("epoch", epochs), values.get("tokens", tokens)
        step = event.step or 0
        if rows_an_epoch and epochs is not None:
            rows: float | None = epochs * rows_an_epoch
        else:
            rows = step * rows_a_step if rows_a_step else None
        found.append(Record(step, values, rows, epochs, tokens))
    return found


def _facts(
    session: Session, job: Job, record: Mapping[str, Any], events: Sequence[Event]
) -> dict[str, float]:
    found: dict[str, Any] = {"steps": job.step or None}
    if job.started_at is not None:
        found["seconds"] = ((job.finished_at or now()) - job.started_at).total_seconds()
    counted = [event.data["tokens"] for event in events if event.data.get("tokens")]
    found["tokens"] = max(counted, default=None)
    peak = record.get("peak_memory") or {}
    found["peak_memory"] = peak.get("device") or peak.get("main") or _peak_heard(session, job)
    return {name: float(value) for name, value in found.items() if value is not None}


def _peak_heard(session: Session, job: Job) -> float | None:
    """The most memory that the job's process told of as it ran: the GPU's where it used one."""
    beats = jobs.events(session, job.id, kind="heartbeat")
    for name in ("device_peak", "peak"):
        if heard := [float(beat.data[name]) for beat in beats if beat.data.get(name)]:
            return max(heard)
    return None
