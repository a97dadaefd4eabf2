"""The Compare tab's charts: points with intervals, and scores along a training's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardui.render import DASH, empty, esc, page
from guardui.render_chart import Point, number
from guardui.render_compare import percent, span
from guardui.render_curves import (
    HEIGHT,
    WIDTH,
    Scale,
    dash_of,
    grid,
    look_of,
    marker,
    sample,
)
from pipelines.comparing.training_trends import Trend

NO_TRAINING = empty(
    "Nothing to draw along",
    "The chosen runs tell of no training, or were all trained alike. Choose adapters that differ, "
    "for instance the runs of a sweep.",
)
HITS = 120


@dataclass(frozen=True, slots=True)
class Series:
    """A line with what is said on hovering over its points, and intervals as bars; a `plain` one
    has no marks (the diagonal), one that isn't `joined` has no line."""

    name: str
    look: int
    points: Sequence[Point]
    tips: Sequence[str] = ()
    bars: Sequence[tuple[float, float] | None] = ()
    plain: bool = False
    joined: bool = True


def plot(title: str, series: Sequence[Series], x_title: str) -> str:
    """One chart as inline SVG; `legend` names its lines."""
    every = [point for one in series for point in one.points]
    every += [
        (x, end)
        for one in series
        for (x, _), bar in zip(one.points, one.bars, strict=False)
        for end in bar or ()
    ]
    scale = Scale.around(every)
    drawn = "".join(_series(one, scale) for one in series)
    said = f"{title}. " + " ".join(_described(one) for one in series if not one.plain)
    return (
        f'<section><h3>{esc(title)}</h3><svg class="gu-chart" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{esc(said)}">{grid(scale, x_title)}{drawn}</svg></section>'
    )


def _described(one: Series) -> str:
    (x, y), (end_x, end_y) = one.points[0], one.points[-1]
    if len(one.points) == 1:
        return f"{one.name}: {number(y)} at {number(x)}."
    return f"{one.name}: from {number(y)} at {number(x)} to {number(end_y)} at {number(end_x)}."


def _series(one: Series, scale: Scale) -> str:
    places = [scale.at(x, y) for x, y in one.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    if one.plain:
        return f'<path class="cmp-plain" d="{path}"/>'
    look = look_of(one.look)
    parts = []
    if one.joined and len(places) > 1:
        parts.append(f'<path class="curve {look}" d="{path}"{dash_of(one.look)}/>')
    for (x, _), bar, (px, _) in zip(one.points, one.bars, places, strict=False):
        if bar is not None:
            low, high = (scale.at(x, end)[1] for end in bar)
            parts.append(
                f'<path class="cmp-whisker {look}" d="M{px:.1f} {low:.1f}V{high:.1f}'
                f'M{px - 4:.1f} {low:.1f}h8M{px - 4:.1f} {high:.1f}h8"/>'
            )
    stride = max(1, len(places) // HITS)
    if len(places) <= HITS // 4:
        parts += [marker(one.look, place) for place in places]
    parts += [
        f'<circle class="hit" cx="{px:.1f}" cy="{py:.1f}" r="9"><title>{esc(tip)}</title></circle>'
        for (px, py), tip in list(zip(places, one.tips, strict=False))[::stride]
    ]
    return "".join(parts)


def legend(named: Sequence[tuple[str, int]]) -> str:
    items = "".join(f"<span>{sample(look)}{esc(name)}</span>" for name, look in named)
    return f'<div class="gu-legend">{items}</div>'


# Along a training's settings


def training(trends: Sequence[Trend], axis: str, what: str, left_out: int = 0) -> str:
    """A score along a setting; runs that differ in nothing else are joined."""
    if not trends:
        return NO_TRAINING
    series = [
        Series(
            trend.name,
            look,
            [(point.x, 100 * point.value) for point in trend.points],
            [
                f"{point.name}: {percent(point.value)} at {number(point.x)} {axis}"
                + (f", 95% interval {span(point.interval)}" if point.interval else "")
                for point in trend.points
            ],
            [
                None if one.interval is None else (100 * one.interval[0], 100 * one.interval[1])
                for one in trend.points
            ],
        )
        for look, trend in enumerate(trends)
    ]
    told = f"{left_out} of the chosen runs tell nothing of this." if left_out else ""
    rows = "".join(
        f'<tr><th scope="row">{esc(point.name)}</th><td class="num" data-label="{esc(axis)}">'
        f'{esc(number(point.x))}</td><td class="num" data-label="score">{percent(point.value)}</td>'
        f'<td class="num" data-label="95% interval">{span(point.interval) or DASH}</td></tr>'
        for trend in trends
        for point in trend.points
    )
    return page(
        f'<div class="cmp-chart">{plot(what, series, axis)}</div>',
        legend([(one.name, one.look) for one in series]),
        f'<p class="soft">Bars are 95% intervals. {esc(told)}</p>',
        '<details class="cmp-numbers"><summary>The numbers</summary><div class="in gu-stacks">'
        f'<table><thead><tr><th scope="col">Run</th><th scope="col" class="num">{esc(axis)}</th>'
        f'<th scope="col" class="num">{esc(what)}</th><th scope="col" class="num">95% interval'
        f"</th></tr></thead><tbody>{rows}</tbody></table></div></details>",
        classes="gu-stack",
    )
