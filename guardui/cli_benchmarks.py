"""`guardui benchmarks`: what can be evaluated on, and what of it a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from guardui import cli_output as show
from guardui.cli_base import Json, command
from pipelines.benchmarks import BENCHMARKS, Benchmark, in_folder, read_benchmark
from pipelines.schema import InputError

Folder = Annotated[
    str | None, typer.Option(help="A folder of files NAME.json or NAME.jsonl, counted and checked.")
]


@command
def benchmarks(folder: Folder = None, as_json: Json = False) -> None:
    """List the benchmarks: task, published rows, the rows a folder holds, and any difference."""
    if folder is not None and not Path(folder).expanduser().is_dir():
        raise InputError(f"folder={folder}: there is no such folder")
    listed = [_listed(benchmark, folder) for benchmark in BENCHMARKS.values()]
    if as_json:
        show.print_json(listed)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("benchmark", no_wrap=True)
    table.add_column("task", no_wrap=True)
    for heading in ("published", *(["here", "difference"] if folder else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    if not folder:
        table.add_column("from", overflow="fold")
    for one in listed:
        for line in _lines(one, folder):
            table.add_row(*map(Text, line))
    show.out.print(table)
    for remark in dict.fromkeys(remark for one in listed for remark in _remarks(one)):
        show.out.print(Text(remark))


def _listed(benchmark: Benchmark, folder: str | None) -> dict[str, Any]:
    """A benchmark as JSON; `found` has an item a task where the folder holds its files."""
    one: dict[str, Any] = {
        "name": benchmark.name,
        "title": benchmark.title,
        "tasks": [task.value for task in (benchmark.task, *benchmark.also)],
        "published_rows": benchmark.published_rows,
        "hub": str(benchmark.hub) if benchmark.hub else None,
        "paper": benchmark.paper,
        "licence": benchmark.licence,
        "about": benchmark.about,
    }
    if folder is None:
        return one
    one |= {"found": [], "error": None}
    try:
        if not in_folder(benchmark.name, folder):
            return one
        read = read_benchmark(benchmark.name, folder=folder)
    except InputError as error:
        # A finding about that file: the others are listed all the same.
        return one | {"error": str(error)}
    one["found"] = [
        {
            "name": rows.benchmark,
            "task": rows.task.value,
            "rows": rows.of_rows,
            "difference": _difference(rows.of_rows, rows.published_rows),
            "remarks": rows.remarks,
            "sha256": rows.sha256,
            "reference": rows.reference,
        }
        for rows in read
    ]
    return one


def _difference(rows: int, published: int | None) -> int | None:
    return None if published is None else rows - published


def _lines(one: dict[str, Any], folder: str | None) -> list[list[str]]:
    """A line a task that was found, or one for the benchmark."""
    published = f"{one['published_rows']:,}" if one["published_rows"] else "-"
    several = len(one["tasks"]) > 1
    head = [one["name"], "all" if several else _word(one["tasks"][0]), published]
    if folder is None:
        return [[*head, one["hub"] or "a file"]]
    if not one["found"]:
        return [[*head, "-", "faulty" if one["error"] else "not here"]]
    lines = []
    for found in one["found"]:
        differs = "" if found["difference"] is None else f"{found['difference']:+,}"
        differs = "none" if found["difference"] == 0 else differs
        task = _word(found["task"])
        lines.append([found["name"], task, published, f"{found['rows']:,}", differs])
    return lines


def _remarks(one: dict[str, Any]) -> list[str]:
    """What is to know of the rows that were found, or why they can't be read."""
    if one.get("error"):
        return [f"{one['name']}: {one['error']}"]
    found = one.get("found", [])
    return [f"{one['name']}: {remark}" for rows in found for remark in rows["remarks"]]


def _word(task: str) -> str:
    return task.split("_")[0]
