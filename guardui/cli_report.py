"""`guardui evaluations` and `guardui compare`: what was evaluated, and a report on any of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from db import jobs
from db.models import Artifact
from db.session import Database
from guardui import cli_output as show
from guardui.cli_base import Json, command, open_home
from guardui.cli_curves import write
from guardui.cli_group import print_wide
from guardui.render import day
from pipelines.evaluation_report import EXAMPLES, FORMS, report
from pipelines.evaluations import Evaluation, read_evaluation
from pipelines.gates import judge, parse_gates
from pipelines.jobs.references import parse_reference, resolve_reference
from pipelines.metrics import Policy
from pipelines.schema import InputError, NotFoundError

KIND = "evaluation"


@command
def compare(
    evaluations: Annotated[
        list[str], typer.Argument(help="Folders, artifact:ID, or job:ID for all that it made.")
    ],
    form: Annotated[str | None, typer.Option(help=f"One of {', '.join(FORMS)}.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
    policy: Annotated[
        str, typer.Option(help=f"Rows without a verdict: {', '.join(Policy)}.")
    ] = Policy.WRONG_ONCE.value,
    reference: Annotated[
        int | None,
        typer.Option(help="Test the others against this one, by its place; the first is 1."),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(help="A criterion such as 'accuracy >= 0.6', as often as needed."),
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Mistakes of each kind a subject, with their texts; 0: none.")
    ] = EXAMPLES,
    as_json: Json = False,
) -> None:
    """Report on evaluations side by side: tables, tests, failures, examples of mistakes."""
    shape = form_of(form, out, as_json)
    kind = policy_of(policy)
    gates = parse_gates(gate or ())
    found = read_all(open_home(look_after=False), evaluations)
    place = None if reference is None else reference - 1
    # The reference is checked by the report; without one the first given stands in.
    against = found[place] if place is not None and 0 <= place < len(found) else None
    results = [
        result
        for one in found
        if gates and one.info.kind != "baseline" and one is not against
        for result in judge(gates, one, against)
    ]
    text = report(found, shape, policy=kind, compare_with=place, gates=results, examples=examples)
    if out is None:
        typer.echo(text, nl=False)
        return
    write(out, text.encode("utf-8"))
    if as_json:
        show.print_json({"file": str(out), "evaluations": [one.info.name for one in found]})
    else:
        show.err.print(Text(f"wrote {out}"))


def form_of(form: str | None, out: Path | None, as_json: bool) -> str:
    """What is asked for, or what the file's name says, or Markdown. Raises InputError."""
    if form is not None and form not in FORMS:
        raise InputError(f"form={form}: must be one of {', '.join(FORMS)}")
    if form is not None:
        return form
    if out is not None:
        return next((name for name, end in FORMS.items() if end == out.suffix.lower()), "markdown")
    return "json" if as_json else "markdown"


def policy_of(word: str) -> Policy:
    """The policy of this name. Raises InputError."""
    try:
        return Policy(word)
    except ValueError:
        raise InputError(f"policy={word}: must be one of {', '.join(Policy)}") from None


def read_all(database: Database, references: Sequence[str]) -> list[Evaluation]:
    """The evaluations that are named, each once, in this order. Raises InputError."""
    folders = [folder for one in references for folder in folders_of(database, one)]
    return [read_evaluation(folder) for folder in dict.fromkeys(folders)]


def folders_of(database: Database, reference: str) -> list[Path]:
    """A folder, that of an artifact, or those of all evaluations that a job made.

    Raises NotFoundError where there is none, InputError for a job that made none.
    """
    what, number = parse_reference(reference)
    if what != "job":
        return [Path(resolve_reference(database, KIND, reference))]
    with database.read() as session:
        job = jobs.get_job(session, number)
        if job is None:
            raise NotFoundError(f"{reference}: there is no such job")
        made = reversed(jobs.artifacts(session, KIND, number))
        paths = [Path(artifact.path) for artifact in made]
        if not paths:
            raise InputError(f"{reference}: job {number} ({job.stage}, {job.state}) evaluated none")
    return paths


@command
def evaluations(as_json: Json = False) -> None:
    """List what was evaluated, the newest first."""
    with open_home(look_after=False).read() as session:
        made = jobs.artifacts(session, KIND)
        rows, days = [evaluation_json(one) for one in made], [day(one.created_at) for one in made]
    if as_json:
        show.print_json(rows)
        return
    if not rows:
        show.out.print("No evaluations yet: try `guardui run evaluate --set adapters=job:ID`.")
        return
    columns = ("Evaluation", "Subject", "How", "Rows", "No verdict", "F1", "Job", "When")
    table = Table(*columns, box=None, pad_edge=False)
    for row, when in zip(rows, days, strict=True):
        f1 = row["f1"] or {}
        shown = ", ".join(
            f"{name} {100 * value:.1f}" for name, value in f1.items() if value is not None
        )
        table.add_row(
            f"artifact:{row['id']}",
            Text(row["name"]),
            Text(f"{row['kind'] or ''}, {row['mode'] or ''}".strip(", ")),
            f"{row['rows'] or 0:,}",
            f"{row['failures'] or 0:,}",
            Text(shown),
            f"{row['job'] or ''}",
            when,
        )
    print_wide(table)


def evaluation_json(artifact: Artifact) -> dict[str, Any]:
    """An evaluation as the list gives it."""
    told = artifact.details or {}
    names = ("kind", "mode", "reference", "rows", "benchmarks", "f1", "failures", "sample", "seed")
    return {
        "id": artifact.id,
        "name": artifact.name,
        "path": artifact.path,
        "job": artifact.job_id,
        "created_at": artifact.created_at.isoformat(),
        **{name: told.get(name) for name in names},
    }
