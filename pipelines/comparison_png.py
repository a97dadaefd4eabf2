"""Jobs of a group in one picture (PNG): their training and held-out curves side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from pipelines.comparison import AXES, Axis, Comparison, Point, panels_of
from pipelines.schema import InputError

# Told apart by colour, dash and marker; after six the colours come again with other dashes.
COLOURS = ("#3b5bdb", "#c2410c", "#187545", "#8b3fc7", "#8a5a00", "#0b7285")
DASHES: Sequence[Sequence[float]] = (
    *((), (7, 3), (2, 2), (8, 2, 2, 2)),
    *((12, 3), (4, 2, 1, 2), (1, 3)),
)
MARKERS = ("o", "s", "^", "D", "X", "P")
INK, SOFT = "#16191f", "#5b6472"


def to_png(comparison: Comparison, metric: str = "loss", axis: Axis = "rows") -> bytes:
    """The curves of a metric, held out beside training, at one scale, 150 dots an inch, on white.

    Raises InputError where no job has recorded it, or not along this axis.
    """
    # Figure without pyplot: no state shared with other threads, and no screen looked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = panels_of(comparison, metric, axis)
    if not panels:
        known = ", ".join(comparison.metrics) or "nothing"
        raise InputError(
            f"metric={metric}: no job of group {comparison.id} has recorded it by {AXES[axis]} "
            f"(recorded is: {known})"
        )
    figure = Figure(figsize=(1.2 + 6 * len(panels), 4.4), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    drawn = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for plot, (title, lines) in zip(drawn, panels, strict=True):
        _panel(plot, title, lines, AXES[axis])
    figure.suptitle(comparison.title, x=0.01, ha="left", fontsize=12, color=INK)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=150)
    return written.getvalue()


def _panel(
    plot: Any, title: str, lines: Sequence[tuple[int, str, Sequence[Point]]], x_title: str
) -> None:
    plot.set_title(title, loc="left", fontsize=10, color=INK)
    plot.set_xlabel(x_title, fontsize=9, color=SOFT)
    plot.grid(color="#e3e6eb", linewidth=0.7)
    plot.set_axisbelow(True)
    plot.tick_params(labelsize=8, colors=SOFT, labelleft=True)
    for side, spine in plot.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#868e9c")
    for number, name, points in lines:
        xs, ys = zip(*points, strict=True)
        colour, cycle = COLOURS[number % len(COLOURS)], number % len(DASHES)
        plot.plot(
            xs,
            ys,
            color=colour,
            label=name,
            linewidth=1.7,
            linestyle=(0, DASHES[cycle]) if DASHES[cycle] else "-",
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
            markevery=max(1, len(xs) // 6),
        )
        plot.annotate(
            name,
            (xs[-1], ys[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
        )
    plot.legend(fontsize=8, frameon=False, loc="best")
