"""`guardui group`: the groups of jobs, and one of them as a table, a picture or a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from guardui import cli_output as show
from guardui.cli_base import Json, command, open_home
from guardui.render import day
from guardui.render_group import shown
from pipelines.comparison import AXES, Axis, Comparison, columns_of, comparison_json, to_csv
from pipelines.comparison_png import to_png
from pipelines.jobs.comparison import list_comparisons, read_comparison
from pipelines.schema import InputError

Target = Annotated[Path | None, typer.Option(help="Write the curves as a picture to this file.")]
Sheet = Annotated[Path | None, typer.Option(help="Write every recorded number to this file.")]
By = Annotated[str, typer.Option(help=f"What the picture has along: {', '.join(AXES)}.")]
Metric = Annotated[str, typer.Option(help="What the picture shows; held out it has eval_ before.")]


@command
def group(
    group_id: Annotated[int | None, typer.Argument(help="The group; all of them without.")] = None,
    png: Target = None,
    csv: Sheet = None,
    by: By = "rows",
    metric: Metric = "loss",
    as_json: Json = False,
) -> None:
    """List the groups of jobs, or compare the jobs of one: a table, a picture, a CSV file."""
    database = open_home(look_after=False)
    if group_id is None:
        if png or csv:
            raise InputError("group: name the group whose curves are to be written")
        list_groups(list_comparisons(database), as_json)
        return
    found = read_comparison(database, group_id)
    written = []
    if png:
        written.append(write(png, to_png(found, metric, axis_of(by))))
    if csv:
        written.append(write(csv, to_csv(found).encode("utf-8")))
    if as_json:
        show.print_json(comparison_json(found) | {"files": [str(path) for path in written]})
        return
    show.out.print(Text(f"{found.title}, group {found.id}", style="bold"))
    print_wide(table(found))
    if found.caveat:
        show.out.print(Text(found.caveat, style="dim"))
    for path in written:
        show.err.print(Text(f"wrote {path}"))


def axis_of(word: str) -> Axis:
    """The axis of this name. Raises InputError."""
    for axis in AXES:
        if axis == word:
            return axis
    raise InputError(f"by={word}: must be one of {', '.join(AXES)}")


def write(path: Path, content: bytes) -> Path:
    """Writes a file. Raises InputError where that can't be done."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error})") from None
    return path


def list_groups(found: list[Comparison], as_json: bool) -> None:
    """All groups, the newest first."""
    if as_json:
        show.print_json([brief(one) for one in found])
        return
    if not found:
        show.out.print("No groups yet: try `guardui sweep epochs` or `guardui recipe demo`.")
        return
    rows = Table("Group", "What", "Jobs", "States", "Launched", box=None, pad_edge=False)
    for one in found:
        states = [entry.state for entry in one.entries]
        said = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        jobs = " ".join(str(entry.job) for entry in one.entries)
        what = Text(f"{one.title} ({one.name})")
        rows.add_row(f"{one.id}", what, jobs, said, day(one.created_at))
    print_wide(rows)


def brief(comparison: Comparison) -> dict[str, Any]:
    """A group in the list: what it is, and its jobs by id, value and state."""
    whole = comparison_json(comparison)
    keys = ("id", "kind", "name", "title", "field", "created_at")
    jobs = [{key: job[key] for key in ("id", "value", "state")} for job in whole["jobs"]]
    return {key: whole[key] for key in keys} | {"jobs": jobs}


def print_wide(rows: Table) -> None:
    """A table at its own width: numbers that are cut in a narrow terminal are worth nothing."""
    natural = Measurement.get(show.out, show.out.options.update(width=1000), rows).maximum
    Console(highlight=False, width=max(show.out.width, natural)).print(rows)


def table(found: Comparison) -> Table:
    """A row for each job, with what it came to."""
    columns = columns_of(found)
    rows = Table(found.field or "step", "State", box=None, pad_edge=False)
    for column in columns:
        rows.add_column(column.title, justify="right")
    rows.add_column("Made")
    rows.add_column("Job", justify="right")
    for entry in found.entries:
        cells = [shown(column, column.of(entry)) for column in columns]
        state = f"{show.SIGNS[entry.state]} {entry.state}"
        rows.add_row(Text(entry.label), state, *cells, entry.made, f"{entry.job}")
    return rows
