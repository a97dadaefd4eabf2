"""`guardui score`: stored predictions under the three failure policies, side by side.

With `--json` one document is printed, all scores as fractions (null: undefined):

    {"task": "prompt_harmfulness", "reading": "authors", "files": [FILE, ...], "averages": [...]}

FILE has `file`, `benchmark` (null where the name is no benchmark's), `rows`, `prompts` (distinct
ones), `failures`, `failure_rate`, `counts` (tp, fp, fn, tn, failed_positive, failed_negative),
`differs` (rows that the authors' rule reads otherwise; null with that rule), `published` (model ->
F1, of the paper), `policies` (`wrong_once`, `authors`, `dropped` -> the scores, `label_f1` with an
F1 a label, and `intervals` with [low, high] a score, or null without them) and, with
`--by-category`, `categories` (name -> `rows`, `failures` and the scores counted wrong once).
`averages` is there for several files of different names: policy -> `f1`, `interval`, `rows`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from guardui import cli_output as show
from guardui.cli_base import Json, command
from pipelines.dataset_formats import RowError, read_task
from pipelines.metrics import METRICS, Policy, averages, scores
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.stored_scores import FileScores, Verdicts, read_verdicts, score_verdicts

TITLES = {
    Policy.WRONG_ONCE: "wrong once",
    Policy.AUTHORS: "as the authors",
    Policy.DROPPED: "dropped",
}
NAMES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "false_positive_rate": "false-positive rate",
    "false_negative_rate": "false-negative rate",
}


@command
def score(
    files: Annotated[list[Path], typer.Argument(help="Rows of `prompt`, `label`, `predict`.")],
    task: Annotated[str, typer.Option(help="prompt, refusal or response: what is scored.")],
    reading: Annotated[
        str, typer.Option(help="authors: their rule of the last 300 characters; or template.")
    ] = "authors",
    intervals: Annotated[
        bool, typer.Option("--intervals/--no-intervals", help="95% bootstrap intervals.")
    ] = True,
    by_category: Annotated[
        bool, typer.Option("--by-category", help="Each category's too.")
    ] = False,
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: Json = False,
) -> None:
    """Score stored predictions under the three policies for answers without a verdict."""
    kind = _task(task)
    verdicts = [read_verdicts(file, kind, reading) for file in files]
    found = [
        score_verdicts(one, with_intervals=intervals, resamples=resamples, seed=seed)
        for one in verdicts
    ]
    means = _averages(verdicts, resamples, seed, intervals)
    if as_json:
        shown = [file_json(one, by_category) for one in found]
        whole = {"task": kind.value, "reading": reading, "files": shown}
        show.print_json(whole | ({"averages": means} if means else {}))
        return
    for one in found:
        _print_file(one, by_category)
    if means:
        _print_averages(means)


def _task(name: str) -> GuardTask:
    try:
        return read_task(name)
    except RowError as error:
        raise InputError(str(error)) from None


def published_f1(found: FileScores) -> dict[str, float]:
    """Model -> the F1 (a fraction) that the paper prints for this file's benchmark.

    Of the model that the file's folder is named after, else of every model that it has.
    """
    from pipelines.published import SCORES

    if found.benchmark is None:
        return {}
    named = {
        model: table[found.benchmark] / 100
        for model, table in SCORES.items()
        if found.benchmark in table
    }
    model = found.file.resolve().parent.name
    return {model: named[model]} if model in named else named


def file_json(found: FileScores, by_category: bool) -> dict[str, Any]:
    """One file as the module's head says."""
    values: dict[str, Any] = {
        "file": str(found.file),
        "benchmark": found.benchmark,
        "rows": found.counts.rows,
        "prompts": found.groups,
        "failures": found.counts.failures,
        "failure_rate": found.counts.failures / found.counts.rows,
        "counts": asdict(found.counts),
        "differs": found.differs,
        "published": published_f1(found),
        "policies": {
            policy.value: {
                **_metrics(one.scores),
                "label_f1": dict(zip(found.task.labels, one.label_f1, strict=True)),
                "intervals": one.intervals,
            }
            for policy, one in found.policies.items()
        },
    }
    if by_category:
        values["categories"] = {
            name: {"rows": counts.rows, "failures": counts.failures, **_metrics(scores(counts))}
            for name, counts in found.categories.items()
        }
    return values


def _metrics(of: Any) -> dict[str, float | None]:
    return {name: value for name, value in asdict(of).items() if name in METRICS}


def _averages(
    verdicts: list[Verdicts], resamples: int, seed: int, with_intervals: bool
) -> dict[str, Any]:
    """Policy -> the row-weighted mean F1; empty for one file, or two of one name."""
    columns = {one.file.stem: one for one in verdicts}
    if len(verdicts) < 2 or len(columns) < len(verdicts):
        return {}
    found = {}
    for policy in Policy:
        mean = averages(columns, policy, resamples=resamples, seed=seed)[0]
        limits = mean.interval if with_intervals else None
        found[policy.value] = {"f1": mean.value, "interval": limits, "rows": mean.rows}
    return found


def _print_file(found: FileScores, by_category: bool) -> None:
    rows, failures = found.counts.rows, found.counts.failures
    show.out.print(f"{found.file}", style="bold", markup=False)
    show.out.print(
        f"{found.task.value}, {rows:,} rows of {found.groups:,} prompts; "
        f"{failures:,} without a verdict ({failures / rows:.2%})"
    )
    if found.differs is not None:
        show.out.print(f"{found.differs:,} rows are read otherwise by the authors' rule")
    table = Table("", *TITLES.values(), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, title in NAMES.items():
        table.add_row(title, *(_cell(found, policy, name) for policy in TITLES))
    figures = [_percent(found.policies[policy].label_f1[1]) for policy in TITLES]
    table.add_row(f"F1 of {found.task.labels[1]}", *figures)
    show.out.print(table)
    for model, value in published_f1(found).items():
        show.out.print(f"published F1 of {model}: {100 * value:.2f}", markup=False)
    if not found.counts.positives or found.counts.positives == rows:
        label = found.task.labels[0 if found.counts.positives else 1]
        show.out.print(f"every row is {label}: a constant verdict gets them all right")
    if by_category:
        _print_categories(found)
    show.out.print()


def _cell(found: FileScores, policy: Policy, name: str) -> str:
    one = found.policies[policy]
    value = asdict(one.scores)[name]
    limits = (one.intervals or {}).get(name)
    if limits is None:
        return _percent(value)
    return f"{_percent(value)} ({100 * limits[0]:.1f}-{100 * limits[1]:.1f})"


def _print_categories(found: FileScores) -> None:
    if not found.categories:
        show.out.print("The rows name no category.")
        return
    heads = ("Category", "Rows", "Failures", "F1", "Recall", "False-positive rate")
    table = Table(*heads, box=None, pad_edge=False)
    for name, counts in found.categories.items():
        one = scores(counts)
        figures = map(_percent, (one.f1, one.recall, one.false_positive_rate))
        table.add_row(
            Text(name or "none named"), f"{counts.rows:,}", f"{counts.failures:,}", *figures
        )
    show.out.print(table)


def _print_averages(means: dict[str, Any]) -> None:
    table = Table("Row-weighted mean", *TITLES.values(), box=None, pad_edge=False)
    cells = []
    for policy in TITLES:
        one = means[policy.value]
        limits = one["interval"]
        ends = f" ({100 * limits[0]:.1f}-{100 * limits[1]:.1f})" if limits else ""
        cells.append(f"{_percent(one['f1'])}{ends}")
    table.add_row("F1", *cells)
    show.out.print(table)


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.2f}"
