"""A push as HTML: every file before it goes, and what of a job is at the Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from guardui.render import esc, note, page, size
from pipelines.hub_client import There
from pipelines.jobs.publishing import Preview
from pipelines.stages.push import KINDS


def preview_part(preview: Preview) -> str:
    """The files with their sizes and what they are, and the card as text."""
    total = sum(count for _, count, _ in preview.files)
    there = preview.there
    stays = preview.public and there is not None and there.private
    seen = (
        "which is private and stays so"
        if stays
        else "and anybody may see it"
        if preview.public
        else "privately"
    )
    rows = "".join(
        f"<tr><td><code>{esc(name)}</code></td><td>{esc(what)}</td>"
        f'<td class="num">{size(count)}</td></tr>'
        for name, count, what in preview.files
    )
    return page(
        f"<h3>{esc(KINDS[preview.kind].capitalize())} goes to {esc(preview.repo)}, {seen}</h3>"
        f'<p class="soft">{len(preview.files)} files, {size(total)}. Nothing has been sent yet; '
        f"what is there already isn't sent again.</p>{_taken_out(there)}"
        '<div class="gu-scroll gu-stacks"><table><thead><tr><th>File</th><th>What it is</th>'
        f'<th class="num">Size</th></tr></thead><tbody>{rows}</tbody></table></div>'
        "<details open><summary>The card</summary>"
        f'<pre class="gu-log" tabindex="0" aria-label="The card">{esc(preview.card)}</pre>'
        "</details>"
    )


def _taken_out(there: There | None) -> str:
    """What of an earlier push would go; and where nobody could look, that."""
    if there is None:
        return (
            "<p class=\"soft\">The repository isn't there yet, or can't be read with the token "
            "known here. Weights or tables of an earlier push that this one lacks would be "
            "removed from it.</p>"
        )
    names = "".join(f"<li><code>{esc(name)}</code></li>" for name in there.removed)
    said = "Left by an earlier push, and removed by this one"
    return f'<div class="gu-note warn"><strong>{said}</strong><ul>{names}</ul></div>' * bool(names)


def pushes_note(pushes: Sequence[Mapping[str, Any]]) -> str:
    """Where a job's results are at the Hub, with the commit; a link where it is an address."""
    lines = "".join(f"<li>{_pushed(one)}</li>" for one in pushes)
    return (
        f'<div class="gu-note info"><strong>At the Hub</strong><ul>{lines}</ul></div>'
        if lines
        else ""
    )


def _pushed(one: Mapping[str, Any]) -> str:
    repo, url, sha = (str(one.get(name, "")) for name in ("repo", "url", "revision"))
    words = f"{esc(repo)} at <code>{esc(sha[:12])}</code>"
    if urlsplit(url).scheme in ("http", "https"):
        words = f'<a href="{esc(url)}" target="_blank" rel="noopener noreferrer">{words}</a>'
    return words + ("" if one.get("changed", True) else ", nothing had changed")


def no_token_note() -> str:
    """What to do where nobody's token is known."""
    return note(
        "warn",
        "No token is known here",
        ["Type one into the field: it goes to this push alone and is kept nowhere."],
        "Or set HF_TOKEN, or run hf auth login, where GuardUI runs.",
    )
