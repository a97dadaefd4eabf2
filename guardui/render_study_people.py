"""A study's people as HTML: who they are, how they rate, and the links that let them in."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from guardui.render import DASH, day, duration, empty, esc, note, page
from pipelines.preferences.results import Person as Habits
from pipelines.studies.figures import shown
from pipelines.studies.records import Person

NOBODY = empty("Nobody yet", "Make links below and send one to each person; a link is for one.")
# state -> (class, sign)
LOOKS = {
    "invited": ("na", "○"),
    "active": ("run", "●"),
    "stopped": ("na", "■"),
    "withdrawn": ("bad", "✕"),
}
Link = tuple[str, str]
"""(name or number of a person, address that lets them in)."""
WORKSHOP = (
    "Whoever reaches this page is a researcher on it, and can see which arm is which. For other "
    "people serve Rate apart from it, with GUARDUI_DEMO=1 on a port of its own, and name that "
    "address in GUARDUI_RATE_URL."
)


def known_as(one: Person) -> str:
    """`3 · Anna`, or the number alone."""
    return f"{one.number} · {one.name}" if one.name else f"{one.number}"


def people_table(people: Sequence[Person], habits: Mapping[str, Habits]) -> str:
    """Everybody with progress, time, attention and habits; `habits` by code."""
    if not people:
        return NOBODY
    rows = "".join(_row(one, habits.get(one.code)) for one in people)
    heads = "".join(
        f'<th scope="col" class="num"{f" title={chr(34)}{tip}{chr(34)}" if tip else ""}>{word}</th>'
        for word, tip in (
            ("Rated", "ratings that are counted"),
            ("Median", "time between seeing a conversation and rating it"),
            ("Attention", "items with a known answer that were rated right"),
            ("Left wins", "50% without a habit"),
            ("Agrees", "share of others' ratings of the same pairs that say the same"),
            ("Skipped", ""),
            ("Last", ""),
        )
    )
    return page(
        '<div class="gu-scroll gu-stacks gu-tight"><table class="st-table">'
        '<caption class="vh">People of this study</caption>'
        f'<thead><tr><th scope="col">Person</th><th scope="col">State</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(one: Person, habits: Habits | None) -> str:
    look, sign = LOOKS.get(one.state, ("na", "·"))
    remarks = "".join(f"<small>{esc(line)}</small>" for line in habits.remarks) if habits else ""
    if one.unread:
        remarks += f"<small>{one.unread:,} rated without opening the conversation</small>"
    attention = DASH
    if habits and habits.attention_seen:
        attention = f"{habits.attention_right} of {habits.attention_seen}"
    figures = {
        "rated": f"{habits.counted:,}" if habits else "0",
        "median": duration(habits.median_seconds) if habits and habits.stored else DASH,
        "attention": attention,
        "left wins": shown(habits.left_rate.value) if habits else DASH,
        "agrees": shown(habits.agreement) if habits else DASH,
        "skipped": f"{one.skips:,}",
        "last": day(one.last_at),
    }
    cells = "".join(
        f'<td class="num{" none" if text == DASH else ""}" data-label="{label}">{esc(text)}</td>'
        for label, text in figures.items()
    )
    return (
        f'<tr><th scope="row">{esc(known_as(one))}{remarks}</th>'
        f'<td><span class="gu-state {look}"><span aria-hidden="true">{sign}</span> '
        f"{esc(one.state)}</span></td>{cells}</tr>"
    )


def links_shown(study: str, links: Sequence[Link], *, workshop: bool = False) -> str:
    """Fresh links, which nothing keeps: to copy, or to take as a table.

    `workshop`: they lead to this page, where everybody is a researcher.
    """
    told = note(
        "warn",
        "Shown once",
        ["Only a hash of each link is kept. Copy them or take the table before you leave."],
    )
    if workshop:
        told += note("warn", "They lead to this page", [WORKSHOP])
    text = "\n".join(f"{who}\t{address}" for who, address in links)
    rows = "".join(
        f'<li data-copy-block><span>{esc(who)}</span><code data-copy-text tabindex="0">'
        f"{esc(address)}</code>"
        f'<button type="button" class="gu-copy" data-copy aria-label="Copy the link of {esc(who)}">'
        "Copy</button></li>"
        for who, address in links
    )
    every = (
        f'<div data-copy-block><pre data-copy-text class="vh">{esc(text)}</pre>'
        '<button type="button" class="gu-copy" data-copy>Copy all</button></div>'
    )
    table = f"data:text/csv;charset=utf-8,{quote(as_csv(links))}"
    return page(
        f'{told}<ol class="st-links">{rows}</ol><div class="gu-links">{every}'
        f'<a class="gu-copy" download="{esc(file_name(study))}-links.csv" href="{table}">'
        "Download CSV</a></div>",
        classes="gu-stack",
    )


def as_csv(links: Sequence[Link]) -> str:
    """person,link a line. What a spreadsheet would run as a formula is quoted."""
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(["person", "link"])
    rows.writerows((_harmless(who), address) for who, address in links)
    return written.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def file_name(name: str) -> str:
    """A study's name as part of a file's name."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    return "-".join(filter(None, kept.split("-")))[:60].lower() or "study"
