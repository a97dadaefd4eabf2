"""What the tables of models are made of: cells, columns, rows, tables, and their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.schema import GuardTask
from pipelines.scoring.cells import Policy
from pipelines.scoring.resampling import Interval

RowKind = Literal["published", "baseline", "run"]
LOWER_IS_BETTER = ("false_positive_rate", "false_negative_rate")
METRIC_WORDS = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "false_positive_rate": "false-positive rate",
    "false_negative_rate": "false-negative rate",
}
TASK_WORDS = {
    GuardTask.PROMPT_HARMFULNESS: "Prompt harmfulness",
    GuardTask.RESPONSE_HARMFULNESS: "Response harmfulness",
    GuardTask.REFUSAL: "Refusal",
}
"""In the paper's order."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of a table, a fraction from 0 to 1; None where there is none, and `note` says why.

    `interval` is at 95%. `failure_rate` and `false_positive_rate` are None where they aren't
    known or, for the latter, where no row is negative. `best` marks the best of our runs in the
    column. `covers` names the benchmarks that an average is taken over, and is empty elsewhere.
    `same_rows` is False where other rows were asked than of most; published cells are always so.
    `remark` says what is to be held against the score, such as rows that were seen in training.
    """

    value: float | None
    interval: Interval | None = None
    rows: int = 0
    failure_rate: float | None = None
    false_positive_rate: float | None = None
    best: bool = False
    note: str = ""
    covers: tuple[str, ...] = ()
    same_rows: bool = True
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A benchmark or, in the table of averages, a task. `rows` are those that most were asked;
    `mixed` says that some were asked others. `one_sided` is `positive` or `negative` where all
    gold labels are the same. `counts` is False where no average covers it."""

    name: str
    title: str
    rows: int
    published_rows: int | None = None
    one_sided: str = ""
    mixed: bool = False
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A model. `evaluation` is its place among the evaluations that were given, None for one that
    wasn't; `cells` has one for each column; `average` weighs the benchmarks by rows.
    `false_alarms` is the false-positive rate over all negative rows of the table's benchmarks:
    it tells apart what F1 can't where a benchmark holds positive rows alone."""

    name: str
    kind: RowKind
    mode: str
    evaluation: int | None
    cells: tuple[Cell, ...]
    average: Cell
    false_alarms: Cell = Cell(None, note="not known")


@dataclass(frozen=True, slots=True)
class Table:
    """One table; `task` is None for that of the averages. `notes` are sentences. `comparable` is
    False where the averages of its rows are over different rows or benchmarks."""

    task: GuardTask | None
    title: str
    metric: str
    policy: Policy
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    comparable: bool = True

    @property
    def shows_false_alarms(self) -> bool:
        """Whether F1 alone would mislead: some benchmark holds positive rows alone."""
        return self.metric == "f1" and any(one.one_sided == "positive" for one in self.columns)


@dataclass(frozen=True, slots=True)
class ModelTables:
    """A table for each task that was asked about, that of the averages (None where there is but
    one task), and what holds for all."""

    tables: tuple[Table, ...]
    overall: Table | None
    notes: tuple[str, ...] = ()
