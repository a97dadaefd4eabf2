"""The command line: `guardui COMMAND`. Does what the page does, and needs no Gradio but to serve.

Exit codes: 0 done, 1 the job failed, 2 wrong input, 3 the job was stopped, 130 interrupted.
"""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from db import jobs as job_rows
from db.models import ENDED
from db.session import Database
from guardui import (
    cli_access,
    cli_benchmarks,
    cli_curves,
    cli_group,
    cli_groups,
    cli_hub,
    cli_keys,
    cli_models,
    cli_pairs,
    cli_plan,
    cli_quality,
    cli_report,
    cli_score,
    cli_space,
    cli_study,
    cli_study_export,
)
from guardui import cli_output as show
from guardui.cli_base import (
    EXIT_CODES,
    Config,
    Json,
    Set,
    app,
    command,
    open_home,
    read_values,
)
from guardui.jsonable import job_json
from pipelines.jobs import queue
from pipelines.schema import NotFoundError
from pipelines.settings import get_settings

__all__ = [
    "app",
    "cli_access",
    "cli_benchmarks",
    "cli_curves",
    "cli_group",
    "cli_groups",
    "cli_hub",
    "cli_keys",
    "cli_models",
    "cli_pairs",
    "cli_plan",
    "cli_quality",
    "cli_report",
    "cli_score",
    "cli_space",
    "cli_study",
    "cli_study_export",
    "main",
    "read_values",
]

Preset = Annotated[str | None, typer.Option(help="Start from this preset of the stage.")]


@command
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the page, as `python app.py` does."""
    from guardui.serve import log_to_terminal
    from guardui.serve import serve as serve_page

    log_to_terminal()
    serve_page(get_settings(), host, port)


@command
def run(
    stage: str,
    config: Config = None,
    preset: Preset = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Run a stage in this terminal, recorded as a job."""
    from pipelines.jobs.foreground import wait_for_turn
    from pipelines.jobs.worker import run_job

    database = open_home()
    values = read_values(config, assignments)
    job_id = queue.submit(database, stage, values, preset=preset, launcher="foreground")
    with show.quiet_libraries(), show.job_progress(as_json) as report:
        try:
            wait_for_turn(database, job_id, on_wait=lambda what: report("activity", {"text": what}))
            job = run_job(database, job_id, foreground=True, on_event=report)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    finish(database, job.id, as_json)


@command
def submit(
    stage: str,
    config: Config = None,
    preset: Preset = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Queue a run of a stage and print its job id; it runs in the background."""
    job_id = queue.submit(open_home(), stage, read_values(config, assignments), preset=preset)
    if as_json:
        show.print_json({"id": job_id})
    else:
        show.out.print(job_id)


@command
def jobs(as_json: Json = False) -> None:
    """List the jobs, the newest first."""
    with open_home().read() as session:
        rows = [job_json(job) for job in job_rows.list_jobs(session)]
    if as_json:
        show.print_json(rows)
    elif rows:
        show.out.print(show.jobs_table(rows))
    else:
        show.out.print("No jobs yet: try `guardui run rsft --preset smollm2-demo`.")


@command
def job(job_id: int, as_json: Json = False) -> None:
    """Show one job: state, config, artifacts, failure."""
    found = read_job(open_home(), job_id)
    if as_json:
        show.print_json(found)
    else:
        show.print_job(found)


@command
def logs(
    job_id: int,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Last lines to show.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    as_json: Json = False,
) -> None:
    """Print the end of a job's log."""
    database = open_home()
    state = read_job(database, job_id)["state"]
    path = queue.job_dir(get_settings(), job_id) / "log.txt"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    tail = text.splitlines()[-lines:]
    if as_json:
        show.print_json({"id": job_id, "state": state, "lines": tail})
        return
    sys.stdout.write("".join(f"{line}\n" for line in tail))
    while follow and state not in ENDED:
        time.sleep(0.5)
        # The state first: what is written until the end is then read after it.
        state = read_job(database, job_id)["state"]
        grown = path.read_text("utf-8", "replace") if path.is_file() else ""
        sys.stdout.write(grown[len(text) :])
        sys.stdout.flush()
        text = grown


@command
def stop(job_id: int, as_json: Json = False) -> None:
    """Stop a job at a checkpoint, or cancel one that waits."""
    tell(job_id, queue.stop(open_home(), job_id), as_json)


@command
def resume(job_id: int, as_json: Json = False) -> None:
    """Queue a stopped, interrupted or failed job again; it goes on from its last checkpoint."""
    tell(job_id, queue.resume(open_home(), job_id), as_json)


def read_job(database: Database, job_id: int) -> dict[str, Any]:
    """The whole job as JSON. Raises NotFoundError where there is none."""
    with database.read() as session:
        found = job_rows.get_job(session, job_id)
        if found is None:
            raise NotFoundError(f"job={job_id}: there is no such job")
        return job_json(found, full=True)


def tell(job_id: int, state: str, as_json: bool) -> None:
    """Says what state a job is in now."""
    if as_json:
        show.print_json({"id": job_id, "state": state})
    else:
        show.out.print(f"job {job_id} is {state}")


def finish(database: Database, job_id: int, as_json: bool) -> None:
    """Shows how a foreground job ended and exits with the code for it."""
    found = read_job(database, job_id)
    if as_json:
        show.print_json(found)
    else:
        show.print_job(found)
    raise typer.Exit(EXIT_CODES.get(found["state"], 1))


def main() -> None:
    """The console script."""
    app(prog_name="guardui")


if __name__ == "__main__":
    main()
