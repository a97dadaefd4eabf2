"""A report's sections: figures in, tables and sentences out, the same for every form."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.comparing.model_tables import Cell as ModelCell
from pipelines.comparing.model_tables import Table
from pipelines.published import SOURCE
from pipelines.reports import details, subjects
from pipelines.reports.blocks import Block, Bullets, Cell, Document, Grid, Paragraph, Section
from pipelines.reports.figures import Figures, task_words
from pipelines.reports.words import (
    NONE,
    POLICY_SENTENCES,
    POLICY_TITLES,
    between,
    chance,
    percent,
)

SENTENCES = 8
"""With more comparisons than this only those with the smallest p-values are put in words."""


def document(found: Figures) -> Document:
    """The report as sections, in reading order."""
    names = [one.name for one in found.subjects]
    lead = (
        f"{len(names)} evaluated: {', '.join(names)}.",
        "Figures are in percent; in brackets stand 95% intervals, from resampling whole prompts. "
        f"F1 is of the positive class (harmful, refusal). {POLICY_SENTENCES[found.policy]}",
    )
    sections = [
        *subjects.gates(found),
        *_tables(found),
        *_wins(found),
        *_comparisons(found),
        *subjects.subjects(found),
        *details.policies(found),
        *details.benchmarks(found),
        *details.categories(found),
        *details.calibration(found),
        *details.contamination(found),
        *details.mistakes(found),
    ]
    return Document("Evaluation of guard models", lead, tuple(sections))


def _tables(found: Figures) -> Iterator[Section]:
    every = (*found.tables.tables, *filter(None, [found.tables.overall]))
    for table in every:
        blocks: list[Block] = [table_grid(table)]
        if table.notes:
            blocks.append(Bullets(table.notes))
        yield Section(table.title, tuple(blocks))
    if found.tables.notes:
        notes = (f"What is marked as published is as printed in {SOURCE}.", *found.tables.notes)
        yield Section("Notes to the tables", (Bullets(notes),), 3)


def table_grid(table: Table) -> Grid:
    """Models by benchmarks: F1 with its interval, and below it the false-positive rate."""
    rows, groups, last = [], set(), ""
    for number, row in enumerate(table.rows):
        if last and row.kind != last:
            groups.add(number)
        last = row.kind
        label = Cell(row.name, ("as published",) if row.kind == "published" else ())
        rows.append((label, *map(_figure, row.cells), _figure(row.average)))
    titles = [
        f"{one.title} ({one.rows:,}{'*' if one.mixed else ''})" if one.rows else one.title
        for one in table.columns
    ]
    average = "Overall" if table.task is None else "Average"
    caption = f"{table.title}: F1, {POLICY_TITLES[table.policy]}"
    if table.task is not None:
        caption += "; FPR is the false-positive rate"
    return Grid(caption, ("Model", *titles, average), tuple(rows), groups=frozenset(groups))


def _figure(cell: ModelCell) -> Cell:
    if cell.value is None:
        return Cell("–" if cell.note == "not asked" else NONE, hint=cell.note)  # noqa: RUF001
    small = between(cell.interval)
    if cell.false_positive_rate is not None:
        small += (f"FPR {percent(cell.false_positive_rate)}",)
    if cell.failure_rate:
        small += (f"no verdict {percent(cell.failure_rate)}",)
    return Cell(percent(cell.value), small, cell.best)


def _wins(found: Figures) -> Iterator[Section]:
    if found.baseline_wins:
        note = Paragraph(
            "What reads words alone, or says the same of everything, is no moderator: where it is "
            "as good, the benchmark doesn't tell moderators from it. A bag of words that learned "
            "from rows of a benchmark itself knows that benchmark: see what was seen in training."
        )
        yield Section("Where a baseline wins", (Bullets(found.baseline_wins), note))


def _comparisons(found: Figures) -> Iterator[Section]:
    if not found.reference:
        return
    first = ("Subject", "Benchmark", found.reference, "Subject's", "Difference")
    head = (*first, "Only it is right", "Only the reference is", "p", "p (Holm)")
    rows = [
        (
            Cell(one.subject),
            Cell(one.benchmark, () if one.paired.metric == "f1" else (one.paired.metric,)),
            Cell(percent(one.paired.a)),
            Cell(percent(one.paired.b)),
            Cell(percent(one.paired.difference, True), between(one.paired.interval, True)),
            Cell(f"{one.paired.only_b_right:,}"),
            Cell(f"{one.paired.only_a_right:,}"),
            Cell(chance(one.paired.p_value)),
            Cell(chance(one.adjusted), strong=one.adjusted < 0.05),
        )
        for one in found.compared
    ]
    said = sorted(found.compared, key=lambda one: one.adjusted)
    words = [f"{one.benchmark}: {one.words}" for one in said[:SENTENCES]]
    if len(said) > SENTENCES:
        words.append(f"{len(said) - SENTENCES} more with larger p-values stand in the table alone.")
    blocks: list[Block] = [
        Paragraph(
            f"Everybody against {found.reference} on the rows that both were asked: F1, and of "
            "hard samples, which count in none of the averages below, the accuracy. p is "
            "McNemar's exact test; Holm's correction holds for all rows of this table together. "
            "Baselines that say the same of everything are left out here."
        ),
        Grid("Benchmark by benchmark", head, tuple(rows), frozenset({1})),
        Bullets(tuple(words)),
        Grid(
            "Averages against the reference, on the rows of both",
            ("Subject", "Average", "Difference", "Rows"),
            tuple(
                (
                    Cell(one.subject),
                    Cell(task_words(one.average.task)),
                    Cell(percent(one.average.value, True), between(one.average.interval, True)),
                    Cell(f"{one.average.rows:,}"),
                )
                for one in found.shifts
            ),
            frozenset({1}),
        ),
    ]
    if found.not_compared:
        blocks += [Paragraph("Not compared:"), Bullets(found.not_compared)]
    yield Section(f"Against {found.reference}", tuple(blocks))
