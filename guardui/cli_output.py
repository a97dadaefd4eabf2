"""How the command line shows things: JSON, tables, a progress bar, and errors."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from guardui.jsonable import error_json
from guardui.render import percent_sure
from guardui.render_group import rows_said, together
from guardui.render_jobs import duration
from guardui.render_plan import plan_line
from pipelines.jobs.planning import Planned
from pipelines.plan import Plan
from pipelines.schema import DataError, GuardTask, GuardUIError

MAX_FAULTS = 20
SIGNS = {
    "queued": "·",
    "blocked": "∅",
    "starting": "○",
    "running": "●",
    "stopping": "◌",
    "succeeded": "✓",
    "failed": "✕",
    "stopped": "■",
    "interrupted": "!",
}

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output, and nothing else there."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def print_error(error: GuardUIError, as_json: bool) -> None:
    """What is wrong and what to do about it, on standard error, without a traceback."""
    if as_json:
        sys.stderr.write(json.dumps(error_json(error), ensure_ascii=False) + "\n")
        return
    err.print(Text.assemble(("error: ", "bold red"), str(error)))
    if isinstance(error, DataError):
        for fault in error.faults[:MAX_FAULTS]:
            err.print(Text(f"  {fault}"))
        if len(error.faults) > MAX_FAULTS:
            err.print(Text(f"  … and {len(error.faults) - MAX_FAULTS} more"))
    if error.advice:
        err.print(Text(error.advice, style="dim"))


def jobs_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The jobs as `job_json` gives them, one a line."""
    table = Table("Job", "Stage", "State", "Progress", "Elapsed", "Left", box=None, pad_edge=False)
    for row in rows:
        total = row["total_steps"]
        table.add_row(
            f"{row['id']}",
            f"{row['stage']}" + (f" ({row['preset']})" if row["preset"] else ""),
            f"{SIGNS[row['state']]} {row['state']}",
            f"{row['step']}/{total}" if total else "",
            duration(row["elapsed_seconds"]) if row["elapsed_seconds"] else "",
            duration(row["left_seconds"]) if row["left_seconds"] else "",
        )
    return table


def print_plan(plans: Sequence[Planned], asked: Mapping[str, Plan | None] | None = None) -> None:
    """The jobs that would be queued, with their rows by source, on standard error, and what each
    asks of this machine, by its key, where that was asked."""
    width = max(len(plan.key) for plan in plans)
    for plan in plans:
        stage = plan.stage.name + (f" ({plan.preset})" if plan.preset else "")
        takes = f", takes {', '.join(plan.before)}" if plan.before else ""
        err.print(Text(f"{plan.key:<{width}}  {stage}{takes}"))
        if plan.rows is not None:
            err.print(Text(f"{'':<{width}}  {rows_said(plan.rows)}", style="dim"))
        if line := (found := (asked or {}).get(plan.key)) and plan_line(found):
            err.print(Text(f"{'':<{width}}  {line}", style="dim"))
        if plan.refusal:
            err.print(Text(f"{'':<{width}}  refused: {plan.refusal}", style="red"))
    if asked:
        err.print(Text(together(list(asked.values())), style="dim"))


def print_job(job: Mapping[str, Any]) -> None:
    """One job with what it made and why it ended."""
    out.print(jobs_table([job]))
    out.print(Text(f"\n{job['command']}", style="dim"))
    if job["parents"]:
        out.print(f"after job {', '.join(map(str, job['parents']))}")
    if job["reason"]:
        out.print(Text(f"reason: {job['reason']}"))
    if job["failure"] and job["failure"].get("advice"):
        out.print(Text(str(job["failure"]["advice"])))
    for artifact in job["artifacts"]:
        out.print(
            Text(f"artifact:{artifact['id']}  {artifact['kind']}  {artifact['name']}\n  ")
            + Text(artifact["path"], style="dim")
        )


def print_verdict(answer: Mapping[str, Any]) -> None:
    """Three verdicts, each by word and sign, with the probability of the label where known."""
    signs = {"harmful": "⚠", "unharmful": "✓", "refusal": "↩", "compliance": "→", None: "-"}
    styles = {"harmful": "bold red", "unharmful": "bold green"}
    for task in GuardTask:
        label = answer["verdicts"][task.value]
        shown = Text(f"{signs[label]} {label or 'n/a'}", style=styles.get(label or "", "bold"))
        positive = answer["probabilities"][task.value]
        sure = ""
        if label and positive is not None:
            share = positive if label == task.labels[0] else 1 - positive
            sure = f"  {percent_sure(share)} sure"
        out.print(Text(f"{task.heading:<10}") + shown + Text(sure, style="dim"))
    if answer["error"]:
        out.print(Text(f"! the answer could not be parsed: {answer['error']}", style="bold yellow"))


@contextmanager
def job_progress(quiet: bool) -> Iterator[Callable[[str, Mapping[str, Any]], None]]:
    """A progress bar on standard error that is fed with a job's events."""
    if quiet:
        yield lambda _kind, _data: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("starting", total=None, numbers="")

        def show(kind: str, data: Mapping[str, Any]) -> None:
            if kind == "activity":
                progress.update(bar, description=str(data["text"]))
            elif kind == "progress":
                progress.update(bar, completed=data["step"], total=data["total"] or None)
            elif kind == "metrics":
                named = ("loss", "hard_samples", "tokens_per_second")
                numbers = "  ".join(
                    f"{name.replace('_', ' ')} {data[name]:.4g}"
                    for name in named
                    if isinstance(data.get(name), int | float)
                )
                progress.update(bar, numbers=numbers)

        yield show


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps other libraries' bars and chatter off the terminal while a job runs in it."""
    from pipelines.jobs.launchers import WORKER_ENV

    for name, value in WORKER_ENV.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore", FutureWarning)
    # It warns of a 4-bit kernel that is missing, also where nothing is quantised.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    yield
