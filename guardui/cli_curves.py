"""`guardui curves`: what jobs recorded, as a picture and as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from db.session import open_database
from guardui import cli_output as show
from guardui.cli_base import Json, command
from pipelines.curves import to_csv, to_png
from pipelines.jobs.curves import read_runs
from pipelines.schema import InputError
from pipelines.settings import get_settings


@command
def curves(
    job_ids: Annotated[list[int], typer.Argument(help="The jobs; several share a picture.")],
    png: Annotated[Path | None, typer.Option(help="Write the curves to this picture.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every number to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Write jobs' curves as a picture (PNG) and as a table (CSV); the table alone to the screen."""
    # Only read: opened as the other commands do it, the queue would be looked after too.
    runs = read_runs(open_database(get_settings().database_url), job_ids)
    # Both are made before one is written: no half result where a job has nothing to draw.
    sheet = to_csv(runs)
    files = {png: to_png(runs)} if png else {}
    files |= {csv: sheet.encode("utf-8")} if csv else {}
    for path, content in files.items():
        write(path, content)
    if as_json:
        show.print_json({"jobs": [run.job for run in runs], "files": [str(path) for path in files]})
    elif files:
        for path in files:
            show.err.print(Text(f"wrote {path}"))
    else:
        typer.echo(sheet, nl=False)


def write(path: Path, content: bytes) -> None:
    """Raises InputError where the file can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"file={path}: can't be written ({error.strerror})") from None
