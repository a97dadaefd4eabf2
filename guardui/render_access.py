"""The Access tab's parts: how the page stands open, who may log in, and what was done by whom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from db.access_models import AuditRow
from guardui.access import Role
from guardui.render import DASH, copy_block, empty, esc, note, page
from guardui.users import Register

# The beginning of an act -> what people read above the log's filter.
ACTS = {
    "": "Everything",
    "job.": "Jobs",
    "sample.": "Hard samples",
    "pairs.": "Pair sets",
    "study.": "Studies",
    "push": "Pushes",
    "key.": "API keys",
    "user.": "Users",
    "login.": "Logins",
}


def standing(said: str, *, is_open: bool) -> str:
    """How the page stands open, in a sentence."""
    advice = (
        "Others are let in by a login: make one with `guardui users add NAME`, then serve at an "
        "address that they reach."
        if is_open
        else None
    )
    return note("info", said, advice=advice)


def people(register: Register) -> str:
    """Who may log in, and how many links still make somebody."""
    if not register.users and not register.invites:
        return empty("No logins", "Make the first for yourself: guardui users add NAME.")
    rows = [
        f"<td><strong>{esc(one.name)}</strong></td>"
        f'<td data-label="role">{esc(one.role.value)}</td>'
        f'<td data-label="since"><span class="num">{esc(one.made_at[:10])}</span></td>'
        for one in sorted(register.users.values(), key=lambda one: one.name.lower())
    ]
    waiting = sum(not one.expired for one in register.invites.values())
    links = "1 invite link still counts." if waiting == 1 else f"{waiting} invite links count."
    return page(
        _table("People who may log in", ("Name", "Role", "Since"), rows) if rows else "",
        f"<p><small>{links}</small></p>" if waiting else "",
        "<p><small>A login is taken away with <code>guardui users remove NAME</code>; "
        "whoever uses it is logged out at once.</small></p>",
    )


def invited(link: str, role: str, days: int, *, is_open: bool) -> str:
    """A fresh link, which isn't shown again."""
    asks = is_open and role == Role.RESEARCHER
    later = " From GuardUI's next start on, everybody logs in, you too." if asks else ""
    return page(
        f"<p>It makes one {esc(role)}, within {days} days, and isn't shown again.{later}</p>",
        copy_block("Invite link", link),
    )


def log(rows: Sequence[AuditRow]) -> str:
    """The audit log, the newest first."""
    if not rows:
        return empty("Nothing yet", "Launches, stops, changes and logins are listed here.")
    lines = [
        f'<td><span class="num">{_when(row.at)}</span></td>'
        f'<td data-label="who">{esc(row.actor)}</td>'
        f'<td data-label="by">{esc(row.entrance)}</td>'
        f'<td data-label="act"><code>{esc(row.act)}</code></td>'
        f'<td data-label="what">{esc(row.subject)}</td>'
        f'<td data-label="details"><small>{esc(_told(row)) or DASH}</small></td>'
        for row in rows
    ]
    heads = ("When", "Who", "By", "Act", "What", "Details")
    return page(_table("Audit log, newest first", heads, lines))


def _table(caption: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="gu-scroll gu-stacks"><table><caption class="vh">{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _when(at: datetime) -> str:
    local = at.astimezone()
    return f"{local.day} {local:%b %H:%M}"


def _told(row: AuditRow) -> str:
    kept = [(name, value) for name, value in row.details.items() if value not in (None, "")]
    return ", ".join(f"{name} {_plain(value)}" for name, value in kept)


def _plain(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)
