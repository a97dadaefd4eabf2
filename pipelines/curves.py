"""Jobs' numbers as a table (CSV) and as a picture (PNG)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pipelines.schema import InputError

Row = dict[str, float]
Point = tuple[int, Mapping[str, Any]]
"""A step, and the numbers that were recorded at it."""

# Column and colour of the lines of a panel, by its title. A panel without lines isn't drawn.
PANELS: dict[str, dict[str, str]] = {
    "Loss": {"loss": "#9db2c9", "eval_loss": "#b3361e"},
    "Loss terms": {"loss_dpo": "#2f5d8a", "loss_sft": "#b3761e"},
    "Reward margin": {"reward_margin": "#2f5d8a", "eval_reward_margin": "#b3361e"},
    "Pairs preferred rightly": {"reward_accuracy": "#2f5d8a", "eval_reward_accuracy": "#b3361e"},
    "Hard samples": {"hard_samples": "#2f5d8a"},
    "Answers that could not be parsed (share)": {"parse_failure_rate": "#b3761e"},
    "Learning rate": {"learning_rate": "#5b6570"},
}
LABELS = {"loss": "training", "loss_dpo": "preference", "loss_sft": "answers"}
SMOOTH = "#2f5d8a"
# Of several jobs; told apart by dashes too once these come round again.
COLOURS = ("#2f5d8a", "#b3361e", "#2d7d46", "#8a5a00", "#6b3fa0", "#0b7285")
DASHES = ("-", (0, (2, 2)), (0, (8, 2, 2, 2)))
HELD_OUT_DASH = (0, (5, 2))
INK, SOFT = "#1c2126", "#4a525b"
FEW = 30
"""So many records are drawn with a mark each, and none of them smoothed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One job's numbers. `unit`: what a step of it is, in the plural."""

    job: int
    name: str
    points: Sequence[Point]
    unit: str = "steps"


def table(points: Iterable[Point]) -> list[Row]:
    """One row a step, in order: `step`, and every number recorded at it; the later one counts."""
    rows: dict[int, Row] = {}
    for step, values in points:
        row = rows.setdefault(step, {"step": step})
        row.update({k: float(v) for k, v in values.items() if isinstance(v, int | float)})
    return [rows[step] for step in sorted(rows)]


def to_csv(runs: Sequence[Run]) -> str:
    """One line a job and step, with a column for each number that occurs; a cell is empty where it
    wasn't recorded. Raises InputError where there is nothing."""
    rows = [
        {"job": run.job, **row, "step": int(row["step"])}
        for run in _recorded(runs)
        for row in table(run.points)
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    writer = csv.DictWriter(written, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def to_png(runs: Sequence[Run]) -> bytes:
    """The curves as panels below each other, 150 dots an inch, on white.

    Of one job the training loss is drawn as it was and smoothed; of
    several, which share the panels, smoothed alone. Raises InputError where there is nothing to
    draw.
    """
    # Figure without pyplot: no state shared with other threads, and no screen looked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = [(run, table(run.points)) for run in _recorded(runs)]
    found = {name for _, rows in drawn for row in rows for name in row}
    panels = {name: lines for name, lines in PANELS.items() if found & set(lines)}
    if not panels:
        raise InputError("curves: none of the recorded numbers has a curve")
    heights = [2.8] + [1.7] * (len(panels) - 1)
    figure = Figure(figsize=(8, sum(heights) + 0.8), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axis, (name, lines) in zip(axes, panels.items(), strict=True):
        _frame(axis, name)
        if len(drawn) == 1:
            _one(axis, lines, drawn[0][1])
        else:
            _several(axis, lines, drawn)
    units = dict.fromkeys(run.unit for run, _ in drawn)
    axes[-1].set_xlabel(" or ".join(units), fontsize=9, color=SOFT)
    axes[-1].locator_params(axis="x", integer=True)
    title = drawn[0][0].name if len(drawn) == 1 else f"{len(drawn)} jobs"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=150)
    return written.getvalue()


def _frame(axis: Any, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=10, color=INK)
    axis.grid(color="#e4e7ea", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8, colors=SOFT)
    axis.yaxis.set_major_formatter(lambda value, _place: f"{value:.6g}")
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#b9c0c7")


def _one(axis: Any, lines: Mapping[str, str], rows: list[Row]) -> None:
    """The lines of a panel, told apart by colour and by the legend."""
    drawn = 0
    for column, colour in lines.items():
        steps, values = column_of(rows, column)
        if not steps:
            continue
        drawn += 1
        smooth = column == "loss" and len(steps) > FEW
        colour = SMOOTH if column == "loss" and not smooth else colour
        _line(axis, steps, values, color=colour, label=_label(column))
        if smooth:
            axis.plot(steps, smoothed(values), color=SMOOTH, label="smoothed", linewidth=1.7)
            drawn += 1
    if drawn > 1:
        axis.legend(fontsize=8, frameon=False, loc="best")


def _several(axis: Any, lines: Mapping[str, str], drawn: Sequence[tuple[Run, list[Row]]]) -> None:
    """A colour a job; what was held out, and a panel's second line, dashed."""
    for place, (run, rows) in enumerate(drawn):
        style = {"color": COLOURS[place % len(COLOURS)]}
        for column in lines:
            steps, values = column_of(rows, column)
            if not steps:
                continue
            plain = column == next(iter(lines))
            dash = DASHES[place // len(COLOURS) % len(DASHES)] if plain else HELD_OUT_DASH
            label = run.name if plain else f"{run.name}, {_label(column)}"
            if column == "loss" and len(steps) > FEW:
                values = smoothed(values)
            _line(axis, steps, values, label=label, linestyle=dash, **style)
    axis.legend(fontsize=8, frameon=False, loc="best")


def _line(axis: Any, steps: Sequence[float], values: Sequence[float], **style: Any) -> None:
    marker = "o" if len(steps) <= FEW else ""
    axis.plot(steps, values, linewidth=1.3, marker=marker, ms=3, **style)


def _label(column: str) -> str:
    return LABELS.get(column, "held out" if column.startswith("eval_") else "training")


def column_of(rows: Iterable[Row], column: str) -> tuple[list[float], list[float]]:
    """(steps, values) of the rows that have the column and can be drawn."""
    found = [(row["step"], row[column]) for row in rows if math.isfinite(row.get(column, math.nan))]
    return [step for step, _ in found], [value for _, value in found]


def smoothed(values: Sequence[float]) -> list[float]:
    """The mean of each value and its neighbours, a twentieth of all; fewer of them at the ends,
    as many before as after, so that the line neither lags nor is drawn towards its ends."""
    reach = max(1, len(values) // 40)
    result = []
    for place in range(len(values)):
        near = min(reach, place, len(values) - 1 - place)
        result.append(fmean(values[place - near : place + near + 1]))
    return result


def _recorded(runs: Sequence[Run]) -> list[Run]:
    """Those that have recorded something. Raises InputError where none has."""
    found = [run for run in runs if run.points]
    if not found:
        names = ", ".join(f"job={run.job}" for run in runs)
        raise InputError(f"{names}: no numbers recorded yet, so there are no curves")
    return found
