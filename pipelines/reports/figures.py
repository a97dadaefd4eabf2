"""What a report says of evaluations, gathered once as data; the forms only lay it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.comparing.measuring import CONSTANT, Scored, measured, opened, weights_of
from pipelines.comparing.model_tables import ModelTables, model_tables, unique_names
from pipelines.evaluations import Columns, Evaluation, Prediction
from pipelines.gates import GateResult, is_hard
from pipelines.metrics import Spent, spent
from pipelines.reports.claims import baseline_wins, contamination
from pipelines.schema import GuardTask, InputError
from pipelines.scoring.averages import Average
from pipelines.scoring.calibration import (
    brier,
    expected_calibration_error,
    known,
    precision_recall,
    roc,
)
from pipelines.scoring.cells import Policy
from pipelines.scoring.significance import (
    Paired,
    average_differences,
    compare_columns,
    holm,
    in_words,
)

MistakeKind = Literal["missed", "false_alarm", "no_verdict"]
MISTAKES: dict[MistakeKind, str] = {
    "missed": "Missed: the positive class was not seen",
    "false_alarm": "False alarm: the positive class was seen where it is not",
    "no_verdict": "No verdict",
}
EXAMPLES = 3
"""So many of each kind of mistake a subject, from as many benchmarks as there are."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A subject against the reference on one benchmark; `adjusted` is Holm's p over all of them."""

    subject: str
    benchmark: str
    paired: Paired
    adjusted: float
    words: str


@dataclass(frozen=True, slots=True)
class Shift:
    """A subject's average less the reference's, on the rows of both; None where it has none."""

    subject: str
    average: Average


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Whether probabilities of a subject mean what they say: fractions; None where undefined."""

    subject: str
    benchmark: str
    rows: int
    of_rows: int
    calibration_error: float | None
    brier: float | None
    roc_area: float | None
    precision_recall_area: float | None
    positives: float


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row that a subject got wrong."""

    subject: str
    kind: MistakeKind
    row: Prediction


@dataclass(frozen=True, slots=True)
class Asked:
    """One evaluation with what it came to under each policy, and what its verdicts took."""

    name: str
    evaluation: Evaluation
    scored: dict[Policy, Scored]
    seconds: dict[str, Spent | None]
    tokens: dict[str, Spent | None]


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything a report says. `reference` is the subject that the others are compared with,
    empty where there is none."""

    policy: Policy
    subjects: tuple[Asked, ...]
    tables: ModelTables
    reference: str
    compared: tuple[Compared, ...]
    not_compared: tuple[str, ...]
    shifts: tuple[Shift, ...]
    calibrated: tuple[Calibrated, ...]
    mistakes: tuple[Mistake, ...]
    contamination: tuple[str, ...]
    baseline_wins: tuple[str, ...]
    gates: tuple[GateResult, ...]


def figures(
    evaluations: Sequence[Evaluation],
    policy: Policy = Policy.WRONG_ONCE,
    compare_with: int | None = None,
    gates: Sequence[GateResult] = (),
    examples: int = EXAMPLES,
) -> Figures:
    """Gathers all of it, with so many examples of each kind of mistake a subject.

    `compare_with` is the reference's place; without one it is the first that is no baseline.
    Raises InputError where there is no evaluation, or none at that place.
    """
    if not evaluations:
        raise InputError("evaluations: must be at least one")
    # Columns are kept there once they are read.
    evaluations = [opened(one.folder) for one in evaluations]
    names = unique_names(evaluations)
    reference = reference_of(evaluations, compare_with)
    compared, shifts, apart = _against(evaluations, names, reference, policy)
    tables = tables_of(evaluations, policy)
    return Figures(
        policy=policy,
        subjects=tuple(map(_asked, names, evaluations)),
        tables=tables,
        reference=names[reference] if compared or apart else "",
        compared=compared,
        not_compared=apart,
        shifts=shifts,
        calibrated=tuple(_calibrated(evaluations, names)),
        mistakes=tuple(
            mistake
            for name, one in zip(names, evaluations, strict=True)
            if one.info.kind != "baseline"
            for mistake in mistakes_of(name, one, examples)
        ),
        contamination=contamination(evaluations, names),
        baseline_wins=baseline_wins(tables, evaluations),
        gates=tuple(gates),
    )


def reference_of(evaluations: Sequence[Evaluation], compare_with: int | None) -> int:
    """The place of the evaluation that the others are compared with. Raises InputError."""
    if compare_with is None:
        runs = [n for n, one in enumerate(evaluations) if one.info.kind != "baseline"]
        return runs[0] if runs else 0
    if not 0 <= compare_with < len(evaluations):
        raise InputError(
            f"reference={compare_with + 1}: must be from 1 to {len(evaluations)}, the place of an "
            "evaluation"
        )
    return compare_with


def tables_of(evaluations: Sequence[Evaluation], policy: Policy) -> ModelTables:
    """The tables of F1; the constant baselines are added where they aren't among what is given."""
    held = any(one.info.reference in CONSTANT for one in evaluations)
    return model_tables(evaluations, "f1", policy, baselines=not held)


def _asked(name: str, evaluation: Evaluation) -> Asked:
    columns = evaluation.columns()
    return Asked(
        name,
        evaluation,
        {policy: measured(evaluation, policy) for policy in Policy},
        {key: spent(one.seconds) for key, one in columns.items()},
        {key: spent(one.tokens) for key, one in columns.items()},
    )


def _against(
    evaluations: Sequence[Evaluation], names: Sequence[str], reference: int, policy: Policy
) -> tuple[tuple[Compared, ...], tuple[Shift, ...], tuple[str, ...]]:
    """Every other subject against the reference: benchmark by benchmark, their averages, and what
    could not be compared."""
    base, weights = evaluations[reference].columns(), weights_of(evaluations[reference].info)
    pairs: list[tuple[str, str, Paired]] = []
    shifts: list[Shift] = []
    apart: list[str] = []
    for n, one in enumerate(evaluations):
        # A constant is in every table; tests against it would only cost the others their power.
        if n == reference or (one.info.kind == "baseline" and one.info.reference in CONSTANT):
            continue
        ours, fitting = one.columns(), []
        for name in base:
            if name not in ours:
                apart.append(f"{names[n]}, {name}: was not asked it.")
                continue
            try:
                # Hard samples are about how many of them are right now, whatever the class.
                metric = "accuracy" if is_hard(name) else "f1"
                paired = compare_columns(base[name], ours[name], metric=metric, policy=policy)
                pairs.append((names[n], name, paired))
                if not is_hard(name):
                    fitting.append(name)
            except InputError as error:
                apart.append(f"{names[n]}, {name}: {error}.")
        averages = average_differences(
            {name: base[name] for name in fitting},
            {name: ours[name] for name in fitting},
            policy,
            weights=weights,
        )
        shifts += [Shift(names[n], average) for average in averages]
    adjusted = holm([paired.p_value for _, _, paired in pairs])
    return (
        tuple(
            Compared(
                subject,
                benchmark,
                paired,
                p,
                in_words(paired, names[reference], subject, p, len(pairs)),
            )
            for (subject, benchmark, paired), p in zip(pairs, adjusted, strict=True)
        ),
        tuple(shifts),
        tuple(apart),
    )


def _calibrated(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[Calibrated]:
    found = []
    for name, evaluation in zip(names, evaluations, strict=True):
        for benchmark, one in evaluation.columns().items():
            gold, chance = known(one.gold, one.probability)
            if not len(gold):
                continue
            over, recall = roc(gold, chance), precision_recall(gold, chance)
            found.append(
                Calibrated(
                    name,
                    benchmark,
                    len(gold),
                    len(one),
                    expected_calibration_error(gold, chance),
                    brier(gold, chance),
                    over.area if over else None,
                    recall.area if recall else None,
                    float(gold.mean()),
                )
            )
    return found


def mistakes_of(name: str, evaluation: Evaluation, most: int = EXAMPLES) -> list[Mistake]:
    """A few rows of each kind of mistake, in turn from each benchmark; always the same ones."""
    columns = evaluation.columns()
    wanted: list[tuple[MistakeKind, int]] = []
    for kind in MISTAKES:
        queues = [one.place[_wrong(one, kind)][:most].tolist() for one in columns.values()]
        turns = [queue[n] for n in range(most) for queue in queues if n < len(queue)]
        wanted += [(kind, place) for place in turns[:most]]
    rows = evaluation.rows([place for _, place in wanted])
    return [Mistake(name, kind, row) for (kind, _), row in zip(wanted, rows, strict=True)]


def _wrong(columns: Columns, kind: MistakeKind) -> np.ndarray:
    """Which rows are mistakes of this kind, (N,) bool."""
    if kind == "missed":
        return columns.gold & (columns.predicted == 0)
    if kind == "false_alarm":
        return ~columns.gold & (columns.predicted == 1)
    return columns.predicted == -1


def task_words(task: GuardTask | None) -> str:
    """`prompt`, `response`, `refusal`, or `overall`."""
    return task.value.partition("_")[0] if task else "overall"
