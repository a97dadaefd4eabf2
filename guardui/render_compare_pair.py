"""Two runs against each other as HTML: the tests in numbers, in a picture and in words."""

from __future__ import annotations

from collections.abc import Mapping

from guardui.render import DASH, empty, esc, note, page
from guardui.render_compare import breakable, notes, percent
from pipelines.comparing.pairings import KINDS, Pairing
from pipelines.comparing.table_parts import METRIC_WORDS
from pipelines.scoring.significance import Paired, in_words

ONE_RUN = empty("Only one run", "Choose a second run as B to compare the two.")
SAME_RUN = empty("A and B are the same run", "Choose another run as B.")
NO_COMMON = "They have no row in common: evaluate both on the same benchmark to compare them."
WIDE, HIGH = 150, 22
SURE = 0.05


def pairing(found: Pairing, name_a: str, name_b: str, metric: str) -> str:
    """Overall in words, each benchmark in a row, and all tests in words behind a fold."""
    if not found.tests:
        return page(note("warn", "Nothing to compare", [NO_COMMON, *found.faults]))
    many = len(found.tests)
    whole = found.overall or found.tests[0].paired
    headline = in_words(whole, name_a, name_b)
    title = "Over all benchmarks" if found.overall else found.tests[0].benchmark
    reach = _reach(found)
    rows = "".join(
        _row(test.benchmark, test.paired, test.adjusted, reach, metric) for test in found.tests
    )
    if found.overall is not None:
        rows += _row("All together", found.overall, None, reach, metric, "cmp-whole")
    said = "".join(
        f"<li><strong>{esc(test.benchmark)}.</strong> "
        f"{esc(in_words(test.paired, name_a, name_b, test.adjusted, many))}</li>"
        for test in found.tests
    )
    holm = "<small>Holm-corrected</small>" if many > 1 else ""
    left = [f"{', '.join(found.apart)}: only one of the two has it."] if found.apart else []
    return page(
        f'<section class="cmp-verdict"><h3>{esc(title)}</h3><p>{esc(headline)}</p></section>',
        '<div class="gu-scroll gu-stacks gu-tight"><table class="cmp-tests">'
        f'<caption class="vh">B against A, {esc(METRIC_WORDS[metric])}</caption><thead><tr>'
        '<th scope="col">Benchmark</th><th scope="col" class="num">Rows</th>'
        '<th scope="col" class="num">A</th><th scope="col" class="num">B</th>'
        '<th scope="col" class="num">B − A<small>in points</small></th>'  # noqa: RUF001
        '<th scope="col" class="cmp-bar">95% interval</th>'
        '<th scope="col" class="num">Only A right</th><th scope="col" class="num">Only B right</th>'
        f'<th scope="col" class="num">p{holm}</th></tr></thead><tbody>{rows}</tbody></table></div>',
        '<details class="cmp-words"><summary>Each test in words</summary>'
        f'<div class="in"><ul>{said}</ul></div></details>'
        if many > 1
        else "",
        notes("Not compared", [*found.faults, *left]),
        classes="gu-stack",
    )


def _reach(found: Pairing) -> float:
    """The farthest that any interval reaches from zero, at least a point."""
    every = [*(test.paired for test in found.tests), *([found.overall] if found.overall else [])]
    ends = [abs(end) for one in every for end in one.interval or ()]
    return max([0.01, *ends, *(abs(one.difference or 0) for one in every)])


def _row(
    name: str, one: Paired, adjusted: float | None, reach: float, metric: str, look: str = ""
) -> str:
    p = one.p_value if adjusted is None else adjusted
    sure = "cmp-sure" if p < SURE else ""
    return (
        f'<tr class="{look}"><th scope="row">{breakable(name)}</th>'
        f'<td class="num" data-label="rows">{one.rows:,}</td>'
        f'<td class="num" data-label="A">{percent(one.a)}</td>'
        f'<td class="num" data-label="B">{percent(one.b)}</td>'
        f'<td class="num" data-label="B − A">{points(one.difference)}</td>'  # noqa: RUF001
        f'<td class="cmp-bar" data-label="95% interval">{_bar(one, reach, metric)}</td>'
        f'<td class="num" data-label="only A right">{one.only_a_right:,}</td>'
        f'<td class="num" data-label="only B right">{one.only_b_right:,}</td>'
        f'<td class="num {sure}" data-label="p">{chance(p)}</td></tr>'
    )


def points(value: float | None) -> str:
    """A difference in points: `+1.2`."""
    return DASH if value is None else f"{100 * value:+.1f}"


def chance(p: float) -> str:
    """A p-value in few letters: `0.032`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _bar(one: Paired, reach: float, metric: str) -> str:
    """The interval around its difference, zero in the middle, and its ends in figures."""
    if one.difference is None or one.interval is None:
        return DASH
    low, high = one.interval

    def x(value: float) -> float:
        return WIDE / 2 + value / reach * (WIDE / 2 - 6)

    ends = f"{points(low)} to {points(high)}"
    return (
        f'<svg class="gu-chart cmp-interval" viewBox="0 0 {WIDE} {HIGH}" role="img" '
        f'aria-label="{METRIC_WORDS[metric]}: {ends} points"><path class="axis" '
        f'd="M{WIDE / 2} 2V{HIGH - 2}"/><path class="cmp-line" d="M{x(low):.1f} {HIGH / 2}'
        f'H{x(high):.1f}"/><circle class="dot" cx="{x(one.difference):.1f}" cy="{HIGH / 2}" '
        f'r="4"/></svg><small class="num">{ends}</small>'
    )


def kinds(counts: Mapping[str, int], chosen: str) -> str:
    """The kinds of rows to look at, each with how many there are."""
    buttons = "".join(
        f'<button type="button" class="gu-copy" data-kind="{name}" '
        f'aria-pressed="{"true" if name == chosen else "false"}">{esc(words)} '
        f'<span class="num">{counts[name]:,}</span></button>'
        for name, words in KINDS.items()
    )
    return page(f'<div class="cmp-kinds" role="group" aria-label="Which rows">{buttons}</div>')
