"""The averages of the tables of models, the table that they make, and the best of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines.comparing.measuring import Scored
from pipelines.comparing.table_parts import LOWER_IS_BETTER, Cell, Column, Row, RowKind, Table
from pipelines.published import AVERAGES, SCORES
from pipelines.schema import GuardTask
from pipelines.scoring.cells import Policy

REMARKED = "not all of these scores can be trusted"


def average_of(scored: Scored, task: GuardTask | None, cells: Sequence[Cell]) -> Cell:
    """The average of a task, or of the tasks; failures are those of all rows of the cells."""
    told = scored.average(task)
    if told is None or told.value is None:
        return Cell(None, note="nothing to average")
    known = [(one.rows, one.failure_rate) for one in cells if one.failure_rate is not None]
    failed = sum(rows * rate for rows, rate in known) / max(1, sum(rows for rows, _ in known))
    same = all(one.same_rows for one in cells)
    remarked = any(one.remark for one in cells)
    return Cell(
        told.value,
        told.interval,
        told.rows,
        failed,
        covers=told.benchmarks,
        same_rows=same,
        remark=REMARKED if remarked else "",
    )


def with_best(rows: Sequence[Row], metric: str) -> list[Row]:
    """The rows with the best of our runs marked in each column, where there are several.

    Only those that were asked the same rows as most compete; averages only where they cover as
    many benchmarks as any.
    """
    runs = [row for row in rows if row.kind == "run"]
    if len(runs) < 2:
        return list(rows)
    better = min if metric in LOWER_IS_BETTER else max
    most = max(len(row.average.covers) for row in runs)

    def best(cells: Sequence[Cell]) -> float | None:
        known = [one.value for one in cells if one.value is not None and one.same_rows]
        return better(known) if len(known) > 1 else None

    tops = [best([row.cells[n] for row in runs]) for n in range(len(runs[0].cells))]
    top = best([row.average for row in runs if len(row.average.covers) == most])

    def marked(cell: Cell, highest: float | None) -> Cell:
        is_best = highest is not None and cell.same_rows and cell.value == highest
        return replace(cell, best=is_best)

    return [
        row
        if row.kind != "run"
        else replace(
            row,
            cells=tuple(marked(cell, tops[n]) for n, cell in enumerate(row.cells)),
            average=marked(row.average, top if len(row.average.covers) == most else None),
        )
        for row in rows
    ]


def overall(
    tables: Sequence[Table],
    scored: Mapping[tuple[RowKind, str], Scored],
    metric: str,
    policy: Policy,
) -> Table:
    """A column for each task, and all rows of all tasks together."""
    columns = tuple(
        Column(
            table.task or "",
            table.title,
            sum(one.rows for one in table.columns if one.counts),
            mixed=any(one.mixed for one in table.columns),
        )
        for table in tables
    )
    # A run may be called like a published model.
    by_name: dict[tuple[RowKind, str], list[Row | None]] = {}
    for place, table in enumerate(tables):
        for row in table.rows:
            by_name.setdefault((row.kind, row.name), [None] * len(tables))[place] = row
    rows = []
    for (kind, name), parts in by_name.items():
        first = next(row for row in parts if row is not None)
        cells = tuple(row.average if row else Cell(None, note="not asked") for row in parts)
        if kind == "published" and all(cell.value is None for cell in cells):
            continue  # a row of dashes would tell nothing
        if kind == "published":
            average = _published_overall(name, cells)
        else:
            average = average_of(scored[kind, name], None, cells)
        alarms = Cell(None, note="told by task")
        rows.append(replace(first, cells=cells, average=average, false_alarms=alarms))
    kinds = ("published", "baseline", "run")
    rows.sort(key=lambda row: (kinds.index(row.kind), row.evaluation or 0))
    comparable = all(table.comparable for table in tables)
    marked = tuple(with_best(rows, metric))
    return Table(None, "Averages", metric, policy, columns, marked, (), comparable)


def _published_overall(model: str, cells: Sequence[Cell]) -> Cell:
    """The mean of the tasks' averages, as the paper takes it."""
    covers = tuple(name for cell in cells for name in cell.covers)
    known = [cell.value for cell in cells if cell.value is not None]
    # Of some of the tasks it would stand beside ours of all.
    value = sum(known) / len(known) if known and len(known) == len(cells) else None
    if set(covers) == set(SCORES[model]):
        value = AVERAGES[model]["overall"] / 100
    return Cell(value, rows=sum(cell.rows for cell in cells), covers=covers, same_rows=False)
