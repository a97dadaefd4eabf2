"""`guardui push` and `guardui pull`: the way to the Hub and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from db.session import Database
from guardui import cli_output as show
from guardui.cli_base import EXIT_CODES, Json, command, open_home
from pipelines.schema import InputError


@command
def push(
    what: Annotated[
        str,
        typer.Argument(help="artifact:ID, job:ID, study:ID, NAME@vN of a pair set, or a folder."),
    ],
    repo: Annotated[str, typer.Option(help="Hub repository, OWNER/NAME.")],
    public: Annotated[bool, typer.Option("--public", help="Anybody may see it.")] = False,
    base: Annotated[
        str, typer.Option(help="Hub id of the base model, where the record has only a folder.")
    ] = "",
    dry_run: Annotated[
        Path | None, typer.Option(help="Write the files into this folder instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Push a model, an adapter, a pair set or a study with its card to the Hub, privately."""
    from pipelines.jobs.publishing import write_push

    database = open_home()
    values = {"what": what, "repo": repo, "public": public, "base": base}
    if dry_run is None:
        _push(database, values, as_json)
        return
    files = write_push(database, values, dry_run)
    if as_json:
        show.print_json({"repo": repo, "files": files, "url": None, "revision": None})
        return
    show.out.print(f"{len(files)} files: {dry_run}", *files, sep="\n  ", markup=False)


def _push(database: Database, values: dict[str, Any], as_json: bool) -> None:
    """As `guardui run push`, told in a line of its own."""
    from pipelines.jobs import queue
    from pipelines.jobs.foreground import wait_for_turn
    from pipelines.jobs.publishing import pushes_of
    from pipelines.jobs.worker import run_job

    job_id = queue.submit(database, "push", values, launcher="foreground")
    with show.quiet_libraries(), show.job_progress(as_json) as report:
        try:
            wait_for_turn(database, job_id, on_wait=lambda what: report("activity", {"text": what}))
            job = run_job(database, job_id, foreground=True, on_event=report)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    if job.state != "succeeded":
        failure = job.failure or {}
        said = InputError(
            failure.get("message") or job.reason or job.state, advice=failure.get("advice")
        )
        said.code = str(failure.get("code") or job.state)
        show.print_error(said, as_json)
        raise typer.Exit(EXIT_CODES.get(job.state, 1))
    done = pushes_of(database, job_id)[-1]
    if as_json:
        show.print_json(done)
        return
    what = "pushed to" if done["changed"] else "nothing changed:"
    show.out.print(f"{what} {done['url']} (job {job_id})", markup=False)
    if removed := done.get("removed"):
        show.out.print(f"removed there: {', '.join(removed)}", markup=False)


@command
def pull(
    repo: Annotated[str, typer.Argument(help="OWNER/NAME of an adapter or a whole model.")],
    revision: Annotated[
        str, typer.Option(help="Branch, tag or commit; without, the newest.")
    ] = "main",
    as_json: Json = False,
) -> None:
    """Fetch an adapter with its template from the Hub: safetensors and JSON, never code."""
    from pipelines.jobs.pulling import pull as fetch

    with show.quiet_libraries(), show.job_progress(as_json) as report:
        report("activity", {"text": f"fetching {repo}"})
        found = fetch(open_home(), repo, revision)
    if as_json:
        show.print_json(found)
        return
    show.out.print(
        f"artifact:{found['artifact']} is {found['repo']} at {found['revision'][:12]}\n"
        f"  {found['path']}",
        markup=False,
    )
