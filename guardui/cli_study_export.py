"""`guardui study export`: a study's ratings as files, and as a dataset on the Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from guardui import cli_output as show
from guardui.cli_base import Json, open_home
from guardui.cli_study import Id, command
from guardui.study_reports import records_of, report_of
from pipelines.hub import push_dataset
from pipelines.schema import InputError
from pipelines.studies.export import FORMATS, export_study
from pipelines.studies.words import counted


@command
def export(
    study_id: Id,
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")] = "jsonl",
    to: Annotated[
        Path | None, typer.Option(help="File, or folder of a dataset or a pair set.")
    ] = None,
    push: Annotated[
        str | None, typer.Option(help="Push the dataset to this repository on the Hub.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Push publicly.")] = False,
    keep_wrong: Annotated[
        bool,
        typer.Option("--keep-wrong", help="Pairs too whose preferred trace has a wrong verdict."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write every rating, told by arm and without names, or the preferred traces as pairs."""
    if to is None and push is None:
        raise InputError("to: name a file or a folder, or a repository with --push")
    if push is not None and format != "dataset":
        raise InputError(f"format={format}: only a dataset can be pushed (--format dataset)")
    if keep_wrong and format != "pairs":
        raise InputError(f"keep-wrong: only pairs know it (--format pairs), not format={format}")
    records = records_of(open_home(look_after=False), study_id)
    made = report_of(records)
    told: dict[str, Any] = {"id": study_id, "format": format}
    if to is not None:
        found = export_study(records, made, format, to, keep_wrong=keep_wrong)
        told |= {"path": str(to), "files": [str(path) for path in found.files]}
        told[f"{found.what}s"] = found.count
    if push is not None:
        with tempfile.TemporaryDirectory(prefix="guardui-push-") as place:
            folder = Path(place) / "dataset"
            told["ratings"] = export_study(records, made, format, folder).count
            told |= {"repo": push, "url": push_dataset(folder, push, private=not public)}
    if as_json:
        show.print_json(told)
        return
    if to is not None:
        show.out.print(Text(f"wrote {to}: {counted(found.count, found.what)}"))
    if push is not None:
        show.out.print(Text(f"pushed to {told['url']}"))
