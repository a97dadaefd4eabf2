"""Mistakes as HTML: confusion matrices, and error rates by category, length and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guardui.render import DASH, esc, note, page
from guardui.render_compare import breakable, percent, span
from pipelines.comparing.error_groups import WAYS, Group, named
from pipelines.metrics import label_f1
from pipelines.schema import GuardTask
from pipelines.scoring.cells import Counts, Policy

FOLD = 12
LOOKS = ("a", "b")


@dataclass(frozen=True, slots=True)
class Matrix:
    """The counts of one run on the rows of one task, of one benchmark or of several."""

    run: str
    task: GuardTask
    counts: Counts
    policy: Policy = Policy.WRONG_ONCE


def matrices(found: Sequence[Matrix], where: str) -> str:
    """Confusion matrices beside each other; rows without a verdict have a column of their own."""
    if not found:
        return note("info", "No row", [f"{where}: neither run was asked any."])
    drawn = "".join(_matrix(one) for one in found)
    return page(f'<h3>Verdicts against gold: {esc(where)}</h3><div class="cmp-grid">{drawn}</div>')


def _matrix(one: Matrix) -> str:
    positive, negative = one.task.labels
    c = one.counts
    f1 = " · ".join(
        f"{percent(value)} {esc(label)}"
        for value, label in zip(label_f1(c, one.policy, one.task), one.task.labels, strict=True)
    )
    heads = "".join(
        f'<th scope="col" class="num">{esc(word)}</th>'
        for word in (f"says {positive}", f"says {negative}", "no verdict")
    )
    lines = "".join(
        _line(gold, cells)
        for gold, cells in (
            (positive, ((c.tp, "ok"), (c.fn, "bad"), (c.failed_positive, "warn"))),
            (negative, ((c.fp, "bad"), (c.tn, "ok"), (c.failed_negative, "warn"))),
        )
    )
    return (
        f'<section class="cmp-matrix"><h4>{esc(one.run)} <small>{esc(one.task.heading)}, '
        f'{c.rows:,} rows</small></h4><table><caption class="vh">Confusion matrix of '
        f'{esc(one.run)}</caption><thead><tr><th scope="col">Gold</th>{heads}</tr></thead>'
        f'<tbody>{lines}</tbody></table><p class="soft num">F1 of each label: {f1}</p></section>'
    )


def _line(gold: str, cells: Sequence[tuple[int, str]]) -> str:
    rows = sum(count for count, _ in cells)
    drawn = "".join(_count(count, rows, look) for count, look in cells)
    return f'<tr><th scope="row">{esc(gold)}</th>{drawn}</tr>'


def _count(count: int, rows: int, look: str) -> str:
    """A count with its share of the gold label's rows; the fuller, the stronger its ground."""
    share = count / rows if rows else 0.0
    sign = {"ok": "✓", "bad": "✕", "warn": "‼"}[look]
    told = f"{100 * share:.1f}%" if rows else DASH
    return (
        f'<td class="num cmp-{look}" style="--share:{100 * share:.0f}%">'
        f'<span aria-hidden="true">{sign}</span> {count:,}<small>{told}</small></td>'
    )


def error_tables(found: Mapping[str, Mapping[str, Sequence[Group]]], letters: Sequence[str]) -> str:
    """`found`: way -> run -> its groups. A table for each way that the rows tell of."""
    parts = []
    for way, by_run in found.items():
        if any(by_run.values()):
            parts.append(_groups(WAYS[way], by_run, letters))
        else:
            parts.append(f'<p class="soft">{esc(WAYS[way])}: these rows don\'t tell theirs.</p>')
    return page(*parts, classes="gu-stack")


def _groups(title: str, by_run: Mapping[str, Sequence[Group]], letters: Sequence[str]) -> str:
    names = named(tuple(groups) for groups in by_run.values())
    held = [{one.name: one for one in groups} for groups in by_run.values()]
    highest = max(one.error_rate or 0.0 for groups in by_run.values() for one in groups)
    lines = [
        _group(name, [groups.get(name) for groups in held], highest, letters) for name in names
    ]
    heads = "".join(
        f'<th scope="col" class="num">Errors {letter}</th><th scope="col" class="cmp-rate">'
        f"{esc(letter)}: error rate and its 95% interval</th>"
        for letter in letters
    )
    first, rest = lines[:FOLD], lines[FOLD:]
    more = f"<tbody hidden data-rest>{''.join(rest)}</tbody>" if rest else ""
    button = (
        f'<button type="button" class="gu-copy" data-more>Show all {len(lines)}</button>'
        if rest
        else ""
    )
    return (
        f"<section><h3>Errors by {esc(title.lower())}</h3>"
        '<div class="gu-scroll gu-stacks gu-tight">'
        f'<table class="cmp-groups"><caption class="vh">Error rate by {esc(title.lower())}'
        f'</caption><thead><tr><th scope="col">{esc(title)}</th><th scope="col" class="num">Rows'
        f"</th>{heads}</tr></thead><tbody>{''.join(first)}</tbody>{more}</table></div>{button}"
        "</section>"
    )


def _group(
    name: str, groups: Sequence[Group | None], highest: float, letters: Sequence[str]
) -> str:
    rows = max(one.rows for one in groups if one is not None)
    cells = "".join(
        _rate(one, highest, letter, look)
        for one, letter, look in zip(groups, letters, LOOKS, strict=False)
    )
    return (
        f'<tr><th scope="row">{breakable(name)}</th><td class="num" data-label="rows">{rows:,}</td>'
        f"{cells}</tr>"
    )


def _rate(one: Group | None, highest: float, letter: str, look: str) -> str:
    if one is None or one.error_rate is None:
        return f'<td class="num none">{DASH}</td><td class="none"></td>'
    counts = one.counts
    wrong = counts.fp + counts.fn + counts.failures
    scale = max(highest, 0.01)
    ends = f" <small class='num'>{span(one.interval)}</small>" if one.interval else ""
    return (
        f'<td class="num" data-label="errors {letter}">{wrong:,}</td>'
        f'<td class="cmp-rate" data-label="error rate {letter}"><span class="num">'
        f"{percent(one.error_rate)}%</span>{ends}"
        f'<span class="cmp-track {look}" aria-hidden="true"><i style="width:'
        f'{100 * one.error_rate / scale:.0f}%"></i></span></td>'
    )
