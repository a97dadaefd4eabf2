"""Jobs of a group side by side: their curves over a common axis, and a table with a row a job."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Axis = Literal["rows", "steps", "epochs", "tokens"]
AXES: Mapping[Axis, str] = {
    "rows": "rows seen",
    "steps": "steps",
    "epochs": "epochs",
    "tokens": "tokens seen",
}
HELD_OUT = "eval_"
FIRST_METRICS = ("loss", "reward_margin", "reward_accuracy", "hard_samples")
# Of so many records the mean over this share of them is drawn, half of it before and half after.
FEW, WINDOW = 40, 0.06

Unit = Literal["number", "count", "seconds", "bytes"]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Record:
    """What a job recorded at a step. `rows`, `epochs` and `tokens` were gone through until then;
    None where that isn't known."""

    steps: int
    values: Mapping[str, float]
    rows: float | None = None
    epochs: float | None = None
    tokens: float | None = None

    def along(self, axis: Axis) -> float | None:
        found = {
            "rows": self.rows,
            "steps": float(self.steps),
            "epochs": self.epochs,
            "tokens": self.tokens,
        }
        return found[axis]


@dataclass(frozen=True, slots=True)
class Entry:
    """One job of a group. `facts` is what was noted of it as it ran and ended: seconds, bytes and
    counts by name. `made`: the artifact that others may take, as `artifact:ID`."""

    job: int
    label: str
    stage: str
    state: str
    reason: str = ""
    made: str = ""
    records: Sequence[Record] = ()
    facts: Mapping[str, float] = field(default_factory=dict)

    def points(self, metric: str, axis: Axis) -> list[Point]:
        """(x, value) of what can be drawn, in rising order of x."""
        found = [
            (x, one.values[metric])
            for one in self.records
            if metric in one.values and (x := one.along(axis)) is not None
        ]
        return sorted(point for point in found if math.isfinite(point[1]))

    def last(self, metric: str) -> float | None:
        """Where it ended: the loss as its curve is drawn, smoothed; all else as it was recorded."""
        points = self.points(metric, "steps")
        points = smoothed(points) if metric == "loss" else points
        return points[-1][1] if points else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A group and its jobs. `field` is what a sweep sweeps; `caveat` says why the losses of its
    values can't be set against each other, empty where they can."""

    id: int
    kind: str
    name: str
    title: str
    field: str
    created_at: datetime
    entries: Sequence[Entry]
    caveat: str = ""

    @property
    def metrics(self) -> list[str]:
        """What any of the jobs recorded in training, the most telling first."""
        found = {
            name for one in self.entries for record in one.records for name in record.values
        } - {"epoch", "tokens"}
        own = {name for name in found if not name.startswith(HELD_OUT)}
        first = [name for name in FIRST_METRICS if name in own]
        return first + sorted(own - set(first))

    def axes(self, metric: str) -> list[Axis]:
        """The axes along which each job that has this metric can be drawn."""
        having = [one for one in self.entries if one.points(metric, "steps")]
        return [axis for axis in AXES if all(one.points(metric, axis) for one in having)]

    @property
    def ended(self) -> bool:
        return all(one.state in ("succeeded", "failed", "stopped") for one in self.entries)


@dataclass(frozen=True, slots=True)
class Column:
    """A number that the table has of each job. `told`: what it is, in a sentence."""

    name: str
    title: str
    unit: Unit
    told: str
    of: Callable[[Entry], float | None]


def _fact(name: str) -> Callable[[Entry], float | None]:
    return lambda entry: entry.facts.get(name)


def _end(metric: str) -> Callable[[Entry], float | None]:
    return lambda entry: entry.last(metric)


COLUMNS: Sequence[Column] = (
    Column("loss", "Final loss", "number", "Training loss where the curve ends.", _end("loss")),
    Column(
        "eval_loss", "Held-out loss", "number", "Last loss on held-out rows.", _end("eval_loss")
    ),
    Column("hard_samples", "Hard samples", "count", "Found by mining.", _end("hard_samples")),
    Column("steps", "Steps", "count", "Steps that were done.", _fact("steps")),
    Column("tokens", "Tokens", "count", "Tokens gone through.", _fact("tokens")),
    Column("seconds", "Time", "seconds", "From start to end.", _fact("seconds")),
    Column(
        "peak_memory",
        "Peak memory",
        "bytes",
        "Most memory held: the GPU's where there is one, else the main memory.",
        _fact("peak_memory"),
    ),
)
"""All columns; one that has no value of any job isn't shown. A new number is a new entry here."""


def columns_of(comparison: Comparison) -> list[Column]:
    """The columns in which some job has a value; losses and time are always there."""
    always = ("loss", "seconds")
    return [
        column
        for column in COLUMNS
        if column.name in always or any(column.of(one) is not None for one in comparison.entries)
    ]


def smoothed(points: Sequence[Point]) -> list[Point]:
    """Each value as the mean of those around it, where there are more than FEW: the window is
    centred, so that the curve doesn't lag behind, and shorter at its ends."""
    if len(points) <= FEW:
        return list(points)
    half = max(1, round(len(points) * WINDOW / 2))
    values = [y for _, y in points]
    found = []
    for place, (x, _) in enumerate(points):
        around = values[max(0, place - half) : place + half + 1]
        found.append((x, sum(around) / len(around)))
    return found


def panels_of(
    comparison: Comparison, metric: str, axis: Axis
) -> list[tuple[str, list[tuple[int, str, list[Point]]]]]:
    """(title, lines) of the panels that have any; a line is (number of its job, name, points)."""
    word = metric.replace("_", " ")
    own = "training loss" if metric == "loss" else word
    panels = []
    for title, name in ((own, metric), (f"held-out {word}", f"{HELD_OUT}{metric}")):
        lines = [
            (number, entry.label, smoothed(points))
            for number, entry in enumerate(comparison.entries)
            if (points := entry.points(name, axis))
        ]
        if lines:
            panels.append((title[0].upper() + title[1:], lines))
    return panels


def to_csv(comparison: Comparison) -> str:
    """A row for each record of each job: which job and value, how far it was, and every number."""
    records = [(entry, record) for entry in comparison.entries for record in entry.records]
    names = list(dict.fromkeys(name for _, record in records for name in record.values))
    names = [name for name in names if name not in ("epoch", "tokens")]
    head = ["job", comparison.field or "step", *AXES, *names]
    # A swept field may be called as an axis is.
    head[1] = f"value_of_{head[1]}" if head[1] in (*AXES, *names, "job", "step") else head[1]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(head)
    for entry, record in records:
        along = [record.along(axis) for axis in AXES]
        numbers = [record.values.get(name) for name in names]
        cells = ["" if one is None else f"{one:.10g}" for one in (*along, *numbers)]
        writer.writerow([entry.job, entry.label, *cells])
    return written.getvalue()


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The group and its table; seconds, bytes, and null for what isn't known."""
    return {
        "id": comparison.id,
        "kind": comparison.kind,
        "name": comparison.name,
        "title": comparison.title,
        "field": comparison.field or None,
        "created_at": comparison.created_at.isoformat(),
        "caveat": comparison.caveat or None,
        "jobs": [
            {
                "id": entry.job,
                "value": entry.label,
                "stage": entry.stage,
                "state": entry.state,
                "reason": entry.reason or None,
                "made": entry.made or None,
                **{column.name: column.of(entry) for column in COLUMNS},
            }
            for entry in comparison.entries
        ],
    }
