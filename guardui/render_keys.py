"""API keys as HTML: the list, a new key, and the question before one is revoked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from guardui.render import copy_block, empty, esc, note, page

LOOKS = {"active": ("ok", "●"), "expired": ("na", "■"), "revoked": ("na", "✕")}
SCOPES = {"moderate": "moderate", "jobs": "jobs: launch, stop and read them, as a researcher"}
NO_KEYS = empty(
    "No keys yet", "Name what will call the moderation API, and press Make key. It is shown once."
)


def keys_table(keys: Sequence[Mapping[str, Any]]) -> str:
    """All keys, the newest first; a live one has a button."""
    if not keys:
        return NO_KEYS
    rows = "".join(_row(key) for key in keys)
    heads = "".join(
        f'<th scope="col">{word}</th>'
        for word in ("Key", "State", "Begins with", "For", "Made by", "Last used", "Expires")
    )
    return page(
        '<div class="gu-scroll gu-stacks"><table><caption class="vh">API keys, newest first'
        f'</caption><thead><tr>{heads}<th scope="col"><span class="vh">Revoke</span></th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _row(key: Mapping[str, Any]) -> str:
    look, sign = LOOKS[key["state"]]
    figures = {
        "begins with": f"<code>{esc(key['prefix'])}…</code>",
        "for": esc(", ".join(key["scopes"])),
        "made by": esc(key["made_by"]),
        "last used": _moment(key["used_at"], "never"),
        "expires": _moment(key["expires_at"], "never")[:10],
    }
    cells = "".join(f'<td data-label="{name}">{value}</td>' for name, value in figures.items())
    button = ""
    if key["state"] == "active":
        label = f"Revoke key {key['id']}, {key['name']}"
        button = (
            f'<button type="button" class="gu-copy" data-pick="{key["id"]}" '
            f'aria-label="{esc(label)}">Revoke</button>'
        )
    return (
        f"<tr><td><strong>{key['id']}</strong> · {esc(key['name'])}</td>"
        f'<td data-label="state"><span class="gu-pill {look}"><span aria-hidden="true">{sign}'
        f"</span> {key['state']}</span></td>{cells}<td>{button}</td></tr>"
    )


def _moment(text: str | None, without: str) -> str:
    return esc(text[:16].replace("T", " ")) if text else without


def made(key: Mapping[str, Any], text: str) -> str:
    """A new key, this once, and how it is sent."""
    said = note(
        "ok",
        f"Key {key['id']} is made",
        ["Copy it now: it is shown this once. It is sent as Authorization: Bearer gu_…"],
    )
    block = copy_block(f"{key['name']}: {', '.join(key['scopes'])}", text)
    return said + page(f'<div style="margin-top:10px">{block}</div>')


def question(key: Mapping[str, Any]) -> str:
    """Asked before a key is revoked."""
    return note(
        "warn",
        f"Revoke key {key['id']} · {key['name']}?",
        ["Whatever calls with it is refused from the next request on. It can't be undone."],
    )
