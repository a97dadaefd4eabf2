"""How a score goes with what a run was trained on: epochs, rows, a swept field, time, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.comparing.measuring import measured
from pipelines.comparing.model_tables import unique_names
from pipelines.evaluations import Evaluation
from pipelines.schema import GuardTask
from pipelines.scoring.cells import Policy
from pipelines.scoring.resampling import Interval

WORDS = {
    "epochs": "epochs",
    "rows": "training rows",
    "max_rows": "training rows at most",
    "seconds": "seconds of training",
    "tokens": "tokens trained on",
}
"""What is told of most trainings, in this order; other fields keep their names."""
COSTS = ("seconds", "tokens", "steps", "loss")
"""What comes out of a training: runs that differ in these alone are still of one kind."""
SAME = {"rows": ("rows", "max_rows"), "max_rows": ("rows", "max_rows")}


@dataclass(frozen=True, slots=True)
class Point:
    """A run: what it was trained on, its score (a fraction), and the score's 95% interval."""

    name: str
    x: float
    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Trend:
    """Runs that differ in one thing alone, in its rising order."""

    name: str
    points: tuple[Point, ...]


def axes(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """Field of the training -> its words: those with a number that isn't the same for all."""
    found: dict[str, set[float]] = {}
    for one in evaluations:
        for name, value in one.info.training.items():
            if (x := number(value)) is not None:
                found.setdefault(name, set()).add(x)
    varied = [name for name, values in found.items() if len(values) > 1]
    known = [name for name in WORDS if name in varied]
    rest = sorted(name for name in varied if name not in WORDS)
    return {name: WORDS.get(name, name.replace("_", " ")) for name in (*known, *rest)}


def measures(evaluations: Sequence[Evaluation]) -> list[str]:
    """What can be drawn: "" for the mean of the tasks, the tasks, then the benchmarks."""
    told = [one for found in evaluations for one in found.info.benchmarks if one.rows]
    tasks = [task.value for task in GuardTask if any(one.task is task for one in told)]
    return ["", *tasks, *dict.fromkeys(one.name for one in told)]


def trends(
    evaluations: Sequence[Evaluation],
    axis: str,
    measure: str = "",
    metric: str = "f1",
    policy: Policy = Policy.WRONG_ONCE,
) -> list[Trend]:
    """The runs along a field of their training, those that differ in nothing else in one trend.

    Along a cost every run stands for itself. Runs without the field or the score are left out.
    """
    lines: dict[tuple[Any, ...], list[Point]] = {}
    told: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for one, name in zip(evaluations, unique_names(evaluations), strict=True):
        x = number(one.info.training.get(axis))
        score = score_of(one, measure, metric, policy)
        if x is None or score is None:
            continue
        settings = _settings(one, axis)
        key = (name,) if axis in COSTS else tuple(sorted(map(str, settings.items())))
        lines.setdefault(key, []).append(Point(name, x, *score))
        told[key] = settings
    joined = [told[key] for key, points in lines.items() if len(points) > 1]
    return [
        Trend(
            points[0].name if len(points) == 1 else _name(told[key], joined),
            tuple(sorted(points, key=lambda point: point.x)),
        )
        for key, points in lines.items()
    ]


def _settings(one: Evaluation, axis: str) -> dict[str, Any]:
    """What else a run was made with, its mode of answering among it."""
    left_out = (*COSTS, *SAME.get(axis, (axis,)))
    kept = {name: value for name, value in one.info.training.items() if name not in left_out}
    return kept | {"mode": one.info.mode}


def _name(settings: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> str:
    """What tells a trend from the others: `max rows 500`."""
    apart = [
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in settings.items()
        if any(other.get(name) != value for other in every) and name != "max_rows"
    ]
    return ", ".join(apart) or "all runs"


def score_of(
    one: Evaluation, measure: str, metric: str, policy: Policy
) -> tuple[float, Interval | None] | None:
    """A score of `measures` with its interval; None where the run has none."""
    scored = measured(one, policy, metric)
    if measure in scored.benchmarks:
        found = scored.benchmarks[measure]
        value, interval = found.value(metric), found.intervals.get(metric)
    else:
        if measure and measure not in tuple(GuardTask):
            return None
        average = scored.average(GuardTask(measure) if measure else None)
        value, interval = (average.value, average.interval) if average else (None, None)
    return None if value is None else (value, interval)


def number(value: Any) -> float | None:
    """A number of a training's settings; truth values and words are none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
