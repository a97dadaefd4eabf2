"""Jobs as HTML: the table, one job's parts, and what they are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from db.models import ACTIVE, Artifact, Event, Job
from guardui.render import (
    DASH,
    copy_block,
    day,
    duration,
    empty,
    esc,
    facts,
    note,
    page,
    size,
    state_bar,
)
from guardui.render_chart import Series, number
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
    "disk_full": "disk full",
    "data": "data error",
    "hub": "Hub refused",
}
# What people look at first, when a job has it.
FIRST_METRICS = ("loss", "hard_samples", "tokens_per_second")


@dataclass(frozen=True, slots=True)
class Timing:
    """How far a job is: share from 0 to 1, seconds spent, seconds left or None if unknown."""

    share: float
    elapsed: float | None
    left: float | None


def timing(job: Job, now: datetime) -> Timing:
    """Elapsed and remaining time, the latter by the pace so far."""
    if job.started_at is None:
        return Timing(0.0, None, None)
    elapsed = max(0.0, ((job.finished_at or now) - job.started_at).total_seconds())
    share = job.step / job.total_steps if job.total_steps else 0.0
    if job.state == "succeeded":
        return Timing(1.0, elapsed, None)
    moving = job.state == "running" and 0 < share < 1
    return Timing(min(share, 1.0), elapsed, elapsed * (1 - share) / share if moving else None)


def stage_title(name: str) -> str:
    """The stage's plain name; its key where the stage is gone."""
    stage = all_stages().get(name)
    return stage.title if stage else name


def job_name(job: Job) -> str:
    """`#12 R-SFT`."""
    return f"#{job.id} {stage_title(job.stage)}"


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
    under = [esc(job.preset)] if job.preset else []
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
        f'<td class="num" data-label="elapsed">{duration(time.elapsed)}</td>'
        f'<td class="num" data-label="left">{duration(time.left)}</td></tr>'
    )


def headline(job: Job, latest: Mapping[str, float], now: datetime) -> str:
    """One job's title, state and newest numbers; under it why it failed or waits."""
    time = timing(job, now)
    words = [f"step {job.step:,} of {job.total_steps:,}"] if job.total_steps else []
    words += [_said(name, latest[name]) for name in FIRST_METRICS if name in latest]
    if job.activity and job.state in ACTIVE:
        words.append(job.activity)
    if time.left is not None:
        words.append(f"{duration(time.left)} left")
    preset = f" <small>{esc(job.preset)}</small>" if job.preset else ""
    return page(
        f"<h2>{esc(job_name(job))}{preset} {state_word(job)}</h2>"
        f'<p class="soft num">{esc(" · ".join(words)) or "not started yet"}</p>',
        failure_card(job),
    )


def failure_card(job: Job) -> str:
    """What went wrong by name, what to do, and the traceback one click away."""
    if job.failure:
        name = FAILURE_WORDS.get(str(job.failure.get("code")), "failed")
        trace = job.failure.get("traceback")
        advice = job.failure.get("advice")
        more = (
            f'<details><summary>Traceback</summary><pre class="gu-log">{esc(trace)}</pre></details>'
            if trace
            else ""
        )
        said = [str(job.failure.get("message", ""))]
        return note("bad", name.capitalize(), said, str(advice) if advice else None) + more
    if job.state == "blocked":
        return note("warn", "Blocked", [job.reason or ""], "Resume or cancel the job it needs.")
    if job.state == "interrupted":
        said = [job.reason] if job.reason else []
        return note("warn", "Interrupted", said, "Resume goes on from the last whole checkpoint.")
    return ""


def about(job: Job) -> str:
    """When, where and how often it ran; parents and children as links."""
    pairs = {
        "created": day(job.created_at),
        "started": day(job.started_at),
        "finished": day(job.finished_at),
        "device": esc(job.device),
        "attempts": str(job.attempt),
        "process": esc(job.pid) if job.pid else DASH,
        "comes after": _links(job.parents),
        "goes before": _links(job.children),
    }
    return page(facts(pairs))


def _links(jobs: Sequence[Job]) -> str:
    return (
        ", ".join(
            f'<button type="button" class="link accent" data-pick="{job.id}">'
            f"{esc(job_name(job))}</button> {state_word(job)}"
            for job in jobs
        )
        or DASH
    )


def artifacts_table(artifacts: Sequence[Artifact]) -> str:
    """What the job made: kind, name, path, checksum and size."""
    if not artifacts:
        return empty("Nothing made yet", "Adapters and pair sets appear here when the job ends.")
    rows = "".join(
        f"<tr><td><strong>{esc(one.kind)}</strong><br><small>artifact:{one.id}</small></td>"
        f"<td>{esc(one.name)}<br><code>{esc(one.path)}</code></td>"
        f'<td><code title="{esc(one.sha256)}">{esc(one.sha256[:12])}</code></td>'
        f'<td class="num">{size(one.bytes)}</td></tr>'
        for one in artifacts
    )
    return page(
        '<div class="gu-scroll gu-stacks"><table><thead><tr>'
        "<th>Kind</th><th>Where</th><th>SHA-256</th>"
        f'<th class="num">Size</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def config_blocks(job: Job) -> str:
    """The config as YAML, the command that does the same, and the paths it was resolved to."""
    blocks = [copy_block("Command", job.command)] if job.command else []
    blocks.append(copy_block("Config", to_yaml(job.config)))
    if job.resolved and job.resolved != job.config:
        changed = {k: v for k, v in job.resolved.items() if job.config.get(k) != v}
        blocks.append(copy_block("Resolved", to_yaml(changed)))
    return page(*blocks)


def to_yaml(config: Mapping[str, Any]) -> str:
    """A config as YAML in the order of its fields."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True).rstrip()


def log_tail(text: str) -> str:
    """The end of a job's log."""
    if not text.strip():
        return empty("No log yet", "It begins when the job's process starts.")
    return page(
        '<div class="gu-tail" tabindex="0" role="region" aria-label="log">'
        f'<pre class="gu-log">{esc(text)}</pre></div>'
    )


def metric_names(events: Sequence[Event]) -> list[str]:
    """The metrics that a job recorded, the most telling first."""
    found = {name for event in events for name in event.data}
    first = [name for name in FIRST_METRICS if name in found]
    return first + sorted(found - set(first) - {"epoch"})


def series(job: Job, events: Sequence[Event], metric: str) -> Series:
    """One metric of a job as a line."""
    points = [
        (float(event.step or 0), float(event.data[metric]))
        for event in events
        if isinstance(event.data.get(metric), int | float)
    ]
    return Series(job_name(job), points)


def _said(metric: str, value: float) -> str:
    if metric == "tokens_per_second":
        return f"{number(value)} tokens/s"
    return f"{metric.replace('_', ' ')} {number(value)}"
