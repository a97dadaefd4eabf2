"""Of a report: failures, every figure of every benchmark, probabilities, and examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pipelines.comparing.measuring import Measured
from pipelines.metrics import Spent, by, label_f1, scores
from pipelines.reports.blocks import (
    Block,
    Bullets,
    Cell,
    Example,
    Examples,
    Grid,
    Paragraph,
    Section,
)
from pipelines.reports.figures import MISTAKES, Figures, Mistake
from pipelines.reports.words import NONE, POLICY_SENTENCES, POLICY_TITLES, between, counted, percent
from pipelines.schema import GuardTask
from pipelines.scoring.cells import Counts, Policy


def policies(found: Figures) -> Iterator[Section]:
    rows = []
    for one in found.subjects:
        parts = one.scored[Policy.WRONG_ONCE].benchmarks
        failed = sum(part.counts.failures for part in parts.values())
        averages = [one.scored[policy].average(None) for policy in Policy]
        figures = [average.value if average else None for average in averages]
        total = sum(part.scores.rows for part in parts.values())
        rows.append(_policy_row(one.name, "overall", figures, failed, total))
        for name, part in parts.items():
            if part.counts.failures:
                figures = [one.scored[p].benchmarks[name].scores.f1 for p in Policy]
                rows.append(
                    _policy_row(one.name, name, figures, part.counts.failures, part.scores.rows)
                )
    head = ("Subject", "Benchmark", *POLICY_TITLES.values(), "No verdict", "Rows")
    blocks = (
        Paragraph("F1 under each of the three. Where every row has a verdict they are the same."),
        Bullets(tuple(f"{POLICY_TITLES[one]}: {POLICY_SENTENCES[one]}" for one in Policy)),
        Grid("F1 by what a row without a verdict counts", head, tuple(rows), frozenset({1})),
    )
    yield Section("Rows without a verdict", blocks)


def _policy_row(
    name: str, benchmark: str, figures: Iterable[float | None], failed: int, rows: int
) -> tuple[Cell, ...]:
    share = Cell(f"{percent(failed / rows if rows else None)}", (counted(failed),))
    texts = [Cell(name), Cell(benchmark), *(Cell(percent(one)) for one in figures)]
    return (*texts, share, Cell(f"{rows:,}"))


CATEGORIES = 20
"""The largest of a benchmark's categories that are shown."""
SHOWN = {
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced",
    "false_positive_rate": "FPR",
    "false_negative_rate": "FNR",
}


def benchmarks(found: Figures) -> Iterator[Section]:
    names = dict.fromkeys(
        name for one in found.subjects for name in one.scored[found.policy].benchmarks
    )
    if not names:
        return
    words = Paragraph("Balanced is balanced accuracy; FPR and FNR are the two rates of error.")
    yield Section("Every figure", (words,))
    head = ("Subject", *SHOWN.values(), "F1 of the other label", "No verdict")
    head = (*head, "Seconds a row", "Tokens a row")
    for name in names:
        rows = tuple(
            (
                Cell(one.name),
                *_metrics(part),
                Cell(percent(label_f1(part.counts, found.policy, part.task)[1])),
                Cell(percent(part.scores.failure_rate), (counted(part.counts.failures),)),
                Cell(_taken(one.seconds.get(name))),
                Cell(_taken(one.tokens.get(name))),
            )
            for one in found.subjects
            if (part := one.scored[found.policy].benchmarks.get(name))
        )
        yield Section(name, (Grid(f"{name}, every figure", head, rows),), 3)


def _metrics(part: Measured) -> Iterator[Cell]:
    for name in SHOWN:
        yield Cell(percent(part.value(name)), between(part.intervals.get(name)))


def _taken(spent: Spent | None) -> str:
    """The mean, with two digits where it is below 10."""
    if spent is None:
        return NONE
    return f"{spent.mean:.2g}" if spent.mean < 10 else f"{spent.mean:,.0f}"


def categories(found: Figures) -> Iterator[Section]:
    """F1 and accuracy by category, where a benchmark's rows have several."""
    held = [(one.name, one.evaluation.columns()) for one in found.subjects]
    policy = found.policy
    for name in dict.fromkeys(name for _, columns in held for name in columns):
        counts = {
            subject: by(one.category, one.gold, one.predicted)
            for subject, columns in held
            if (one := columns.get(name)) is not None and len(one)
        }
        task = next(columns[name].task for _, columns in held if name in columns)
        rows = Counter[str]()
        for parts in counts.values():
            for category, part in parts.items():
                rows[category] = max(rows[category], part.rows)
        if len(rows) < 2:
            continue
        grid = Grid(
            f"{name} by category: F1, and the accuracy below it",
            ("Category", "Rows", *counts),
            tuple(
                (
                    Cell(category or "(none)"),
                    Cell(f"{rows[category]:,}"),
                    *(_category(parts.get(category), policy, task) for parts in counts.values()),
                )
                for category, _ in rows.most_common(CATEGORIES)
            ),
        )
        blocks: list[Block] = [grid]
        if len(rows) > CATEGORIES:
            blocks.append(Paragraph(f"{len(rows) - CATEGORIES} smaller categories are left out."))
        yield Section(f"{name} by category", tuple(blocks), 3)


def _category(counts: Counts | None, policy: Policy, task: GuardTask) -> Cell:
    if counts is None:
        return Cell(NONE, hint="not asked")
    found = scores(counts, policy, task)
    return Cell(percent(found.f1), (f"accuracy {percent(found.accuracy)}",))


def calibration(found: Figures) -> Iterator[Section]:
    if not found.calibrated:
        return
    head = ("Subject", "Benchmark", "Rows", "Calibration error", "Brier", "ROC area", "PR area")
    rows = tuple(
        (
            Cell(one.subject),
            Cell(one.benchmark),
            Cell(f"{one.rows:,}", (f"of {one.of_rows:,}",) if one.rows < one.of_rows else ()),
            Cell(percent(one.calibration_error)),
            Cell(_third(one.brier)),
            Cell(_third(one.roc_area)),
            Cell(_third(one.precision_recall_area), (f"chance {one.positives:.3f}",)),
        )
        for one in found.calibrated
    )
    note = Paragraph(
        "Of the rows with a probability alone. The calibration error is the mean distance, in "
        "percent, of a bin's probability from its share of positive rows (15 bins). Areas need "
        "rows of both classes; a ROC area of 0.5 is chance."
    )
    yield Section(
        "Probabilities", (note, Grid("Calibration and ranking", head, rows, frozenset({1})))
    )


def _third(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def contamination(found: Figures) -> Iterator[Section]:
    if found.contamination:
        yield Section("What was seen in training", (Bullets(found.contamination),))


def mistakes(found: Figures) -> Iterator[Section]:
    if not found.mistakes:
        return
    note = "A few of each kind, not the worst: the first of each benchmark. Some texts are harmful."
    yield Section("Examples of mistakes", (Paragraph(note),))
    for kind, title in MISTAKES.items():
        chosen = tuple(_example(one) for one in found.mistakes if one.kind == kind)
        if chosen:
            yield Section(title, (Examples(chosen),), 3)


def _example(one: Mistake) -> Example:
    row = one.row
    said = row.predicted or f"no verdict ({row.error})"
    place = f"{row.benchmark}, row {row.row_id}" + (f", {row.category}" if row.category else "")
    texts = [("Prompt", row.prompt)]
    if row.response is not None:
        texts.append(("Response", row.response))
    if row.raw:
        texts.append(("Answer", row.raw))
    return Example(f"{one.subject}: {place}: gold {row.gold}, said {said}", tuple(texts))
