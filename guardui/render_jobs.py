"""Jobs as HTML: the table, one job's parts, and what they are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.models import ACTIVE, Event, Job
from guardui.render import (
    duration,
    empty,
    esc,
    page,
    state_bar,
)
from pipelines.stages import all_stages

# state -> (class, sign)
STATE_LOOKS = {
    "queued": ("na", "○"),
    "blocked": ("warn", "⊘"),
    "starting": ("run", "◔"),
    "running": ("run", "●"),
    "stopping": ("warn", "◐"),
    "succeeded": ("ok", "✓"),
    "failed": ("bad", "✕"),
    "stopped": ("na", "■"),
    "interrupted": ("bad", "↯"),
}
FAILURE_WORDS = {
    "out_of_memory": "out of memory",
    "nan_loss": "diverged",
    "rising_loss": "loss rising",
    "disk_full": "disk full",
    "data": "data error",
    "hub": "Hub refused",
    "gate": "gate missed",
}


@dataclass(frozen=True, slots=True)
class Timing:
    """How far a job is: share from 0 to 1, seconds spent, seconds left or None if unknown."""

    share: float
    elapsed: float | None
    left: float | None


def timing(job: Job, now: datetime, events: Sequence[Event] = ()) -> Timing:
    """Elapsed and remaining time, the latter by the pace so far.

    The pace of a resumed job is known from its metric events only: where it went on from is not
    kept.
    """
    if job.started_at is None:
        return Timing(0.0, None, None)
    elapsed = max(0.0, ((job.finished_at or now) - job.started_at).total_seconds())
    share = min(1.0, job.step / job.total_steps) if job.total_steps else 0.0
    if job.state == "succeeded":
        return Timing(1.0, elapsed, None)
    if job.state != "running" or not 0 < share < 1:
        return Timing(share, elapsed, None)
    step_seconds = pace(job, events) or (elapsed / job.step if job.attempt <= 1 else None)
    left = step_seconds * (job.total_steps - job.step) if step_seconds is not None else None
    return Timing(share, elapsed, left)


def pace(job: Job, events: Sequence[Event], last: int = 20) -> float | None:
    """Seconds a step, over the last metric events of this attempt; None with fewer than two."""
    ours = [event for event in events[-last:] if job.started_at and event.at >= job.started_at]
    steps = (ours[-1].step or 0) - (ours[0].step or 0) if ours else 0
    return (ours[-1].at - ours[0].at).total_seconds() / steps if steps > 0 else None


def stage_title(name: str) -> str:
    """The stage's plain name; its key where the stage is gone."""
    stage = all_stages().get(name)
    return stage.title if stage else name


def job_name(job: Job) -> str:
    """`#12 R-SFT`."""
    return f"#{job.id} {stage_title(job.stage)}"


def group_link(job: Job) -> str:
    """A link to the jobs that were launched together with this one; empty where there are none."""
    if job.group_id is None:
        return ""
    return f'<a href="?group={job.group_id}">{esc(job.title or f"group {job.group_id}")}</a>'


def running_line(job: Job | None, now: datetime) -> str | None:
    """What the header says of the job that runs: `R-SFT 61% · 4 min left`."""
    if job is None:
        return None
    time = timing(job, now)
    text = f"{stage_title(job.stage)} #{job.id}"
    if job.state != "running":
        return f"{text} {job.state}"
    if not job.total_steps:
        return f"{text} {job.activity or 'running'}"
    left = f" · {duration(time.left)} left" if time.left is not None else ""
    return f"{text} {100 * time.share:.0f}%{left}"


def state_word(job: Job) -> str:
    """Sign and word of the state, coloured."""
    look, sign = STATE_LOOKS.get(job.state, ("na", "·"))
    word = job.state
    if job.state == "failed" and job.failure:
        word = FAILURE_WORDS.get(str(job.failure.get("code")), word)
    return (
        f'<span class="gu-state {look}"><span aria-hidden="true">{sign}</span> {esc(word)}</span>'
    )


def jobs_table(jobs: Sequence[Job], selected: int | None, now: datetime) -> str:
    """All jobs, newest first; a row is picked by click or by its button."""
    if not jobs:
        return empty("No jobs yet", "Open the Train tab, choose a stage and press Launch.")
    rows = "".join(_row(job, job.id == selected, now) for job in jobs)
    return page(
        '<div class="gu-scroll gu-stacks"><table><caption class="vh">Jobs, newest first</caption>'
        "<thead><tr>"
        "<th>Job</th><th>State</th><th>Progress</th>"
        '<th class="num">Elapsed</th><th class="num">Left</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(job: Job, selected: bool, now: datetime) -> str:
    time = timing(job, now)
    look = STATE_LOOKS.get(job.state, ("na", ""))[0]
    under = [link] if (link := group_link(job)) else [esc(job.preset)] if job.preset else []
    if job.parents:
        under.append("after " + ", ".join(f"#{parent.id}" for parent in job.parents))
    why = job.activity if job.state in ACTIVE else job.reason
    if job.failure:
        why = str(job.failure.get("message", why))
    why = why if why is None or len(why) <= 110 else why[:107] + "…"
    steps = f"{job.step:,} of {job.total_steps:,}" if job.total_steps else ""
    current = ' aria-current="true"' if selected else ""
    return (
        f'<tr data-pick="{job.id}" class="{"on" if selected else ""}">'
        f'<td><button type="button" class="link" data-pick="{job.id}"{current}>'
        f"{esc(job_name(job))}</button><br><small>{' · '.join(under)}</small></td>"
        f"<td>{state_word(job)}{f'<div class=gu-why>{esc(why)}</div>' if why else ''}</td>"
        f"<td>{state_bar(time.share, look)}<small class='num once'>{steps}</small></td>"
        f"{_time_cell('elapsed', time.elapsed)}"
        f"{_time_cell('left', time.left)}</tr>"
    )


def _time_cell(name: str, seconds: float | None) -> str:
    unknown = " none" if seconds is None else ""
    return f'<td class="num{unknown}" data-label="{name}">{duration(seconds)}</td>'
