"""Of a report: what was asked of whom, and whether it met its gates."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.gates import SIGNS, WORDS
from pipelines.reports.blocks import Cell, Grid, Paragraph, Section
from pipelines.reports.claims import TRAINED_ON
from pipelines.reports.figures import Figures, task_words
from pipelines.reports.words import KINDS, MODES, NONE, said_of


def gates(found: Figures) -> Iterator[Section]:
    if not found.gates:
        return
    rows = tuple(
        (
            Cell(f"{SIGNS[one.state]} {WORDS[one.state]}", strong=not one.passed),
            Cell(one.subject),
            Cell(one.text),
            Cell(one.words.partition(": ")[2]),
        )
        for one in found.gates
    )
    missed = sum(not one.passed for one in found.gates)
    said = f"{missed} of {len(rows)} missed." if missed else f"All {len(rows)} are met."
    note = (
        "The figure itself decides; where its interval lies on both sides "
        "of the line, chance may have."
    )
    head = ("Gate", "Subject", "Criterion", "Came to")
    grid = Grid("Gates", head, rows, frozenset({1, 2, 3}))
    yield Section("Gates", (Paragraph(f"{said} {note}"), grid))


def subjects(found: Figures) -> Iterator[Section]:
    rows = []
    for one in found.subjects:
        info = one.evaluation.info
        asked = MODES[info.mode]
        if info.reading == "authors":
            asked += ", read by the authors' rule"
        if told := said_of(info.sampling):
            asked += f" ({told})"
        made = f"{info.created_at:%Y-%m-%d}" + (f", job {info.job}" if info.job else "")
        without = "none" if info.kind in ("base", "baseline") else "not recorded"
        remarked = (remark for remark in info.remarks if remark.startswith(TRAINED_ON))
        training = said_of(info.training) or next(remarked, without)
        rows.append(
            tuple(map(Cell, (one.name, KINDS[info.kind], asked, f"{info.rows:,}", training, made)))
        )
    head = ("Subject", "Kind", "How it was asked", "Rows", "Training", "When")
    grid = Grid("Subjects", head, tuple(rows), frozenset({1, 2, 4, 5}))
    yield Section("Subjects, and how they were asked", (grid, _asked(found)))


def _asked(found: Figures) -> Grid:
    """Which rows of each benchmark; told apart where subjects were asked different ones."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for one in found.subjects:
        for part in one.evaluation.info.benchmarks:
            drawn = f"{part.sample:,} drawn, seed {part.seed}" if part.sample else "all"
            paper = f"{part.published_rows:,}" if part.published_rows else NONE
            sizes = (f"{part.rows:,}", f"{part.of_rows:,}", paper, drawn)
            key = (part.name, task_words(part.task), *sizes, "; ".join(part.remarks))
            rows.setdefault(key, []).append(one.name)
    everybody = len(found.subjects)
    head = ("Benchmark", "Task", "Rows", "Of", "In the paper", "Sample", "Remarks", "Asked of")
    return Grid(
        "Benchmarks",
        head,
        tuple(
            (*map(Cell, key), Cell("all" if len(names) == everybody else ", ".join(names)))
            for key, names in rows.items()
        ),
        frozenset({1, 5, 6, 7}),
    )
