"""The inspector's filters as HTML: histogram, facets with their counts, ranges, and chips.

A button with `data-set` takes a filter in or, where it is in force, out; `samples.js` does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guardui.render import DASH, esc, page
from guardui.render_sample_words import EXPLAINED, TITLES, VALUES, value_word
from guardui.sample_address import ALL, NAMES, Place

FEW = 7
"""So many values of a facet are shown at once; the rest stands behind a click."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The filters' figures: how many samples match, the histogram (wrong answers -> samples), and
    facet -> value -> samples."""

    matching: int = 0
    histogram: Mapping[int, int] = field(default_factory=dict)
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def filters(place: Place, counts: Counts) -> str:
    """The whole panel, folded away on small screens until asked for."""
    in_force = len(place.narrowed)
    number = f' <span class="gu-pill run">{in_force}</span>' if in_force else ""
    order = ("review", "task", "direction", "flag", "hardness", "source", "model", "parse")
    groups = "".join(facet(name, place, counts.facets.get(name, {})) for name in order)
    return page(
        f'<details class="hs-filters" open><summary>Filters{number}</summary>'
        f'<div class="in">{histogram(counts.histogram, place.filter.wrong)}{groups}'
        f"{ranges(place)}</div></details>"
    )


def histogram(counts: Mapping[int, int], chosen: int | None) -> str:
    """Bars that are buttons: how many samples were wrong so often."""
    shown = dict(counts)
    if chosen is not None:
        shown.setdefault(chosen, 0)
    highest = max(shown.values(), default=0) or 1
    bars = "".join(
        f'<button type="button" class="hs-bar" data-set="{NAMES["wrong"]}={wrong}" '
        f'aria-pressed="{"true" if wrong == chosen else "false"}" '
        f'aria-label="{_wrong(wrong)}: {_samples(count)}" '
        f'title="{_wrong(wrong)}: {_samples(count)}">'
        f'<span class="num">{short(count)}</span>'
        f'<i style="height:{max(2, round(84 * count / highest)) if count else 0}px"></i>'
        f'<span class="num">{wrong}</span></button>'
        for wrong, count in sorted(shown.items())
    )
    inside = bars or f'<p class="soft">{DASH}</p>'
    return (
        '<section role="group" aria-labelledby="hs-wrong"><h3 id="hs-wrong">Wrong answers of k</h3>'
        f'<div class="hs-histogram">{inside}</div></section>'
    )


def _wrong(count: int) -> str:
    return f"{count} wrong answer" if count == 1 else f"{count} wrong answers"


def _samples(count: int) -> str:
    return f"{count:,} sample" if count == 1 else f"{count:,} samples"


def short(count: int) -> str:
    """A count that fits over a bar: `940`, `12.4k`."""
    if count < 10_000:
        return f"{count:,}"
    return f"{count / 1000:.1f}k" if count < 100_000 else f"{count / 1000:.0f}k"


def facet(name: str, place: Place, counts: Mapping[str, int]) -> str:
    """One filter: its values as buttons, each with the number that it would leave."""
    chosen = str(place.filter.__getattribute__(name))
    if name == "hardness":
        chosen = chosen or ALL
    # Values with names of ours stand in our order; others by how many there are.
    known = [value for value in VALUES.get(name, {}) if counts.get(value) or value == chosen]
    foreign = sorted(set(counts) - set(VALUES.get(name, {})), key=lambda v: (-counts[v], v))
    values = known + [value for value in foreign if value]
    if chosen and chosen not in (*values, ALL):
        values.append(chosen)
    # One value is nothing to choose between, but a flag parts its samples from those without.
    least = 1 if name == "flag" else 2
    if len(values) + (chosen == ALL) < least and not place.narrowed.get(name):
        return ""
    lines = [_value(name, value, counts.get(value, 0), value == chosen) for value in values]
    if name == "hardness":
        lines.append(_value(name, ALL, sum(counts.values()), chosen == ALL))
    # A chosen value is never hidden behind the click.
    few = FEW if chosen in ("", ALL, *values[:FEW]) else max(FEW, values.index(chosen) + 1)
    first, rest = "".join(lines[:few]), "".join(lines[few:])
    more = (
        f"<details><summary>{len(lines) - few:,} more</summary><ul>{rest}</ul></details>"
        if rest
        else ""
    )
    return (
        f'<section role="group" aria-labelledby="hs-{name}"><h3 id="hs-{name}">{TITLES[name]}</h3>'
        f"<ul>{first}</ul>{more}</section>"
    )


def _value(name: str, value: str, count: int, chosen: bool) -> str:
    word = "All" if value == ALL else value_word(name, value)
    tip = EXPLAINED.get(value, "") or word
    return (
        f'<li><button type="button" class="hs-value" data-set="{NAMES[name]}={esc(value)}" '
        f'aria-pressed="{"true" if chosen else "false"}" title="{esc(tip)}">'
        f'<span class="hs-name">{esc(word)}</span>'
        f'<span class="num" aria-label="{_samples(count)}">{count:,}</span></button></li>'
    )


def ranges(place: Place) -> str:
    """Length and weight, from and to."""
    f = place.filter
    length = _range("Characters", "min_length", "max_length", f.min_length, f.max_length, "1")
    weight = _range("Weight", "min_weight", "max_weight", f.min_weight, f.max_weight, "any")
    return length + weight


def _range(
    title: str, low: str, high: str, from_: float | None, to: float | None, step: str
) -> str:
    return (
        f'<section role="group" aria-label="{title}"><h3>{title}</h3><div class="hs-range">'
        f"{_number(low, 'from', from_, step)}{_number(high, 'to', to, step)}</div></section>"
    )


def _number(name: str, words: str, value: float | None, step: str) -> str:
    shown = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return (
        f'<label>{words} <input type="number" inputmode="decimal" min="0" step="{step}" '
        f'name="{NAMES[name]}" value="{shown}" aria-label="{TITLES[name]}" data-filter></label>'
    )


def chips(place: Place) -> str:
    """The filters in force, each with a cross, and Clear all; nothing where there is none."""
    if not place.narrowed:
        return ""
    each = "".join(
        f'<button type="button" class="hs-chip" data-clear="{NAMES[name]}" '
        f'aria-label="Remove {esc(TITLES[name])}: {esc(value_word(name, value))}">'
        f"{esc(TITLES[name])}: <b>{esc(value_word(name, value))}</b> "
        '<span aria-hidden="true">×</span></button>'  # noqa: RUF001 - the sign for closing
        for name, value in place.narrowed.items()
    )
    return (
        f'<div class="hs-chips" role="group" aria-label="Filters in force">{each}'
        '<button type="button" class="link accent" data-clear="all">Clear all</button></div>'
    )
