"""Rows on which two runs disagree as HTML: a page of them, and one conversation with both traces.

All texts lie in `hs-secret` blocks, as in the inspector: shut until the reader asks, and shut again
with the next row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardui.render import DASH, empty, esc, facts, page, trace
from guardui.render_sample_answers import Split, secret, veil
from pipelines.comparing.pairings import KINDS, Both
from pipelines.evaluations import Prediction
from pipelines.schema import GuardTask

PAGE_ROWS = 12
NOTHING_OPEN = empty("No row opened", "Choose one in the list to read what both runs made of it.")


@dataclass(frozen=True, slots=True)
class Listed:
    """A row in the list: its key in the address of a click, and what both said."""

    key: str
    row: Both


def rows_list(
    kind: str, listed: Sequence[Listed], number: int, matching: int, opened: str | None
) -> str:
    """One page of the rows of a kind; `number` counts pages from 1."""
    if not listed:
        return empty("No such row", f"{KINDS[kind]}: none of the rows that both were asked.")
    start = (number - 1) * PAGE_ROWS
    items = "".join(_item(one, one.key == opened) for one in listed)
    return page(
        f'<ol class="hs-list" start="{start + 1}" aria-label="{esc(KINDS[kind])}">{items}</ol>'
        + _pager(number, matching, start, len(listed))
    )


def _item(one: Listed, is_open: bool) -> str:
    row = one.row
    current = ' aria-current="true"' if is_open else ""
    about = " · ".join(esc(word) for word in (row.category, f"{row.length:,} characters") if word)
    gold = row.task.labels[0 if row.gold else 1]
    return (
        f'<li class="hs-row"{current}><button type="button" class="cmp-open" '
        f'data-open="{esc(one.key)}"><span class="hs-line"><b>{esc(row.row_id)}</b></span>'
        f'<span class="hs-line"><small class="num">{about}</small></span>'
        f'<span class="gu-marks"><span class="gu-mark">gold {esc(gold)}</span>'
        f"{mark(row.task, row.gold, row.said_a, 'A')}{mark(row.task, row.gold, row.said_b, 'B')}"
        "</span></button></li>"
    )


def mark(task: GuardTask, gold: bool, said: int, name: str = "") -> str:
    """`A ✓ harmful, right`: a verdict against the gold, by sign, word and colour."""
    before = f"{name} " if name else ""
    if said == -1:
        return f'<span class="gu-mark warn">{esc(before)}‼ no verdict</span>'
    label = task.labels[0 if said == 1 else 1]
    right = bool(said) == gold
    look, sign, word = ("ok", "✓", "right") if right else ("bad", "✕", "wrong")
    return f'<span class="gu-mark {look}">{esc(before)}{sign} {esc(label)}, {word}</span>'


def _pager(number: int, matching: int, start: int, shown: int) -> str:
    last = max(1, -(-matching // PAGE_ROWS))
    steps = (
        ("First page", "«", 1, number > 1),
        ("Previous page", "‹", number - 1, number > 1),  # noqa: RUF001 - a plain arrow
        ("Next page", "›", number + 1, number < last),  # noqa: RUF001
        ("Last page", "»", last, number < last),
    )
    buttons = [
        f'<button type="button" class="gu-icon" data-page="{to}" aria-label="{word}" '
        f'title="{word}"{"" if able else " disabled"}>{sign}</button>'
        for word, sign, to, able in steps
    ]
    told = f"{start + 1:,}{DASH}{start + shown:,} of {matching:,}"
    return (
        f'<nav class="hs-pager" aria-label="Pages">{"".join(buttons[:2])}'
        f'<span class="num">{told}</span>{"".join(buttons[2:])}</nav>'
    )


def conversation(
    row: Both, a: Prediction, b: Prediction, names: tuple[str, str], split: Split
) -> str:
    """A conversation with its gold label and both traces, all texts shut until asked for."""
    about = {"gold label": f"<b>{esc(a.gold)}</b>"}
    about |= {"category": esc(row.category)} if row.category else {}
    about |= {"source": esc(row.source)} if row.source else {}
    response = (
        secret("response", a.response)
        if a.response is not None
        else '<p class="soft">Response: none, so only the request is judged.</p>'
    )
    sides = "".join(
        _side(letter, name, one, row, said, split)
        for letter, name, one, said in (
            ("A", names[0], a, row.said_a),
            ("B", names[1], b, row.said_b),
        )
    )
    shown = page(
        f'<header class="hs-head"><h2 tabindex="-1">{esc(row.row_id)} '
        f"<small>{esc(row.task.heading)}</small></h2></header>"
        '<div class="hs-actions"><button type="button" class="gu-copy" data-reveal '
        'aria-pressed="false">Reveal texts</button></div>',
        facts(about),
        f'<section class="hs-part" aria-label="Conversation"><h3>Conversation</h3>'
        f"{secret('request', a.prompt)}{response}</section>"
        f'<div class="gu-grid two">{sides}</div>',
        classes="hs-detail",
    )
    return f'<div class="hs-root" data-shown="no">{shown}</div>'


def _side(letter: str, name: str, one: Prediction, row: Both, said: int, split: Split) -> str:
    figures = [f"{one.tokens:,} tokens"] if one.tokens else []
    if one.probability is not None:
        figures.append(f"{100 * one.probability:.0f}% {one.task.labels[0]}")
    fault = f'<p class="soft">Why not: {esc(one.error)}</p>' if one.error else ""
    sections = split(one.raw) if one.raw else []
    body = trace(sections) if sections else f'<p class="gu-plain">{esc(one.raw)}</p>'
    text = (
        f'{veil(len(one.raw))}<div class="hs-secret" dir="auto">{body}</div>'
        if one.raw
        else '<p class="soft">No trace was kept.</p>'
    )
    return (
        f'<section class="gu-gen" aria-label="{letter}"><header><strong>{letter} · {esc(name)}'
        f"</strong>{mark(row.task, row.gold, said)}"
        f"<small class='num'>{esc(' · '.join(figures))}</small></header>{fault}{text}</section>"
    )
