"""The figures that gates are judged by: of an evaluation, or of two on the rows that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pipelines.comparing.measuring import weights_of
from pipelines.evaluations import Columns, Evaluation
from pipelines.gate_lines import Gate
from pipelines.gates import chosen, not_asked
from pipelines.metrics import intervals, scores
from pipelines.schema import InputError
from pipelines.scoring.averages import Average, averages
from pipelines.scoring.cells import count
from pipelines.scoring.resampling import Interval
from pipelines.scoring.significance import average_differences, common_rows, compare

UNDEFINED = {
    "f1": "no row is of the positive class",
    "recall": "no row is of the positive class",
    "false_negative_rate": "no row is of the positive class",
    "precision": "nothing was judged positive",
    "false_positive_rate": "no row is of the negative class",
    "balanced_accuracy": "all rows are of one class",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A fraction with its 95% interval; None where there is none, and `why` says what for."""

    value: float | None = None
    interval: Interval | None = None
    rows: int = 0
    why: str = ""
    note: str = ""


def figure(gate: Gate, evaluation: Evaluation) -> Measured:
    """What the evaluation came to."""
    tasks = {one.name: one.task for one in evaluation.info.benchmarks}
    if why := not_asked(gate, tasks):
        return Measured(why=why)
    held = evaluation.columns()
    parts = {name: held[name] for name in chosen(gate, tasks) if len(held[name])}
    if not parts:
        return Measured(why="there are no rows")
    if gate.metric == "f1" and len(parts) > 1:
        return _of_average(gate, averages(parts, weights=weights_of(evaluation.info)))
    gold = np.concatenate([one.gold for one in parts.values()])
    predicted = np.concatenate([one.predicted for one in parts.values()])
    group = np.concatenate([one.group for one in parts.values()])
    value = asdict(scores(count(gold, predicted)))[gate.metric]
    if value is None:
        return Measured(rows=len(gold), why=UNDEFINED.get(gate.metric, "there are no rows"))
    interval = intervals(gold, predicted, group)[gate.metric]
    return Measured(value, interval, len(gold))


def difference(gate: Gate, evaluation: Evaluation, reference: Evaluation | None) -> Measured:
    """The evaluation less the reference, on the rows that both were asked."""
    if reference is None:
        return Measured(why="there is no reference evaluation")
    tasks = {one.name: one.task for one in evaluation.info.benchmarks}
    if why := not_asked(gate, tasks):
        return Measured(why=why)
    names, ours, theirs = chosen(gate, tasks), evaluation.columns(), reference.columns()
    if missing := [name for name in names if name not in theirs]:
        return Measured(why=f"{reference.info.name} was not asked {', '.join(missing)}")
    try:
        pairs = {name: common_rows(theirs[name], ours[name]) for name in names}
        asked = sum(len(ours[name]) for name in names)
        rows = sum(len(in_ours) for _, in_ours in pairs.values())
        if not rows:
            return Measured(why=f"{reference.info.name} was asked other rows")
        note = f"{rows:,} of {asked:,} rows are in both" if rows < asked else ""
        if gate.metric == "f1" and len(names) > 1:
            found = average_differences(
                {name: theirs[name] for name in names},
                {name: ours[name] for name in names},
                weights=weights_of(evaluation.info),
            )
            return _of_average(gate, found, note)
        return _pooled(gate, names, ours, theirs, note)
    except InputError as error:
        return Measured(why=str(error))


def _pooled(
    gate: Gate,
    names: Sequence[str],
    ours: Mapping[str, Columns],
    theirs: Mapping[str, Columns],
    note: str,
) -> Measured:
    """The difference of a figure that is counted over all rows at once."""
    columns = []
    for name in names:
        first, second = common_rows(theirs[name], ours[name])
        a, b = theirs[name], ours[name]
        columns.append((b.gold[second], a.predicted[first], b.predicted[second], b.group[second]))
    gold, before, after, group = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    paired = compare(gold, before, after, group, gate.metric)
    if paired.difference is None:
        return Measured(rows=len(gold), why=UNDEFINED.get(gate.metric, "there are no rows"))
    return Measured(paired.difference, paired.interval, len(gold), note=note)


def _of_average(gate: Gate, found: Sequence[Average], note: str = "") -> Measured:
    """The average of the gate's task, or the overall one."""
    average = next((one for one in found if one.task is gate.task), None)
    if average is None or average.value is None:
        return Measured(why=UNDEFINED["f1"])
    if average.left_out:
        note = "; ".join(filter(None, [note, f"without {', '.join(average.left_out)}"]))
    return Measured(average.value, average.interval, average.rows, note=note)
