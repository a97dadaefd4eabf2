"""Curves of several jobs in one chart, as inline SVG; colour, dash, marker and name differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardui.render import esc, page
from guardui.render_chart import Point, number, thin, ticks

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 116, 16, 46
NAME_LETTERS, LINE_HEIGHT = 13, 17
LETTERS = "abcdef"
DASHES = ("", "7 4", "2 3", "9 3 2 3", "13 4", "5 3 1 3", "1 4")
MARKERS = (
    "M0-4A4 4 0 1 0 .01-4Z",
    "M-3.6-3.6H3.6V3.6H-3.6Z",
    "M0-4.6L4.4 3.4H-4.4Z",
    "M0-5L4.4 0L0 5L-4.4 0Z",
    "M-4-4L4 4M4-4L-4 4",
    "M0-5V5M-5 0H5",
)
HITS = 60


@dataclass(frozen=True, slots=True)
class Line:
    """A job's curve; `look` chooses colour, dash and marker, the same in every panel."""

    name: str
    look: int
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Panel:
    """Some curves of one number under a heading."""

    title: str
    lines: Sequence[Line]


def curves(panels: Sequence[Panel], x_title: str) -> str:
    """The panels beside each other, all at one scale, and a legend for all."""
    thinned = [
        Panel(panel.title, [Line(one.name, one.look, thin(one.points)) for one in panel.lines])
        for panel in panels
    ]
    every = [point for panel in thinned for line in panel.lines for point in line.points]
    scale = Scale.around(every)
    drawn = "".join(f"<div>{_panel(panel, scale, x_title)}</div>" for panel in thinned)
    grid = "gu-grid two" if len(thinned) > 1 else "gu-grid"
    return page(f'<div class="{grid} gu-curves">{drawn}</div>{_legend(thinned)}')


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places in the picture."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]

    @classmethod
    def around(cls, points: Sequence[Point]) -> Scale:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        x_ticks = ticks(min(0.0, *xs), max(xs))
        y_ticks = ticks(min(ys), max(ys))
        low = min(0.0, *xs)
        return cls((low, max(xs)), (y_ticks[0], y_ticks[-1]), x_ticks, y_ticks)

    def at(self, x: float, y: float) -> tuple[float, float]:
        wide, high = (self.x[1] - self.x[0]) or 1.0, (self.y[1] - self.y[0]) or 1.0
        return (
            LEFT + (x - self.x[0]) / wide * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - self.y[0]) / high * (HEIGHT - TOP - BOTTOM),
        )


def describe(panel: Panel, x_title: str) -> str:
    """The panel in a sentence for each line, for those who can't see it."""
    return f"{panel.title}. " + " ".join(
        f"{line.name}: from {number(line.points[0][1])} to {number(line.points[-1][1])} at "
        f"{number(line.points[-1][0])} {x_title}."
        for line in panel.lines
    )


def _panel(panel: Panel, scale: Scale, x_title: str) -> str:
    said = esc(describe(panel, x_title))
    lines = "".join(_line(line, scale, x_title) for line in panel.lines)
    return (
        f"<h3>{esc(panel.title)}</h3>"
        f'<svg class="gu-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">'
        f"{grid(scale, x_title)}{lines}{_names(panel.lines, scale)}</svg>"
    )


def grid(scale: Scale, x_title: str) -> str:
    parts, floor, end = [], HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in scale.y_ticks:
        _, y = scale.at(scale.x[0], value)
        parts.append(
            f'<path class="rule" d="M{LEFT} {y:.1f}H{end}"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{esc(number(value))}</text>'
        )
    for value in scale.x_ticks:
        if scale.x[0] <= value <= scale.x[1]:
            x, _ = scale.at(value, scale.y[0])
            parts.append(
                f'<text x="{x:.1f}" y="{floor + 17}" text-anchor="middle">{_brief(value)}</text>'
            )
    middle = (LEFT + end) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{esc(x_title)}</text>'
        f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{end}"/>'
    )
    return "".join(parts)


def _brief(value: float) -> str:
    """Large numbers of an axis in few letters: `20k`, `1.5M`."""
    for unit, word in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * unit or (abs(value) >= unit and unit == 1e6):
            return f"{value / unit:g}{word}"
    return f"{value:,.10g}"


def _line(line: Line, scale: Scale, x_title: str) -> str:
    places = [scale.at(x, y) for x, y in line.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    every = max(1, len(places) // 6)
    # Each line's markers begin elsewhere, so that those of lines that coincide are all seen.
    marked = places[min(line.look, every - 1) % every :: every]
    marks = "".join(marker(line.look, place) for place in dict.fromkeys([*marked, places[-1]]))
    stride = max(1, len(places) // HITS)
    hits = "".join(
        f'<circle class="hit" cx="{px:.1f}" cy="{py:.1f}" r="7"><title>{esc(line.name)}, '
        f"{esc(number(x))} {esc(x_title)}: {esc(number(y))}</title></circle>"
        for (px, py), (x, y) in list(zip(places, line.points, strict=True))[::stride]
    )
    return f'<path class="curve {look_of(line.look)}" d="{path}"{dash_of(line.look)}/>{marks}{hits}'


def look_of(look: int) -> str:
    return f"c-{LETTERS[look % len(LETTERS)]}"


def dash_of(look: int) -> str:
    dash = DASHES[look % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def marker(look: int, place: tuple[float, float]) -> str:
    shape = MARKERS[look % len(MARKERS)]
    return (
        f'<path class="mark {look_of(look)}" d="{shape}" '
        f'transform="translate({place[0]:.1f} {place[1]:.1f})"/>'
    )


def _names(lines: Sequence[Line], scale: Scale) -> str:
    """Each line's name at its end; where several end together they are spread."""
    ends = sorted(((*scale.at(*line.points[-1]), line) for line in lines), key=lambda e: e[1])
    placed: list[tuple[float, float]] = []
    parts = []
    for x, y, line in ends:
        for other_x, other_y in placed:
            if abs(other_x - x) < RIGHT and y - other_y < LINE_HEIGHT:
                y = other_y + LINE_HEIGHT
        placed.append((x, y))
        parts.append(
            f'<text class="name" x="{x + 9:.1f}" y="{y + 4:.1f}">{esc(_short(line.name))}</text>'
        )
    return "".join(parts)


def _short(name: str) -> str:
    return name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"


def _legend(panels: Sequence[Panel]) -> str:
    named = {line.name: line.look for panel in panels for line in panel.lines}
    items = "".join(f"<span>{sample(look)}{esc(name)}</span>" for name, look in named.items())
    return f'<div class="gu-legend">{items}</div>'


def sample(look: int) -> str:
    """A piece of a line as it is drawn, to stand before its name."""
    return (
        '<svg class="gu-chart gu-sample" viewBox="0 0 34 12" aria-hidden="true">'
        f'<path class="curve {look_of(look)}" d="M0 6H34"{dash_of(look)}/>'
        f"{marker(look, (17, 6))}</svg>"
    )
