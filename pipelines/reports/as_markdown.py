"""A report as Markdown, of the kind that GitHub shows: texts escaped, long ones cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.reports.blocks import (
    Block,
    Bullets,
    Cell,
    Document,
    Example,
    Examples,
    Grid,
    Paragraph,
)

LONGEST = 160
_SPECIAL = re.compile(r"([\\`*_\[|~$])")
# What makes a list, a heading or a quotation, but only where a line begins with it.
_AT_START = re.compile(r"^(?P<before>\d*)(?P<mark>[-+=](?=[-+=\s]|$)|[#>]|(?<=\d)[.)](?=\s|$))")


def markdown(document: Document) -> str:
    """The whole document; each paragraph is a line."""
    parts = [f"# {escaped(document.title)}", *map(escaped, document.lead)]
    for section in document.sections:
        parts.append(f"{'#' * section.level} {escaped(section.title)}")
        for block in section.blocks:
            parts += _block(block)
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    line = _AT_START.sub(r"\g<before>\\\g<mark>", line)
    # Bare addresses would become links.
    return re.sub(r"(?i)\b(https?|www)([:.])", r"\1&#8203;\2", line)


def cut(text: str, longest: int = LONGEST) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[:longest].rstrip()}…"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield escaped(text)
        case Bullets(items):
            yield "\n".join(f"- {escaped(item)}" for item in items)
        case Grid():
            yield f"**{escaped(block.caption)}**"
            yield _grid(block)
        case Examples(items):
            yield "\n".join(map(_example, items))


def _grid(grid: Grid) -> str:
    marks = [":--" if n == 0 or n in grid.words else "--:" for n in range(len(grid.head))]
    lines = [
        f"| {' | '.join(map(escaped, grid.head))} |",
        f"| {' | '.join(marks)} |",
        *(f"| {' | '.join(map(_cell, row))} |" for row in grid.rows),
    ]
    return "\n".join(lines)


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    if cell.strong and text:
        text = f"**{text}**"
    return "<br>".join([text, *(f"<sub>{escaped(line)}</sub>" for line in cell.small)])


def _example(example: Example) -> str:
    texts = "".join(f"\n  - {escaped(name)}: {escaped(cut(text))}" for name, text in example.texts)
    return f"- {escaped(example.title)}{texts}"
