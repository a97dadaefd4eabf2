"""What a report is laid out of: sections of paragraphs, lists, tables and examples.

Texts are plain: whoever writes a form escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """`small` are lines below the figure: an interval, a rate. `strong` marks the best; `hint`
    says why there is no figure."""

    text: str
    small: tuple[str, ...] = ()
    strong: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; the first column names the row. `words` are the columns of words, which stand
    left; the rest are figures. `groups` are places of rows before which a line is drawn."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A row that is hidden until asked for: what it is, and its texts by name."""

    title: str
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Examples:
    items: tuple[Example, ...]


Block = Paragraph | Bullets | Grid | Examples


@dataclass(frozen=True, slots=True)
class Section:
    """`level` is 2 or 3, as of HTML's headings."""

    title: str
    blocks: tuple[Block, ...]
    level: int = 2


@dataclass(frozen=True, slots=True)
class Document:
    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]
