"""One job as HTML: what it is doing, why it failed, what it made, its log and config."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from db.models import ACTIVE, Artifact, Event, Job
from guardui.render import DASH, copy_block, day, duration, empty, esc, facts, note, page, size
from guardui.render_chart import Series, number
from guardui.render_jobs import FAILURE_WORDS, group_link, job_name, state_word, timing
from guardui.render_push import pushes_note
from pipelines.gates import SIGNS

# What people look at first, when a job has it.
FIRST_METRICS = ("loss", "hard_samples", "tokens_per_second")


def headline(
    job: Job,
    events: Sequence[Event],
    now: datetime,
    remarks: Sequence[Event] = (),
    pushes: Sequence[Mapping[str, Any]] = (),
) -> str:
    """One job's title, state and newest numbers; under it why it failed or waits, where it is at
    the Hub, and what it noted."""
    time, newest = timing(job, now, events), latest(events)
    words = [f"step {job.step:,} of {job.total_steps:,}"] if job.total_steps else []
    words += [_said(name, newest[name]) for name in FIRST_METRICS if name in newest]
    if job.activity and job.state in ACTIVE:
        words.append(job.activity)
    if time.left is not None:
        words.append(f"{duration(time.left)} left")
    preset = f" <small>{esc(job.preset)}</small>" if job.preset else ""
    if not words:
        words.append(f"took {duration(time.elapsed)}" if time.elapsed else "not started yet")
    group = f'<p class="soft">Compare: {link}</p>' if (link := group_link(job)) else ""
    return page(
        f"<h2>{esc(job_name(job))}{preset} {state_word(job)}</h2>"
        f'<p class="soft num">{esc(" · ".join(words))}</p>',
        group,
        compare_link(job.artifacts),
        failure_card(job),
        pushes_note(pushes),
        gates_note(remarks),
        remarks_note(remarks),
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


def compare_link(artifacts: Sequence[Artifact]) -> str:
    """The way to the evaluations among these, side by side."""
    ids = [str(one.id) for one in artifacts if one.kind == "evaluation"]
    if not ids:
        return ""
    words = "Read the evaluation" if len(ids) == 1 else f"Compare these {len(ids)} evaluations"
    return f'<p class="gu-links"><a class="gu-copy" href="?compare={",".join(ids)}">{words}</a></p>'


def remarks_note(remarks: Sequence[Event]) -> str:
    """What a run noted for people, such as a batch that was halved, the oldest first."""
    said = [
        str(event.data["text"])
        for event in remarks
        if event.data.get("text") and "gate" not in event.data
    ]
    return note("warn", "Noted as it ran", list(dict.fromkeys(said))) if said else ""


def gates_note(remarks: Sequence[Event]) -> str:
    """The criteria that a run was held to, a line each with what it came to."""
    judged = [event.data for event in remarks if event.data.get("gate")]
    if not judged:
        return ""
    lines = dict.fromkeys(
        f"{SIGNS.get(one['state'], '')} {str(one['text']).removeprefix('gate: ')}" for one in judged
    )
    missed = sum(not str(one["state"]).startswith("pass") for one in judged)
    title = f"{missed} of {len(judged)} gates missed" if missed else "All gates met"
    return note("bad" if missed else "ok", title, list(lines))


def curve_links(job: int, other: int = 0) -> str:
    """The curves to take away, with those of the job beside it where one is chosen."""
    more = f"?with={other}" if other else ""
    whose = f"job {job} and job {other}" if other else f"job {job}"
    links = "".join(
        f'<a class="gu-copy" href="jobs/{job}/curves.{form}{more}" download '
        f'aria-label="Download the curves of {whose} as {words}">Download {words}</a>'
        for form, words in (("png", "PNG"), ("csv", "CSV"))
    )
    return page(f'<div class="gu-links">{links}</div>')


def tracker_blocks(folder: Path) -> str:
    """Where the files for other viewers of curves lie, and the commands that show them."""
    commands = {
        "TensorBoard": f"tensorboard --logdir {shlex.quote(str(folder / 'tensorboard'))}",
        "Trackio": f"TRACKIO_DIR={shlex.quote(str(folder / 'trackio'))} "
        "trackio show --project guardui",
    }
    there = [name for name in commands if (folder / name.lower()).is_dir()]
    if not there:
        return ""
    blocks = [copy_block(f"Look at it in {name}", commands[name]) for name in there]
    places = ", ".join(f"<code>{esc(folder / name.lower())}</code>" for name in there)
    return page(f'<p class="soft">Curves for other viewers: {places}</p>', *blocks)


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


def latest(events: Sequence[Event]) -> Mapping[str, float]:
    """The newest value of each metric."""
    found: dict[str, float] = {}
    for event in events:
        found |= {
            name: float(value)
            for name, value in event.data.items()
            if isinstance(value, int | float)
        }
    return found


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
