"""`guardui pairs`: look at, compare, export, import and freeze pair sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from db import pair_sets
from db.models import PairSetVersion
from guardui import cli_output as show
from guardui.cli_base import Json, app, command_of, open_home
from pipelines.jobs.pair_versions import import_version
from pipelines.jobs.queue import resolve_reference
from pipelines.pair_export import export_pairs
from pipelines.pair_sets import describe_pair_set, diff_pair_sets
from pipelines.settings import get_settings

SHOWN = 20

pairs = typer.Typer(no_args_is_help=True, help="Frozen versions of preference pairs.")
app.add_typer(pairs, name="pairs")
command = command_of(pairs)

Ref = Annotated[str, typer.Argument(help="NAME@vN, artifact:ID, job:ID or a folder.")]


def version_json(version: PairSetVersion) -> dict[str, Any]:
    """A version as `--json` gives it."""
    return {
        "name": version.pair_set.name,
        "version": version.version,
        "reference": f"{version.pair_set.name}@v{version.version}",
        "rows": version.rows,
        "sha256": version.sha256,
        "artifact": version.artifact_id,
        "job": version.artifact.job_id,
        "path": version.artifact.path,
        "note": version.note,
        "created_at": version.created_at.isoformat(),
    }


@command_of(pairs, "list")
def list_versions(as_json: Json = False) -> None:
    """List the pair sets with their versions, the newest first."""
    with open_home().read() as session:
        rows = [
            version_json(version)
            for found in pair_sets.list_pair_sets(session)
            for version in reversed(found.versions)
        ]
    if as_json:
        show.print_json(rows)
        return
    if not rows:
        show.out.print("No pair sets yet: try `guardui run mine --preset smollm2-demo`.")
        return
    table = Table("Pair set", "Pairs", "From", "sha256", "Made", box=None, pad_edge=False)
    for row in rows:
        made_by = f"job {row['job']}" if row["job"] else "import"
        table.add_row(
            Text(row["reference"]),
            f"{row['rows']:,}",
            made_by,
            row["sha256"][:12],
            row["created_at"][:16].replace("T", " "),
        )
    show.out.print(table)


@command_of(pairs, "show")
def show_set(ref: Ref, as_json: Json = False) -> None:
    """Show what a pair set is: how it was mined, weighed and merged."""
    path = str(resolve_reference(open_home(), "pair_set", ref))
    found = describe_pair_set(path) | {"path": path}
    if as_json:
        show.print_json(found)
        return
    record = found["record"]
    show.out.print(f"{found['rows']:,} pairs in {path}", markup=False)
    how = f"weighting {found['weighting']}"
    how += "" if found["gamma"] is None else f", gamma {found['gamma']}"
    how += f", pairing {found['pairing']}" if found["pairing"] else ""
    show.out.print(f"{how}\nsha256 {found['sha256']}", markup=False)
    counts = record.get("counts") or []
    if isinstance(counts, dict):  # of a curated set
        show.out.print(", ".join(f"{name} {number}" for name, number in counts.items()))
    elif counts:
        table = Table("Model", "Source", "Before", "After", box=None, pad_edge=False)
        for row in counts:
            table.add_row(
                Text(row["model"]), Text(row["source"]), str(row["before"]), str(row["after"])
            )
        show.out.print(table)
    if record.get("mined_benchmark"):
        names = ", ".join(record["mined_benchmark"])
        show.out.print(f"! mined on rows of a benchmark: {names}", markup=False)


@command
def diff(a: Ref, b: Ref, as_json: Json = False) -> None:
    """Tell what pair set B has other than A."""
    database = open_home()
    first, second = (str(resolve_reference(database, "pair_set", ref)) for ref in (a, b))
    found = diff_pair_sets(first, second)
    if as_json:
        show.print_json(
            {
                "added": found.added,
                "removed": found.removed,
                "changed": found.changed,
                "unchanged": found.unchanged,
            }
        )
        return
    show.out.print(
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed, "
        f"{found.unchanged} unchanged"
    )
    changed = [f"{row} ({', '.join(fields)})" for row, fields in found.changed.items()]
    for sign, rows in (("+", found.added), ("-", found.removed), ("~", changed)):
        for row in rows[:SHOWN]:
            show.out.print(f"{sign} {row}", markup=False)
        if len(rows) > SHOWN:
            show.out.print(f"{sign} … and {len(rows) - SHOWN} more")


@command
def export(
    ref: Ref,
    file: Annotated[Path, typer.Argument(help="A file that ends in .jsonl or .parquet.")],
    as_json: Json = False,
) -> None:
    """Write a pair set in TRL's preference form, with its weights and all else it holds."""
    path = str(resolve_reference(open_home(), "pair_set", ref))
    rows = export_pairs(path, file)
    if as_json:
        show.print_json(
            {"file": str(file), "rows": rows, "sha256": describe_pair_set(path)["sha256"]}
        )
    else:
        show.out.print(f"{rows:,} pairs in {file}", markup=False)


@command_of(pairs, "import")
def import_file(
    file: Annotated[Path, typer.Argument(help="What `guardui pairs export` wrote.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the pair set; the file's without one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read an exported file as the next version of a pair set."""
    made = import_version(open_home(), get_settings(), file, name or file.stem)
    told(made, as_json)


@command
def freeze(
    job: Annotated[int, typer.Argument(help="The job whose hard samples were curated.")],
    name: Annotated[str, typer.Option(help="Name of the pair set; the job's without one.")] = "",
    note: Annotated[str, typer.Option(help="What this version is for.")] = "",
    only_accepted: Annotated[
        bool, typer.Option(help="Take accepted samples alone, not all that aren't dropped.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Freeze a job's hard samples, as they were curated, as the next version of a pair set."""
    from pipelines.jobs import curation

    database = open_home()
    made = curation.freeze(database, job, name=name, note=note, only_accepted=only_accepted)
    with database.read() as session:
        found = pair_sets.get_version(session, made.id)
    told(found or made, as_json)


def told(version: PairSetVersion, as_json: bool) -> None:
    """Says what a new version is called."""
    row = version_json(version)
    if as_json:
        show.print_json(row)
    else:
        show.out.print(f"{row['reference']}: {row['rows']:,} pairs", markup=False)
