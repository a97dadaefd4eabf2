"""What the Jobs tab shows of the database, as plain values: only what changed is sent on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import jobs
from db.models import ACTIVE, RESUMABLE, WAITING, Event, Job, now
from db.session import Database
from guardui import render_job, render_jobs
from guardui.render import empty
from guardui.render_chart import line_chart
from pipelines.jobs.publications import latest, publications_of
from pipelines.jobs.queue import job_dir
from pipelines.settings import Settings
from pipelines.stages.base import kinds_taken

LOG_BYTES = 24_000
PUSHABLE = kinds_taken("pushable")
NOTHING = empty("No job chosen", "Choose a row of the table to see its curve, log and results.")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a visitor looks at: a job, one of its metrics, and a job to compare it with."""

    job: int | None = None
    metric: str | None = None
    compare: int | None = None


def choose(all_jobs: list[Job], wanted: int | None) -> int | None:
    """The wanted job where it exists, else one that runs, else the newest that ran."""
    ids = {job.id for job in all_jobs}
    if wanted in ids:
        return wanted
    running = [job.id for job in all_jobs if job.state in ACTIVE]
    started = [job.id for job in all_jobs if job.started_at]
    return next(iter([*running, *started, *[job.id for job in all_jobs]]), None)


def view(database: Database, settings: Settings, selection: Selection) -> dict[str, Any]:
    """Name of a part -> its value: HTML, (choices, value) of a list, or whether a button shows."""
    moment = now()
    with database.read() as session:
        listed = jobs.list_jobs(session)
        chosen = choose(listed, selection.job)
        job = next((one for one in listed if one.id == chosen), None)
        events = jobs.metrics(session, job.id) if job else []
        remarks = jobs.events(session, job.id, kind="log") if job else []
        pushes = latest(publications_of(session, job.id)) if job else []
        other = next((one for one in listed if one.id == selection.compare), None)
        other_events = jobs.metrics(session, other.id) if other else []
        place = [one.id for one in jobs.queue(session)]
    parts: dict[str, Any] = {
        "picked": chosen,
        "body": job is not None,
        "table": render_jobs.jobs_table(listed, chosen, moment),
        **_buttons(job, place),
    }
    if job is None:
        return parts | {
            "headline": NOTHING,
            "chart": "",
            "metric": ((), None),
            "compare": ((("nothing", 0),), 0),
            "log": "",
            "config": "",
            "artifacts": "",
            "about": "",
        }
    names = render_job.metric_names(events)
    metric = selection.metric if selection.metric in names else (names[0] if names else None)
    rivals = [
        (render_jobs.job_name(one), one.id) for one in listed if one.id != job.id and one.step
    ]
    compare = selection.compare if selection.compare in [value for _, value in rivals] else 0
    folder = job_dir(settings, job.id)
    return parts | {
        "headline": render_job.headline(job, events, moment, remarks, pushes),
        "metric": (tuple((name.replace("_", " "), name) for name in names), metric),
        "compare": ((("nothing", 0), *rivals), compare),
        "chart": chart(job, events, metric, other if compare else None, other_events),
        "log": render_job.log_tail(log_end(folder / "log.txt")),
        "config": render_job.config_blocks(job),
        "artifacts": render_job.artifacts_table(job.artifacts) + render_job.tracker_blocks(folder),
        "about": render_job.about(job),
    }


def chart(
    job: Job, events: list[Event], metric: str | None, other: Job | None, others: list[Event]
) -> str:
    """The curve of one metric, with another job's under it where one was chosen."""
    if metric is None:
        waits = job.state in (*WAITING, *ACTIVE)
        hint = "The curve begins with the first step." if waits else "It reported no numbers."
        return empty("No curve", hint)
    second = render_job.series(other, others, metric) if other else None
    drawn = line_chart(metric.replace("_", " "), render_job.series(job, events, metric), second)
    return drawn + render_job.curve_links(job.id, other.id if other else 0)


def log_end(path: Path) -> str:
    """The last lines of a log, at most LOG_BYTES of it; empty where there is none yet."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    # A progress bar rewrites its line with carriage returns; only its last state is of use.
    lines = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join(lines[1:] if size > LOG_BYTES else lines)


def _buttons(job: Job | None, queue: list[int]) -> dict[str, bool]:
    state = job.state if job else ""
    return {
        "stop": state in ("starting", "running"),
        "resume": state in RESUMABLE,
        "cancel": state in WAITING,
        "sooner": job is not None and job.id in queue[1:],
        "duplicate": job is not None,
        "push": job is not None and any(one.kind in PUSHABLE for one in job.artifacts),
    }


def changes(
    parts: Mapping[str, Any], seen: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, int]]:
    """(the parts that differ from what was sent before, the new marks of what was sent)."""
    marks = {name: hash(value) for name, value in parts.items()}
    return {name: parts[name] for name, mark in marks.items() if seen.get(name) != mark}, marks
