"""A job's numbers as a table (CSV) and as a picture (PNG)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
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
    "Learning rate": {"learning_rate": "#5b6570"},
}
LABELS = {
    "loss": "training",
    "eval_loss": "held out",
    "loss_dpo": "preference",
    "loss_sft": "answers",
}
SMOOTHING = 0.9


def table(points: Iterable[Point]) -> list[Row]:
    """One row a step, in order: `step`, and every number recorded at it; the later one counts."""
    rows: dict[int, Row] = {}
    for step, values in points:
        row = rows.setdefault(step, {"step": step})
        row.update({k: float(v) for k, v in values.items() if isinstance(v, int | float)})
    return [rows[step] for step in sorted(rows)]


def to_csv(points: Iterable[Point]) -> str:
    """The table with a column for each number that occurs; a cell is empty where it wasn't
    recorded. Raises InputError where there is nothing."""
    rows = _some(table(points))
    names = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    writer = csv.DictWriter(written, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "step": int(row["step"])} for row in rows)
    return written.getvalue()


def to_png(points: Iterable[Point], title: str = "") -> bytes:
    """The curves as panels below each other, 150 dots an inch, on white.

    The training loss is drawn as it was and smoothed over about ten records. Raises InputError
    where there is nothing to draw.
    """
    # Figure without pyplot: no state shared with other threads, and no screen looked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = _some(table(points))
    panels = {
        name: lines
        for name, lines in PANELS.items()
        if any(column in row for row in rows for column in lines)
    }
    if not panels:
        raise InputError("curves: none of the recorded numbers has a curve")
    heights = [2.6] + [1.7] * (len(panels) - 1)
    figure = Figure(figsize=(8, sum(heights) + 0.8), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axis, (name, lines) in zip(axes, panels.items(), strict=True):
        _panel(axis, name, lines, rows)
    axes[-1].set_xlabel("step")
    if title:
        figure.suptitle(title, fontsize=11, color="#1c2126")
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=150)
    return written.getvalue()


def _panel(axis: Any, name: str, lines: Mapping[str, str], rows: list[Row]) -> None:
    axis.set_title(name, loc="left", fontsize=9, color="#1c2126")
    axis.grid(color="#e4e7ea", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8, colors="#3c444c")
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#b9c0c7")
    drawn = 0
    for column, colour in lines.items():
        found = [(row["step"], row[column]) for row in rows if column in row]
        if not found:
            continue
        drawn += 1
        steps, values = zip(*found, strict=True)
        label = LABELS.get(column, "held out" if column.startswith("eval_") else "training")
        few = len(found) <= 30
        marker = "o" if few else ""
        axis.plot(steps, values, color=colour, label=label, linewidth=1.2, marker=marker, ms=3)
        if column == "loss" and not few:
            axis.plot(steps, smoothed(values), color="#2f5d8a", label="smoothed", linewidth=1.6)
            drawn += 1
    if drawn > 1:
        axis.legend(fontsize=8, frameon=False, loc="best")


def smoothed(values: Iterable[float]) -> list[float]:
    """The exponential mean up to each value, without a pull towards the first one."""
    result, total, weight = [], 0.0, 0.0
    for value in values:
        total = SMOOTHING * total + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        result.append(total / weight)
    return result


def _some(rows: list[Row]) -> list[Row]:
    if not rows:
        raise InputError("curves: the job has recorded no numbers yet")
    return rows
