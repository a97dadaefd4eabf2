"""Pictures of a study's report: the win rate on a scale, intervals, the path of the e-value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from guardui.render import esc
from guardui.render_chart import ticks
from pipelines.preferences.results import Comparison, Estimate, Evidence
from pipelines.studies.figures import shown, span

WIDE, TALL = 640, 118
EDGE = 20
ROW_WIDE, ROW_TALL = 190, 22
PATH_TALL = 220


def _x(value: float, wide: float = WIDE, edge: float = EDGE) -> float:
    """A rate's place on a scale from 0 to 1."""
    return edge + max(0.0, min(1.0, value)) * (wide - 2 * edge)


def win_scale(one: Comparison, target: float) -> str:
    """The win rate with its interval between 0 and 100%, with 50% and the target as lines."""
    rate = one.rate
    if rate.value is None:
        return ""
    middle = 58
    said = f"{one.first} wins {shown(rate.value)}, 95% interval {span(rate) or 'unknown'}; " + (
        f"target {shown(target)}; 50% is no difference"
    )
    interval = ""
    if rate.low is not None and rate.high is not None:
        left, right = _x(rate.low), _x(rate.high)
        interval = (
            f'<rect class="st-band" x="{left:.1f}" y="{middle - 11}" '
            f'width="{max(2.0, right - left):.1f}" height="22" rx="5"/>'
            f'<path class="st-end" d="M{left:.1f} {middle - 14}v28M{right:.1f} {middle - 14}v28"/>'
        )
    numbers = "".join(
        f'<text x="{_x(share):.1f}" y="{TALL - 8}" text-anchor="middle">{100 * share:.0f}%</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        f'<svg class="gu-chart st-scale" viewBox="0 0 {WIDE} {TALL}" role="img" '
        f'aria-label="{esc(said)}"><path class="axis" d="M{EDGE} {middle}H{WIDE - EDGE}"/>'
        f'<path class="st-half" d="M{_x(0.5):.1f} 30V{TALL - 26}"/>'
        f'<path class="st-target" d="M{_x(target):.1f} 30V{TALL - 26}"/>'
        f'<text class="st-target-word" x="{_x(target) + 6:.1f}" y="22" text-anchor="start">'
        f"target {shown(target)}</text>"
        f"{interval}"
        f'<circle class="dot" cx="{_x(rate.value):.1f}" cy="{middle}" r="7"/>{numbers}</svg>'
    )


def shares(one: Comparison) -> str:
    """Wins, ties and losses as one bar, in figures under it."""
    if not one.votes:
        return ""
    parts = (
        ("win", one.wins, f"{one.first} better"),
        ("tie", one.ties, "no difference"),
        ("loss", one.losses, f"{one.second} better"),
    )
    bar = "".join(
        f'<i class="{look}" style="width:{100 * count / one.votes:.2f}%"></i>'
        for look, count, _ in parts
    )
    words = "".join(
        f'<li><span class="st-key {look}" aria-hidden="true"></span>{esc(word)} '
        f"<b>{count:,}</b> <small>{shown(count / one.votes)}</small></li>"
        for look, count, word in parts
    )
    bad = f"<li><small>both bad {one.both_bad:,}</small></li>" if one.both_bad else ""
    return (
        f'<div class="st-shares" aria-hidden="true">{bar}</div>'
        f'<ul class="st-keys">{words}{bad}</ul>'
    )


def interval_bar(one: Estimate, target: float | None = None) -> str:
    """A rate's interval in a row of a table: 50% in the middle, the target dashed."""
    if one.value is None or one.low is None or one.high is None:
        return ""
    high = ROW_TALL / 2

    def at(value: float) -> float:
        return _x(value, ROW_WIDE, 5)

    aim = f'<path class="st-target" d="M{at(target):.1f} 2V{ROW_TALL - 2}"/>' if target else ""
    return (
        f'<svg class="gu-chart st-interval" viewBox="0 0 {ROW_WIDE} {ROW_TALL}" role="img" '
        f'aria-label="{esc(span(one))}"><path class="axis" d="M5 {high}H{ROW_WIDE - 5}"/>'
        f'<path class="st-half" d="M{at(0.5):.1f} 2V{ROW_TALL - 2}"/>{aim}'
        f'<path class="cmp-line" d="M{at(one.low):.1f} {high}H{at(one.high):.1f}"/>'
        f'<circle class="dot" cx="{at(one.value):.1f}" cy="{high}" r="4"/></svg>'
    )


def strength_bar(value: float, low: float, high: float, reach: float) -> str:
    """A Bradley-Terry strength with its interval; nought, the average arm, is in the middle."""
    middle = ROW_TALL / 2

    def at(strength: float) -> float:
        return _x((strength / reach + 1) / 2, ROW_WIDE, 5)

    return (
        f'<svg class="gu-chart st-interval" viewBox="0 0 {ROW_WIDE} {ROW_TALL}" role="img" '
        f'aria-label="{low:+.2f} to {high:+.2f}"><path class="axis" '
        f'd="M5 {middle}H{ROW_WIDE - 5}"/><path class="st-half" d="M{at(0):.1f} 2V{ROW_TALL - 2}"/>'
        f'<path class="cmp-line" d="M{at(low):.1f} {middle}H{at(high):.1f}"/>'
        f'<circle class="dot" cx="{at(value):.1f}" cy="{middle}" r="4"/></svg>'
    )


def evidence_path(one: Evidence, said: str) -> str:
    """The e-value over the ratings on a logarithmic scale, with the line that it has to reach."""
    points = [(x, math.log10(max(y, 1e-6))) for x, y in one.path]
    if len(points) < 2:
        return ""
    left, right, top, bottom = 56, 14, 14, 34
    last = max(x for x, _ in points)
    stop = math.log10(one.stop_at)
    low = math.floor(min(-0.5, *(y for _, y in points)))
    high = math.ceil(max(stop + 0.2, *(y for _, y in points)))

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + x / last * (WIDE - left - right),
            PATH_TALL - bottom - (y - low) / (high - low) * (PATH_TALL - top - bottom),
        )

    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in points))
    end_x, end_y = place(*points[-1])
    stop_y = place(0, stop)[1]
    return (
        f'<svg class="gu-chart st-path" viewBox="0 0 {WIDE} {PATH_TALL}" role="img" '
        f'aria-label="{esc(said)}">{_grid(range(low, high + 1), last, place)}'
        f'<path class="st-target" d="M{left} {stop_y:.1f}H{WIDE - right}"/>'
        f'<text class="st-target-word" x="{WIDE - right}" y="{stop_y - 6:.1f}" text-anchor="end">'
        f"line at {one.stop_at:g}</text>"
        f'<path class="line" d="{line}"/><circle class="dot" cx="{end_x:.1f}" cy="{end_y:.1f}" '
        f'r="3.5"/></svg>'
    )


def _grid(
    powers: Sequence[int], last: int, place: Callable[[float, float], tuple[float, float]]
) -> str:
    """Lines at powers of ten, and numbers of ratings under them."""
    stride = max(1, math.ceil(len(powers) / 6))
    lines = "".join(
        f'<path class="rule" d="M{place(0, power)[0]:.1f} {place(0, power)[1]:.1f}H{WIDE - 14}"/>'
        f'<text x="48" y="{place(0, power)[1] + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
        for power in powers[::stride]
    )
    numbers = "".join(
        f'<text x="{place(count, 0)[0]:.1f}" y="{PATH_TALL - 10}" text-anchor="middle">'
        f"{count:,.0f}</text>"
        for count in ticks(0, last)
        if count <= last and count == round(count)
    )
    return lines + numbers
