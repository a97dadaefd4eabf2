"""A report as one HTML file that needs nothing else: light and dark, readable aloud, printable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from pipelines.reports.blocks import (
    Block,
    Bullets,
    Cell,
    Document,
    Example,
    Examples,
    Grid,
    Paragraph,
    Section,
)

STYLE = """
:root { color-scheme: light dark; --bg: #f7f8fa; --panel: #fff; --line: #e3e6eb; --ink: #16191f;
  --soft: #5b6472; --accent: #3b5bdb; --best: #e7ecff; }
@media (prefers-color-scheme: dark) { :root { --bg: #0f1217; --panel: #171b22; --line: #2a303a;
  --ink: #e8ebf0; --soft: #9aa4b2; --accent: #8da2ff; --best: #1d2647; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 16px; top: 8px; background: var(--panel); padding: 8px 12px; }
main, header { max-width: 1180px; margin: 0 auto; padding: 20px 20px 8px; }
h1 { font-size: 26px; margin: 8px 0; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 36px 0 10px; }
h3 { font-size: 16px; margin: 24px 0 8px; }
p, li { max-width: 78ch; overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; padding: 0; }
nav a { display: inline-block; min-height: 24px; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.wide { overflow-x: auto; background: var(--panel); border: 1px solid var(--line);
  border-radius: 10px; margin: 10px 0 16px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 10px 12px 4px; color: var(--soft); font-size: 14px; }
th, td { padding: 7px 12px; text-align: right; vertical-align: top; font-size: 14.5px; }
thead th { border-bottom: 1px solid var(--soft); font-weight: 600; }
th:first-child, .w { text-align: left; }
tbody th { font-weight: 600; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
tbody tr.g > * { border-top: 1px solid var(--soft); }
td strong { background: var(--best); border-radius: 4px; padding: 0 3px; }
small { display: block; color: var(--soft); font-size: 12.5px; white-space: nowrap; }
td.w small, tbody th small { white-space: normal; font-weight: 400; }
details { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  margin: 6px 0; }
summary { cursor: pointer; padding: 8px 12px; min-height: 24px; overflow-wrap: anywhere; }
details div { padding: 0 12px 10px; }
dt { color: var(--soft); font-size: 14px; margin-top: 8px; }
dd { margin: 2px 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { :root { --bg: #fff; --panel: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  nav, .skip { display: none; } body { font-size: 11px; }
  th, td { padding: 3px 6px; font-size: 10px; }
  .wide { overflow: visible; border: 0; } h2, h3 { break-after: avoid; }
  tr, details { break-inside: avoid; } }
"""

# It shows texts of strangers: nothing in it may run or be fetched.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html(document: Document) -> str:
    """The whole page."""
    title = escape(document.title)
    anchors = _anchors(document)
    links = "".join(
        f'<li><a href="#{anchor}">{escape(section.title)}</a></li>'
        for section, anchor in zip(document.sections, anchors, strict=True)
        if section.level == 2
    )
    lead = "".join(f"<p>{escape(text)}</p>" for text in document.lead)
    body = "\n".join(
        _section(section, anchor)
        for section, anchor in zip(document.sections, anchors, strict=True)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#report">Skip to the report</a>\n'
        f'<header><h1>{title}</h1>{lead}<nav aria-label="Sections"><ul>{links}</ul></nav>'
        "</header>\n"
        f'<main id="report">\n{body}\n</main>\n</body>\n</html>\n'
    )


def _anchors(document: Document) -> list[str]:
    """An id for each section, of its title and its place."""
    return [
        f"s{number}-{re.sub(r'[^a-z0-9]+', '-', section.title.lower()).strip('-')}"
        for number, section in enumerate(document.sections, 1)
    ]


def _section(section: Section, anchor: str) -> str:
    heading = f'<h{section.level} id="{anchor}">{escape(section.title)}</h{section.level}>'
    return heading + "".join(part for block in section.blocks for part in _block(block))


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield f"<p>{escape(text)}</p>"
        case Bullets(items):
            yield "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Grid():
            yield _grid(block)
        case Examples(items):
            yield from map(_example, items)


def _grid(grid: Grid) -> str:
    """In a region that can be scrolled sideways, with the keyboard too."""
    caption = escape(grid.caption)
    head = "".join(
        f'<th scope="col"{_side(grid, n)}>{escape(title)}</th>' for n, title in enumerate(grid.head)
    )
    rows = "".join(
        ('<tr class="g">' if number in grid.groups else "<tr>")
        + "".join(
            f'<th scope="row">{_cell(cell)}</th>'
            if n == 0
            else f"<td{_side(grid, n)}{_hint(cell)}>{_cell(cell)}</td>"
            for n, cell in enumerate(row)
        )
        + "</tr>"
        for number, row in enumerate(grid.rows)
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{caption}"><table>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        "</table></div>"
    )


def _side(grid: Grid, column: int) -> str:
    return ' class="w"' if column in grid.words else ""


def _hint(cell: Cell) -> str:
    return f' title="{escape(cell.hint)}"' if cell.hint else ""


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.strong:
        text = f"<strong>{text}</strong>"
    return text + "".join(f"<small>{escape(line)}</small>" for line in cell.small)


def _example(example: Example) -> str:
    """Closed: its texts may be harmful."""
    texts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in example.texts
    )
    return (
        f"<details><summary>{escape(example.title)}</summary><div><dl>{texts}</dl></div></details>"
    )
