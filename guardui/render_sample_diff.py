"""What differs between two texts, word by word, as HTML: marked by sign and line, not only by hue.

Lines are matched first and words within changed lines after, so that texts of a few thousand
words take milliseconds and stand beside each other paragraph by paragraph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from guardui.render import esc
from pipelines.inspection import Op, word_diff

LEAST_SHARED = 0.3
MINUS = "\N{MINUS SIGN}"
Kind = Literal["same", "gone", "new"]


class Piece(NamedTuple):
    """A run of text: in both, in the rejected one only (`gone`), or in the chosen only (`new`)."""

    kind: Kind
    text: str


def diff_lines(rejected: str, chosen: str) -> list[list[Piece]]:
    """From rejected to chosen, as rows of pieces; each row is a line of one or of both texts."""
    old, new = rejected.split("\n"), chosen.split("\n")
    rows: list[list[Piece]] = []
    for tag, a, b, c, d in _matcher(old, new).get_opcodes():
        if tag == "equal":
            rows += [[Piece("same", line)] for line in old[a:b]]
        else:
            rows += list(_changed(old[a:b], new[c:d]))
    return rows


def _matcher(old: Sequence[str], new: Sequence[str]) -> SequenceMatcher[str]:
    # Exact matching takes the product of the lengths in the worst case: seconds for a text that
    # rambles on in one line. There, what occurs all over is no longer looked at.
    return SequenceMatcher(None, old, new, autojunk=len(old) * len(new) > 500_000)


def _changed(old: Sequence[str], new: Sequence[str]) -> Iterator[list[Piece]]:
    """Lines that stand for each other are compared by words, left-over ones are all new or gone."""
    for before, after in zip(old, new, strict=False):
        yield diff_words(before, after)
    yield from ([Piece("gone", line)] for line in old[len(new) :])
    yield from ([Piece("new", line)] for line in new[len(old) :])


def diff_words(old: str, new: str) -> list[Piece]:
    """From old to new, word by word; blanks are kept as they are."""
    kinds: dict[Op, Kind] = {"equal": "same", "delete": "gone", "insert": "new"}
    pieces = [Piece(kinds[op], text) for op, text in word_diff(old, new)]
    shared = sum(len(piece.text) for piece in pieces if piece.kind == "same")
    # Lines that share hardly anything read better whole than as confetti.
    if old and new and shared < LEAST_SHARED * min(len(old), len(new)):
        return [Piece("gone", old), Piece("new", new)]
    return pieces


def diff_html(rejected: str, chosen: str) -> str:
    """Both ways of looking at it, inline and side by side; a class on an ancestor picks one."""
    rows = diff_lines(rejected, chosen)
    if all(piece.kind == "same" for row in rows for piece in row):
        return '<p class="soft">Chosen and rejected are the same text.</p>'
    inline = "".join(f"<p>{_marked(row, ('same', 'gone', 'new'))}</p>" for row in rows)
    sides = "".join(_side_row(row) for row in rows)
    return (
        f'<div class="hs-inline" role="group" aria-label="Inline difference">{inline}</div>'
        '<table class="hs-sides"><caption class="vh">Rejected beside chosen</caption><thead><tr>'
        '<th scope="col">✕ Rejected</th><th scope="col">✓ Chosen</th></tr></thead>'
        f"<tbody>{sides}</tbody></table>"
    )


def _side_row(row: Sequence[Piece]) -> str:
    left, right = _marked(row, ("same", "gone")), _marked(row, ("same", "new"))
    return f"<tr><td>{left}</td><td>{right}</td></tr>"


def _marked(row: Sequence[Piece], kinds: Sequence[Kind]) -> str:
    return "".join(_piece(piece) for piece in row if piece.kind in kinds)


def _piece(piece: Piece) -> str:
    if piece.kind == "same" or not piece.text.strip():
        return esc(piece.text)
    gone = piece.kind == "gone"
    tag, sign = ("del", MINUS) if gone else ("ins", "+")
    word = "only in the rejected" if gone else "only in the chosen"
    return f'<{tag}><span class="sign" title="{word}">{sign}</span>{esc(piece.text)}</{tag}>'
