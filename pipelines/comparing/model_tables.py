"""The paper's tables as data: models a row, benchmarks a column, published ones beside ours.

A table for each task and one of the averages. Whoever shows them, a page or a report, only lays
them out: values are fractions, and what a reader must know before comparing stands in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.benchmarks import BENCHMARKS
from pipelines.comparing import table_notes
from pipelines.comparing.measuring import CONSTANT, Measured, Scored, constant, measured
from pipelines.comparing.table_averages import average_of, overall, with_best
from pipelines.comparing.table_parts import (
    METRIC_WORDS,
    TASK_WORDS,
    Cell,
    Column,
    ModelTables,
    Row,
    RowKind,
    Table,
)
from pipelines.evaluations import Evaluation
from pipelines.gates import is_hard
from pipelines.published import AVERAGES, SCORES
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.cells import Policy

__all__ = [
    "METRIC_WORDS",
    "TASK_WORDS",
    "Cell",
    "Column",
    "ModelTables",
    "Row",
    "Table",
    "model_tables",
    "unique_names",
]


NO_SAFE = "no negative row"


@dataclass(frozen=True, slots=True)
class _Subject:
    """A row of ours before it is cut into tables: its name, what it is, and what it scored."""

    name: str
    kind: RowKind
    mode: str
    evaluation: int | None
    scored: Scored
    remarks: Mapping[str, str]


def model_tables(
    evaluations: Sequence[Evaluation],
    metric: str = "f1",
    policy: Policy = Policy.WRONG_ONCE,
    *,
    published: bool = True,
    baselines: bool = True,
) -> ModelTables:
    """The tables of these evaluations: published rows, baselines, then runs in the order given.

    `baselines` adds always-harmful and never-harmful on the same rows where no evaluation of that
    name is given. The paper publishes F1 alone, so other metrics have no published rows. Raises
    InputError for an unknown metric, and InputError or DataError for a broken evaluation.
    """
    if metric not in METRIC_WORDS:
        raise InputError(f"metric={metric}: must be one of {', '.join(METRIC_WORDS)}")
    subjects = _subjects(evaluations, policy, metric, baselines)
    models = tuple(SCORES) if published and metric == "f1" else ()
    tables = [_table(task, subjects, evaluations, metric, policy, models) for task in TASK_WORDS]
    tables = [table for table in tables if table.columns]
    scored = {(one.kind, one.name): one.scored for one in subjects}
    every = overall(tables, scored, metric, policy) if len(tables) > 1 else None
    return ModelTables(tuple(tables), every, table_notes.general(evaluations, metric, policy))


def unique_names(evaluations: Sequence[Evaluation]) -> list[str]:
    """The subjects' names, told apart by mode and then by number where several are the same."""
    names = [one.info.name for one in evaluations]
    modes = [f" ({one.info.mode})" for one in evaluations]
    numbers = [f" #{n}" for n in range(1, len(names) + 1)]
    for more in (modes, numbers):
        names = [name + more[n] if names.count(name) > 1 else name for n, name in enumerate(names)]
    return names


def _subjects(
    evaluations: Sequence[Evaluation], policy: Policy, metric: str, baselines: bool
) -> list[_Subject]:
    """Baselines first, then the runs."""
    given = []
    for place, (one, name) in enumerate(zip(evaluations, unique_names(evaluations), strict=True)):
        kind: RowKind = "baseline" if one.info.kind == "baseline" else "run"
        scored, remarks = measured(one, policy, metric), table_notes.remarks_by_benchmark(one)
        given.append(_Subject(name, kind, one.info.mode, place, scored, remarks))
    held = {one.info.reference for one in evaluations if one.info.kind == "baseline"}
    added = [
        _Subject(
            name, "baseline", "computed", None, constant(evaluations, name, policy, metric), {}
        )
        for name in CONSTANT
        if baselines and evaluations and name not in held
    ]
    return [
        *added,
        *(one for one in given if one.kind == "baseline"),
        *(one for one in given if one.kind == "run"),
    ]


# A table


def _table(
    task: GuardTask,
    subjects: Sequence[_Subject],
    evaluations: Sequence[Evaluation],
    metric: str,
    policy: Policy,
    models: Sequence[str],
) -> Table:
    usual = _usual(task, subjects)
    columns = _columns(task, usual, subjects, evaluations)
    rows = [_published(model, columns, task) for model in models]
    rows += [_row(one, usual, columns, task, metric) for one in subjects]
    rows = [row for row in rows if any(cell.rows for cell in row.cells)]
    rows = with_best(rows, metric)
    notes, comparable = table_notes.of_table(columns, rows, metric)
    return Table(task, TASK_WORDS[task], metric, policy, columns, tuple(rows), notes, comparable)


def _usual(task: GuardTask, subjects: Sequence[_Subject]) -> Mapping[str, Measured]:
    """Benchmark -> one that was asked the rows which most were asked; of two alike, the more."""
    asked: dict[str, list[Measured]] = {}
    for subject in subjects:
        for name, one in subject.scored.benchmarks.items():
            if one.task is task:
                asked.setdefault(name, []).append(one)
    places = {name: place for place, name in enumerate(BENCHMARKS)}
    found = {}
    for name in sorted(asked, key=lambda name: places.get(name, len(places))):
        marks = [one.drawn for one in asked[name]]
        found[name] = max(asked[name], key=lambda one: (marks.count(one.drawn), one.scores.rows))
    return found


def _columns(
    task: GuardTask,
    usual: Mapping[str, Measured],
    subjects: Sequence[_Subject],
    evaluations: Sequence[Evaluation],
) -> tuple[Column, ...]:
    """The benchmarks of a task that any evaluation was asked, in the paper's order, then others."""
    paper = {b.name: b.published_rows for one in evaluations for b in one.info.benchmarks}
    columns = []
    for name, one in usual.items():
        every = [subject.scored.benchmarks.get(name, one).drawn for subject in subjects]
        columns.append(
            Column(
                name,
                title_of(name, task),
                one.scores.rows,
                paper.get(name),
                one.one_sided,
                mixed=len(set(every)) > 1,
                counts=not is_hard(name),
            )
        )
    return tuple(columns)


def title_of(name: str, task: GuardTask) -> str:
    """A benchmark's name without its task, which the table tells: `WildGuardTest`."""
    ending = {"prompt_harmfulness": "Prompt", "refusal": "Refusal"}.get(task.value, "Response")
    for end in (f"Response{ending}", f"{ending}Harmful", ending):
        if name in BENCHMARKS and name.endswith(end) and name != end:
            return name.removesuffix(end)
    return name


def _row(
    subject: _Subject,
    usual: Mapping[str, Measured],
    columns: Sequence[Column],
    task: GuardTask,
    metric: str,
) -> Row:
    cells = tuple(
        _cell(
            subject.scored.benchmarks.get(one.name),
            usual[one.name],
            metric,
            subject.remarks.get(one.name, ""),
        )
        for one in columns
    )
    counted = [cell for one, cell in zip(columns, cells, strict=True) if one.counts]
    average = average_of(subject.scored, task, counted)
    alarms = subject.scored.false_alarms.get(task)
    return Row(
        subject.name,
        subject.kind,
        subject.mode,
        subject.evaluation,
        cells,
        average,
        Cell(None, note="not asked")
        if alarms is None
        else Cell(alarms.rate, alarms.interval, alarms.rows, note="" if alarms.rows else NO_SAFE),
    )


def _cell(one: Measured | None, usual: Measured, metric: str, remark: str) -> Cell:
    if one is None:
        return Cell(None, note="not asked")
    value = one.value(metric)
    return Cell(
        value,
        one.intervals.get(metric),
        one.scores.rows,
        one.scores.failure_rate,
        one.scores.false_positive_rate,
        note="" if value is not None else table_notes.undefined(one, metric),
        same_rows=one.drawn == usual.drawn,
        remark=remark,
    )


def _published(model: str, columns: Sequence[Column], task: GuardTask) -> Row:
    """What the paper prints; its average is over this table's columns, or there is none where it
    lacks one of them: an average of some would stand beside ours of all."""
    printed = SCORES[model]
    cells = tuple(
        Cell(printed[one.name] / 100, rows=one.published_rows or one.rows, same_rows=False)
        if one.name in printed
        else Cell(None, note="not published", same_rows=False)
        for one in columns
    )
    known = {one.name: cell for one, cell in zip(columns, cells, strict=True) if cell.rows}
    if set(known) == {name for name in printed if BENCHMARKS[name].task is task}:
        value: float | None = AVERAGES[model][task.value] / 100
    else:
        value = _weighted(tuple(known.values()))
    note = ""
    if lacking := [one.name for one in columns if one.name not in known and not is_hard(one.name)]:
        value, note = None, f"not published: {', '.join(lacking)}"
    rows = sum(cell.rows for cell in known.values()) if value is not None else 0
    covers = tuple(known) if value is not None else ()
    average = Cell(value, rows=rows, covers=covers, same_rows=False, note=note)
    return Row(model, "published", "reason", None, cells, average)


def _weighted(cells: Sequence[Cell]) -> float | None:
    """Values weighted by rows; None without any."""
    rows = sum(cell.rows for cell in cells)
    return sum(cell.rows * (cell.value or 0.0) for cell in cells) / rows if rows else None
