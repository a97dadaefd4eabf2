"""`guardui quality`: how good the reasoning of stored predictions is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.table import Table

from guardui import cli_output as show
from guardui.cli_base import Json, command
from pipelines.dataset_formats import RowError, read_task
from pipelines.quality_pairs import Scored
from pipelines.quality_scoring import summary
from pipelines.reasoning_quality import LABEL_FREE
from pipelines.schema import GuardTask, InputError
from pipelines.stored_quality import score_file

PARTS = ("label_correctness", *LABEL_FREE)


@command
def quality(
    file: Annotated[Path, typer.Argument(help="Rows with `prompt` and `predict`.")],
    task: Annotated[
        str | None, typer.Option(help="prompt, refusal or response: what `label` is about.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score the reasoning of stored predictions: label correctness, coherence, relevance and
    specificity."""
    found = quality_json(score_file(file, _task(task) if task else None))
    if as_json:
        show.print_json(found)
        return
    table = Table("Part", "Mean", box=None, pad_edge=False)
    for name in ("score", *PARTS):
        value = found[name]
        table.add_row(name.replace("_", " "), "n/a" if value is None else f"{value:.3f}")
    show.out.print(table)
    show.out.print(f"{found['rows']:,} predictions, {found['parse_failure_rate']:.1%} not parsed")
    for check in found["failed_checks"]:
        share = check["rows"] / found["rows"]
        show.out.print(f"  {check['part']}, {check['check']}: {share:.1%} failed", markup=False)


def _task(name: str) -> GuardTask:
    try:
        return read_task(name)
    except RowError as error:
        raise InputError(str(error)) from None


def quality_json(scored: list[Scored]) -> dict[str, Any]:
    """Means of the score and its parts, and how many predictions failed each check."""
    every = [one for row in scored for one in row.qualities if one is not None]
    known = [one.label_correctness for one in every if one.label_correctness is not None]
    failed = Counter(
        (check.dimension, check.name) for one in every for check in one.checks if not check.passed
    )
    means = summary(scored, [])
    return {
        "rows": len(scored),
        "parse_failure_rate": means["parse_failure_rate"],
        "score": means["score"],
        "label_correctness": fmean(known) if known else None,
        **{name: means[name] for name in LABEL_FREE},
        "failed_checks": [
            {"part": part, "check": name, "rows": count}
            for (part, name), count in failed.most_common()
        ],
    }
