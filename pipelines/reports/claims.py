"""The sentences of a report that a table can't say: what was seen before, where baselines win."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from pipelines.benchmarks import benchmark_rows
from pipelines.comparing.model_tables import ModelTables, Table
from pipelines.datasets import read_dataset
from pipelines.evaluations import Evaluation
from pipelines.gates import is_hard
from pipelines.schema import GuardUIError

logger = logging.getLogger(__name__)

AVERAGE = -1
TRAINED_ON = "trained on"
"""What the remarks of an evaluation say where they are about training rows."""
MOST = 4
LEAST = 4
"""Letters that two names must share to be of one project."""


def contamination(evaluations: Sequence[Evaluation], names: Sequence[str]) -> tuple[str, ...]:
    """What each subject may have seen of the benchmarks, one or more sentences a subject.

    Training rows are told by their sources' names, where the record or the data set itself has
    them; rows that are the same as a benchmark's were counted when it was asked (`remarks`).
    """
    found = []
    for one, name in zip(evaluations, names, strict=True):
        if said := _seen(one):
            found.append(f"{name}: {said}")
        found += [f"{name}: {remark}." for remark in one.info.remarks if TRAINED_ON in remark]
    if any(is_hard(part.name) for one in evaluations for part in one.info.benchmarks):
        found.append(
            "Hard samples are training rows, picked because a moderator was unsure of them. They "
            "compare moderators before and after a training, and are no test of either."
        )
    return tuple(found)


def _seen(evaluation: Evaluation) -> str:
    info = evaluation.info
    if info.kind == "base":
        return "not trained here; what its makers trained it on is not known to this report."
    if info.kind == "predictions":
        return "stored answers; what the model that gave them was trained on is not recorded here."
    training = info.training
    dataset = str(training.get("dataset") or "")
    if info.kind == "baseline" and not dataset:
        return ""
    if not dataset and not training.get("sources"):
        return "what it was trained on is not recorded, so nothing can be said of what it has seen."
    sources = tuple(map(str, training.get("sources") or ())) or sources_of(dataset)
    asked = [one.name for one in info.benchmarks if not is_hard(one.name)]
    named = benchmark_rows(dataset, "", sources)
    shown = Path(dataset).name
    if not named:
        if not sources:
            return f"trained on {shown}, whose rows' sources are not known to this report."
        return (
            f"trained on {shown}; by its sources' names ({listed(sources)}) no row is of a "
            "benchmark. That is a matter of names: rows may still be alike."
        )
    both = [name for name in asked if any(alike(name, source) for source in named)]
    text = (
        f"trained on {shown}, whose sources {listed(named)} are benchmarks or test sets by their "
        "names."
    )
    if both:
        text += (
            f" Of the benchmarks here that concerns {listed(both)}: scores on prompts that it was "
            "trained on count for nothing, and on other prompts of the same benchmark they tell of "
            "more of the same, not of conversations unlike its training."
        )
    others = [name for name in asked if name not in both]
    if others:
        text += f" By name it has not seen {listed(others)}."
    return text


@lru_cache(maxsize=16)
def sources_of(dataset: str) -> tuple[str, ...]:
    """The sources that the rows of a data set on this machine name; () where it can't be read."""
    if dataset != "starter" and not Path(dataset).exists():
        return ()
    try:
        return tuple(read_dataset(dataset).by_source())
    except GuardUIError as error:
        logger.warning("contamination: %s can't be read (%s)", dataset, error)
        return ()


def alike(benchmark: str, source: str) -> bool:
    """Whether a benchmark's name and a source's tell of the same project."""
    first, second = _stem(benchmark), _stem(source)
    short = min(len(first), len(second))
    return short >= LEAST and (first in second or second in first)


def _stem(name: str) -> str:
    """`XSTestResponseRefusal` -> `xstest`."""
    letters = "".join(character for character in name.lower() if character.isalnum())
    for ending in ("refusal", "harmful", "response", "prompt"):
        letters = letters.removesuffix(ending)
    return letters


def baseline_wins(tables: ModelTables, evaluations: Sequence[Evaluation] = ()) -> tuple[str, ...]:
    """Where a baseline is as good as a run or better, in words; one sentence says so where none
    is. Averages count where they cover the same rows; `evaluations` are those of the tables."""
    remarks = [one.info.remarks for one in evaluations]
    found: list[str] = []
    for table in tables.tables:
        task = table.title.lower()
        for n, column in enumerate(table.columns):
            found += _beaten_at(table, n, f"{column.title} ({task})", remarks)
        if len(table.columns) > 1:
            found += _beaten_at(table, AVERAGE, f"average ({task})", remarks)
    if tables.overall:
        title = "overall, the mean of the tasks' averages"
        found += _beaten_at(tables.overall, AVERAGE, title, remarks)
    runs = {row.name for table in tables.tables for row in table.rows if row.kind == "run"}
    if not found and runs:
        return ("No baseline is as good as any run on any benchmark or average.",)
    return tuple(found)


def _beaten_at(table: Table, place: int, title: str, remarks: Sequence[Sequence[str]]) -> list[str]:
    """A sentence where the best baseline of a column is as good as a run or better."""
    # Of equals the first: constants stand before what was trained.
    best = max(_known(table, "baseline", place), key=lambda one: one[0], default=None)
    if best is None:
        return []
    value, name = best
    runs = _known(table, "run", place)
    beaten = [f"{run} ({100 * score:.1f})" for score, run in runs if score <= value]
    above = [run for score, run in runs if score > value]
    if not beaten:
        return []
    text = (
        f"{title[0].upper()}{title[1:]}: {name} ({100 * value:.1f}) is as good as or better than "
        f"{listed(beaten)}; "
    )
    text += f"above it: {listed(above)}." if above else "no run is above it."
    if place != AVERAGE and table.columns[place].one_sided:
        text += " All rows there are of one class, so a constant can't be beaten."
    return [text + _learned_there(table, place, name, remarks)]


def _learned_there(table: Table, place: int, name: str, remarks: Sequence[Sequence[str]]) -> str:
    """Says where the baseline was trained on prompts that the figure is about."""
    row = next(row for row in table.rows if row.name == name)
    if row.evaluation is None or row.evaluation >= len(remarks):
        return ""
    names = row.average.covers if place == AVERAGE else (table.columns[place].name,)
    told = [remark for remark in remarks[row.evaluation] if TRAINED_ON in remark]
    seen = [one for one in names if any(remark.startswith(f"{one}: ") for remark in told)]
    if not seen:
        return ""
    return f" But {name} was trained on prompts of {listed(seen)} that are asked here."


def _known(table: Table, kind: str, place: int) -> list[tuple[float, str]]:
    """(value, name) of the rows of a kind that have one, on the rows that most were asked."""
    found = []
    for row in table.rows:
        cell = row.average if place == AVERAGE else row.cells[place]
        if row.kind == kind and cell.value is not None and cell.same_rows:
            found.append((cell.value, row.name))
    return found


def listed(names: Iterable[str]) -> str:
    """`a, b and c`, or the first few and how many more."""
    every = list(names)
    if len(every) > MOST + 1:
        return f"{', '.join(every[:MOST])} and {len(every) - MOST} more"
    return " and ".join(filter(None, [", ".join(every[:-1]), *every[-1:]]))
