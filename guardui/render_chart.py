"""A line chart as inline SVG: axes, ticks, legend, tooltips, and words for those who can't see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guardui.render import esc, page

WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 30
MOST_POINTS = 240

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A named line; points are (step, value) in rising steps."""

    name: str
    points: Sequence[Point]


def line_chart(metric: str, first: Series, second: Series | None = None) -> str:
    """The chart of one metric over steps; `second` is drawn dashed for comparison."""
    drawn = [Series(s.name, thin(finite(s.points))) for s in (first, second) if s is not None]
    drawn = [series for series in drawn if series.points]
    if not drawn:
        return page(f'<p class="soft">No values of {esc(metric)} yet.</p>')
    xs = [x for series in drawn for x, _ in series.points]
    ys = [y for series in drawn for _, y in series.points]
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    scale = _Scale((min(xs), max(xs)), (min(*ys, y_ticks[0]), max(*ys, y_ticks[-1])))
    body = _grid(scale, x_ticks, y_ticks)
    for position, series in enumerate(drawn):
        body += _line(scale, series, "" if series.name == first.name else "second", position == 0)
    return page(
        f'<svg class="gu-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{esc(describe(metric, drawn))}"><title>{esc(metric)} by step</title>'
        f"<desc>{esc(describe(metric, drawn))}</desc>{body}</svg>{_legend(drawn, first.name)}"
    )


def describe(metric: str, drawn: Sequence[Series]) -> str:
    """The chart in a sentence for each line."""
    return " ".join(
        f"{series.name}: {metric} from {number(series.points[0][1])} at step "
        f"{series.points[0][0]:g} to {number(series.points[-1][1])} at step "
        f"{series.points[-1][0]:g}, lowest {number(min(y for _, y in series.points))}."
        for series in drawn
    )


def finite(points: Sequence[Point]) -> list[Point]:
    """Only the points that can be drawn."""
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most about `most` points; the lowest and highest of each stretch are kept, so that a
    spike is never smoothed away."""
    if len(points) <= most:
        return list(points)
    stride = math.ceil(len(points) * 2 / most)
    kept = [points[0]]
    for start in range(0, len(points), stride):
        part = points[start : start + stride]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    kept.append(points[-1])
    return sorted(set(kept))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at most `low` to at least `high`."""
    if high - low <= max(1e-12, 1e-9 * max(abs(low), abs(high))):
        spread = abs(low) * 0.1 or 1.0
        low, high = low - spread, high + spread
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{n * step:.12g}") for n in range(start, end + 1)]


def number(value: float) -> str:
    """A value in at most four significant figures: `0.4831`, `1,240`, `5e-05`."""
    if value and abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class _Scale:
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        wide, high = (self.x[1] - self.x[0]) or 1.0, (self.y[1] - self.y[0]) or 1.0
        return (
            LEFT + (x - self.x[0]) / wide * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - self.y[0]) / high * (HEIGHT - TOP - BOTTOM),
        )


def _grid(scale: _Scale, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> str:
    parts = []
    for value in y_ticks:
        _, y = scale.at(scale.x[0], value)
        parts.append(
            f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{esc(number(value))}</text>'
        )
    for value in x_ticks:
        if not scale.x[0] <= value <= scale.x[1] or value != round(value):
            continue
        x, _ = scale.at(value, scale.y[0])
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 9}" text-anchor="middle">{esc(number(value))}</text>'
        )
    floor = HEIGHT - BOTTOM
    return "".join(parts) + f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>'


def _line(scale: _Scale, series: Series, look: str, tips: bool) -> str:
    places = [scale.at(x, y) for x, y in series.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    end_x, end_y = places[-1]
    marks = f'<circle class="dot {look}" cx="{end_x:.1f}" cy="{end_y:.1f}" r="3.5"/>'
    if tips:
        # Every tooltip is an element; a hundred are enough to hover over.
        stride = max(1, len(places) // 100)
        marks += "".join(
            f'<circle class="hit" cx="{px:.1f}" cy="{py:.1f}" r="7"><title>step {x:g}: '
            f"{esc(number(y))}</title></circle>"
            for (px, py), (x, y) in list(zip(places, series.points, strict=True))[::stride]
        )
    return f'<path class="line {look}" d="{path}"/>{marks}'


def _legend(drawn: Sequence[Series], first: str) -> str:
    items = "".join(
        '<span><svg class="gu-chart" viewBox="0 0 26 8" aria-hidden="true"><path class="line '
        f'{"" if series.name == first else "second"}" d="M0 4H26"/></svg>{esc(series.name)}: '
        f"{esc(number(series.points[-1][1]))}</span>"
        for series in drawn
    )
    return f'<div class="gu-legend">{items}</div>'
