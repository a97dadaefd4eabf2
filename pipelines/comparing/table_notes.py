"""What a reader must know before comparing models in a table, as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.comparing.measuring import Measured
from pipelines.comparing.table_parts import LOWER_IS_BETTER, METRIC_WORDS, Column, Row
from pipelines.evaluations import BenchmarkInfo, Evaluation
from pipelines.scoring.cells import Policy

POLICY_WORDS = {
    Policy.WRONG_ONCE: "A row without a verdict counts as one wrong verdict.",
    Policy.AUTHORS: "As in the paper's script: a row without a verdict is dropped where its label "
    "is harmful, and counts as two wrong verdicts elsewhere.",
    Policy.DROPPED: "Rows without a verdict are left out, so a model that often fails looks "
    "better than it is: look at the failure rates.",
}
MOST_NAMES = 4


def general(evaluations: Sequence[Evaluation], metric: str, policy: Policy) -> tuple[str, ...]:
    """What holds for all tables: the policy, what is published, what the evaluations remark."""
    notes = [POLICY_WORDS[policy]]
    if metric == "f1":
        if policy is not Policy.AUTHORS:
            notes.append("The paper's own scores follow its script's policy for such rows.")
    else:
        notes.append("The paper publishes F1 alone, so its models have no row here.")
    if any(b.rows < b.of_rows for one in evaluations for b in one.info.benchmarks):
        notes.append(
            "Averages of samples are weighted by the benchmarks' whole rows, so they estimate "
            "those of the whole benchmarks."
        )
    for one in evaluations:
        of_benchmarks = tuple(f"{name}: " for name in remarks_by_benchmark(one))
        notes += [
            f"{one.info.name}: {remark}"
            for remark in one.info.remarks
            if not remark.startswith(of_benchmarks)
        ]
        notes += [
            f"{b.name}: {remark}"
            for b in one.info.benchmarks
            for remark in b.remarks
            if not _tells_of_rows(b, remark)
        ]
    return tuple(dict.fromkeys(notes))


def _tells_of_rows(one: BenchmarkInfo, remark: str) -> bool:
    """Whether a remark says what `_counted` says beside the table."""
    paper = one.published_rows
    return paper is not None and paper != one.rows and f"{paper:,}" in remark


def remarks_by_benchmark(evaluation: Evaluation) -> Mapping[str, str]:
    """Benchmark -> what the evaluation remarks of its own score there."""
    found: dict[str, str] = {}
    for one in evaluation.info.benchmarks:
        start = f"{one.name}: "
        told = [
            text.removeprefix(start) for text in evaluation.info.remarks if text.startswith(start)
        ]
        if told:
            found[one.name] = "; ".join(told)
    return found


def of_table(
    columns: Sequence[Column], rows: Sequence[Row], metric: str
) -> tuple[tuple[str, ...], bool]:
    """The notes of a table, and whether the averages of its rows can be compared."""
    ours = [row for row in rows if row.kind == "run"]
    every = {name for row in ours for name in row.average.covers}
    notes = [told for row in rows if (told := _other_rows(columns, row))]
    notes += [
        f"The average of {row.name} covers {len(row.average.covers)} of {len(every)} benchmarks."
        for row in ours
        if set(row.average.covers) != every
    ]
    comparable = not notes
    if not comparable:
        notes.append("Averages over other rows or benchmarks can't be compared with the rest.")
    notes += [f"{told}." for one in columns if (told := _counted(one))]
    notes += [
        f"{one.title} is in no average: hard samples are training rows, and hard for one model."
        for one in columns
        if not one.counts
    ]
    notes += _one_sided(columns)
    return (*notes, *_beaten(columns, rows, metric)), comparable


def _other_rows(columns: Sequence[Column], row: Row) -> str:
    """Where a row of ours was asked other rows than most."""
    if row.kind == "published":
        return ""
    told = [
        f"{column.title} {cell.rows:,} (others {column.rows:,})"
        for column, cell in zip(columns, row.cells, strict=True)
        if not cell.same_rows
    ]
    return f"{row.name} was asked other rows than most: {', '.join(told)}." if told else ""


def _counted(column: Column) -> str:
    """Rows against those that the paper counts, where both are known and differ."""
    if not column.rows or not column.published_rows or column.rows == column.published_rows:
        return ""
    return (
        f"{column.title} has {column.rows:,} rows here; the paper counts {column.published_rows:,}"
    )


def _one_sided(columns: Sequence[Column]) -> list[str]:
    """What a benchmark of one class alone can't tell."""
    notes = []
    for side, told in (
        ("positive", "a model that always says the positive class scores 100% F1 there"),
        ("negative", "F1 and recall are undefined there"),
    ):
        names = [one.title for one in columns if one.one_sided == side]
        if names:
            verb = "holds" if len(names) == 1 else "hold"
            notes.append(f"{_names(names)} {verb} {side} rows alone: {told}.")
    return notes


def _beaten(columns: Sequence[Column], rows: Sequence[Row], metric: str) -> list[str]:
    """Where a baseline does at least as well as every run: those columns show no skill."""
    notes, lower = [], metric in LOWER_IS_BETTER
    for n, column in enumerate(columns):
        values: dict[str, list[tuple[float, str]]] = {"run": [], "baseline": []}
        for row in rows:
            value = row.cells[n].value
            if row.kind in values and value is not None:
                values[row.kind].append((-value if lower else value, row.name))
        # Of a benchmark with one class, or a rate of one kind of error, a constant is the best.
        if column.one_sided or lower or not values["run"] or not values["baseline"]:
            continue
        (best, name), (ours, _) = max(values["baseline"]), max(values["run"])
        if best >= ours:
            score = METRIC_WORDS[metric]
            notes.append(
                f"{column.title}: the baseline {name} reaches {score} {100 * best:.1f}, "
                f"no run more than {100 * ours:.1f}."
            )
    return notes


def undefined(one: Measured, metric: str) -> str:
    """Why a benchmark has no value of a metric."""
    if one.one_sided == "negative" and metric in ("f1", "recall", "false_negative_rate"):
        return "no positive row"
    if one.one_sided and metric in ("false_positive_rate", "balanced_accuracy"):
        return f"only {one.one_sided} rows"
    if one.counts.failures == one.counts.rows:
        return "no verdict at all"
    return "undefined: no positive verdict" if metric == "precision" else "undefined"


def _names(names: Sequence[str]) -> str:
    """`a, b and c`, or the first few and how many more."""
    if len(names) > MOST_NAMES:
        return f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
