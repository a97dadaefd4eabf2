"""The command line: `guardui COMMAND`. Does what the page does, and needs no Gradio but to serve.

Exit codes: 0 done, 1 the job failed, 2 wrong input, 3 the job was stopped, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from db import jobs as job_rows
from db.models import ENDED
from db.session import Database, open_database
from guardui import cli_output as show
from guardui.jsonable import job_json, verdict_json
from pipelines.jobs import queue
from pipelines.jobs.supervisor import reconcile
from pipelines.schema import GuardUIError, InputError, NotFoundError
from pipelines.settings import get_settings

EXIT_CODES = {"succeeded": 0, "stopped": 3, "interrupted": 130}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train, inspect, rate and serve reasoning guard models.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Preset = Annotated[str | None, typer.Option(help="Start from this preset of the stage.")]
Config = Annotated[Path | None, typer.Option(help="YAML or JSON file with config fields.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as often as needed.")]


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Registers a command whose errors are one message on standard error and exit code 2."""

    @wraps(function)
    def call(**arguments: Any) -> None:
        try:
            function(**arguments)
        except GuardUIError as error:
            show.print_error(error, bool(arguments.get("as_json")))
            raise typer.Exit(2) from None

    return app.command(function.__name__.replace("_", "-").strip("-"))(call)


def open_home() -> Database:
    """The database of the home, with whatever ended meanwhile noted."""
    database = open_database(get_settings().database_url)
    reconcile(database)
    return database


def read_values(config: Path | None, assignments: list[str] | None) -> dict[str, Any]:
    """Config fields from a file, then from KEY=VALUE words; lists and objects are JSON."""
    values: dict[str, Any] = {}
    if config is not None:
        try:
            loaded = yaml.safe_load(config.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"config={config}: can't be read ({error})") from None
        except yaml.YAMLError as error:
            raise InputError(f"config={config}: not YAML or JSON ({error})") from None
        if not isinstance(loaded, dict):
            raise InputError(f"config={config}: must hold fields and values")
        values.update(loaded)
    for assignment in assignments or []:
        key, sign, value = assignment.partition("=")
        if not sign or not key:
            raise InputError(f"--set {assignment}: must be KEY=VALUE")
        try:
            values[key] = json.loads(value) if value[:1] in "[{" and value else value
        except ValueError as error:
            raise InputError(f"{key}={value}: not JSON ({error})") from None
    return values


@command
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the page, as `python app.py` does."""
    from guardui.serve import serve as serve_page

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    serve_page(get_settings(), host, port)


@command
def fetch(
    base: Annotated[str, typer.Argument(help="Base model to fetch.")] = "smollm2-135m-instruct",
    as_json: Json = False,
) -> None:
    """Fetch a base model into the model cache."""
    from pipelines.base_models import resolve_base

    with show.quiet_libraries(), show.job_progress(as_json) as report:

        def told(what: str, share: float) -> None:
            report("activity", {"text": what})
            report("progress", {"step": round(share * 100), "total": 100})

        found = resolve_base(base, progress=told)
    if as_json:
        show.print_json({"name": found.name, "path": str(found.path), "hub_id": found.hub_id})
    else:
        show.out.print(f"{found.name} is in {found.path}")


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
def recipe(
    name: str, config: Config = None, assignments: Set = None, as_json: Json = False
) -> None:
    """Queue a chain of stages, each taking what the one before it made."""
    ids = queue.submit_recipe(open_home(), name, read_values(config, assignments))
    if as_json:
        show.print_json({"ids": ids})
    else:
        show.out.print(" ".join(map(str, ids)))


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
    while follow and read_job(database, job_id)["state"] not in ENDED:
        time.sleep(0.5)
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


@command
def classify(
    prompt: Annotated[str, typer.Option(help="The user's request.")],
    response: Annotated[str | None, typer.Option(help="The assistant's response.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="artifact:ID, job:ID, a folder, a Hub id, or a base model.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Moderate one conversation. Without --adapter, the newest adapter does it."""
    from pipelines.base_models import DEMO_BASE
    from pipelines.classify import open_moderator
    from pipelines.jobs.queue import resolve_reference

    database = open_home()
    if adapter is None:
        with database.read() as session:
            made = job_rows.artifacts(session, kind="adapter")
        adapter = f"artifact:{made[0].id}" if made else DEMO_BASE
    if not prompt.strip():
        raise InputError("prompt: it is empty; give the request to moderate")
    ref = resolve_reference(database, "adapter", adapter)
    with show.quiet_libraries(), show.job_progress(as_json) as report:
        report("activity", {"text": f"loading {adapter}"})
        moderator = open_moderator(ref, get_settings())
        for progress in moderator.stream(prompt, response):
            report("activity", {"text": f"{progress.tokens} tokens"})
    assert progress.verdict is not None
    answer = verdict_json(progress.verdict) | {
        "adapter": adapter,
        "seconds": round(progress.seconds, 3),
    }
    if as_json:
        show.print_json(answer)
    else:
        show.out.print(answer["reasoning"] or answer["raw"], markup=False)
        show.print_verdict(answer)


@command
def push(
    adapter: str,
    repo: Annotated[str, typer.Option(help="Hub repository, OWNER/NAME.")],
    public: Annotated[bool, typer.Option(help="Make a new repository public.")] = False,
    dry_run: Annotated[
        Path | None, typer.Option(help="Write the files into this folder instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Push an adapter with its card and template to the Hub, private unless told otherwise."""
    from pipelines import hub

    folder = Path(queue.resolve_reference(open_home(), "adapter", adapter))
    pushed = hub.push(folder, repo, private=not public, dry_run=dry_run)
    if as_json:
        show.print_json({"repo": pushed.repo, "files": pushed.files, "url": pushed.url})
        return
    where = pushed.url or dry_run
    show.out.print(f"{len(pushed.files)} files: {where}", *pushed.files, sep="\n  ", markup=False)


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
