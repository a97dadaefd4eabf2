"""The tables of models for a paper: LaTeX with booktabs, a table for each task and the averages.

`\\usepackage{booktabs}` is all they need. The best of our models is bold in each column; 95%
intervals stand as subscripts, marks of what a reader must know as superscripts, and what they mean
below each table, with its notes. The widest table has seven columns of figures: on a narrow page
put it in `table*`, or turn it with `sidewaystable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipelines.comparing.model_tables import METRIC_WORDS, Cell, Column, ModelTables, Table
from pipelines.comparing.table_notes import POLICY_WORDS
from pipelines.reports.words import NONE, POLICY_SENTENCES, percent

OTHER_ROWS, FEWER, REMARKED, IN_NO_AVERAGE = r"\ast", r"\dagger", r"\ddagger", r"\S"
NOT_ASKED = "--"
# What the marks mean; that of a remark is the remark itself.
_MEANINGS = {
    OTHER_ROWS: "on other rows than most (in a head: of some models)",
    FEWER: "over fewer benchmarks than others",
    IN_NO_AVERAGE: "counts in no average",
}

# Symbols that LaTeX gives a meaning, and those that its text fonts lack.
_SYMBOLS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
}
_TO_ESCAPE = re.compile("[" + re.escape("".join(_SYMBOLS)) + "]")


def latex(tables: ModelTables) -> str:
    """All tables, one after the other, each with its notes and with those of all that concern it:
    a note on a benchmark stands where its column does, and with the averages."""
    every = [*tables.tables, *filter(None, [tables.overall])]
    names = {column.name for table in tables.tables for column in table.columns}
    parts = []
    for table in every:
        others = names - {column.name for column in table.columns} if table.task else set()
        elsewhere = tuple(f"{name}: " for name in others)
        said = POLICY_WORDS[table.policy]
        notes = [one for one in tables.notes if one != said and not one.startswith(elsewhere)]
        parts.append(_table(table, notes))
    return "% needs \\usepackage{booktabs}\n" + "\n".join(parts)


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    return _TO_ESCAPE.sub(lambda match: _SYMBOLS[match[0]], " ".join(text.split()))


def _table(table: Table, general: Sequence[str]) -> str:
    columns = len(table.columns) + 1
    heads = ["Model", *map(_head, table.columns), "Overall" if table.task is None else "Average"]
    rows: list[str] = []
    last = ""
    for row, marks in zip(table.rows, _marks(table), strict=True):
        if last and row.kind != last:
            rows.append(r"\midrule")
        last = row.kind
        cells = map(_cell, (*row.cells, row.average), marks)
        # After the end of a line `[` would begin a length, and `*` is an option.
        rows.append(" & ".join(["{}" + escaped(row.name), *cells]) + r" \\")
    name = table.task.value.partition("_")[0] if table.task else "averages"
    body = "\n".join([" & ".join(heads) + r" \\", r"\midrule", *rows])
    notes = [*_legend(table, body), *map(escaped, [*table.notes, *general])]
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering\small",
            rf"\caption{{{_caption(table)}}}",
            rf"\label{{tab:{name}}}",
            r"\setlength{\tabcolsep}{4pt}",
            rf"\begin{{tabular}}{{l{'r' * columns}}}",
            r"\toprule",
            body,
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip", r"{\footnotesize\raggedright", *notes, r"\par}"] * bool(notes)),
            r"\end{table}",
            "",
        ]
    )


def _caption(table: Table) -> str:
    said = [
        f"{escaped(table.title)}: {METRIC_WORDS[table.metric]} in percent, 95\\% intervals as "
        "subscripts, rows in brackets.",
        escaped(POLICY_SENTENCES[table.policy]),
    ]
    if any(cell.best for row in table.rows for cell in (*row.cells, row.average)):
        said.append("The best of our models is bold.")
    if any(row.kind == "published" for row in table.rows):
        said.append("The models of the first group are as published, on the paper's own rows.")
    return " ".join(said)


def _head(column: Column) -> str:
    rows = f" ({column.rows:,})" if column.rows else ""
    marks = OTHER_ROWS * column.mixed + IN_NO_AVERAGE * (not column.counts)
    return escaped(column.title) + rows + (f"$^{{{marks}}}$" if marks else "")


def _marks(table: Table) -> Iterator[list[str]]:
    """The marks of each row's cells and average. Published ones have none: the caption says it."""
    ours = [(*row.cells, row.average) for row in table.rows if row.kind != "published"]
    covered = [
        {name for cell in cells for name in cell.covers} for cells in zip(*ours, strict=True)
    ]
    for row in table.rows:
        cells = (*row.cells, row.average)
        if row.kind == "published":
            yield [""] * len(cells)
            continue
        yield [
            OTHER_ROWS * (not cell.same_rows)
            + FEWER * bool(cell.covers and set(cell.covers) < most)
            + REMARKED * bool(cell.remark)
            for cell, most in zip(cells, covered, strict=True)
        ]


def _legend(table: Table, body: str) -> Iterator[str]:
    """What the marks of a table mean, and what else its cells can't show."""
    for mark, meaning in _MEANINGS.items():
        if mark in body:
            yield f"${mark}$ {meaning}."
    titles = [*(column.title for column in table.columns), "average"]
    remarks: dict[str, list[str]] = {}
    failed = []
    for row in table.rows:
        for title, cell in zip(titles, (*row.cells, row.average), strict=True):
            if cell.value is not None and cell.remark:
                remarks.setdefault(cell.remark, []).append(f"{row.name} ({title})")
        if row.average.failure_rate:
            failed.append(f"{row.name} {percent(row.average.failure_rate)}")
    for remark, places in remarks.items():
        yield f"${REMARKED}$ {escaped(', '.join(places))}: {escaped(remark)}."
    if failed:
        yield f"Percent of rows without a verdict: {escaped(', '.join(failed))}."
    if f"& {NOT_ASKED}" in body:
        yield f"{NOT_ASKED}: not asked."
    if f"& {NONE}" in body:
        yield f"{NONE}: has no value."


def _cell(cell: Cell, marks: str) -> str:
    """The figure; as elsewhere, what was not asked is told from what has no value."""
    if cell.value is None:
        return NOT_ASKED if cell.note == "not asked" else NONE
    figure = percent(cell.value)
    figure = rf"\mathbf{{{figure}}}" if cell.best else figure
    above = f"^{{{marks}}}" if marks else ""
    if cell.interval is None:
        return f"${figure}{above}$"
    low, high = map(percent, cell.interval)
    return f"${figure}_{{[{low},\\,{high}]}}{above}$"
