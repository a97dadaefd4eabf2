"""One hard sample as HTML: what it asks, how each answer stands to the gold, and what can be done.

All texts of the conversation and of the answers lie in `hs-secret` blocks, which the stylesheet
keeps shut until the reader asks; `data-act`, `data-ask` and `data-set` are read by `samples.js`.
"""

from __future__ import annotations

import json

from db.models import GenerationRow, HardSampleRow
from guardui.render import DASH, day, empty, esc, facts, page
from guardui.render_sample_answers import Split, answers_table, generation, secret, veil
from guardui.render_sample_diff import diff_html
from guardui.render_sample_words import CHANGES, EXPLAINED, SIDES, VALUES, flags_of
from pipelines.schema import GuardTask


def sample_detail(row: HardSampleRow, split: Split) -> str:
    """The whole sample, from what it is to how it came to be so."""
    return page(
        headline(row),
        actions(row),
        remarks(row),
        conversation(row),
        answers_table(row),
        comparison(row),
        "".join(generation(one, row, split) for one in row.generations),
        provenance(row),
        history(row),
        classes="hs-detail",
    )


def gone(sample: int) -> str:
    """For an address whose sample is no more."""
    return empty(f"Sample #{sample} is gone", "Its job was run again. Choose another in the list.")


def headline(row: HardSampleRow) -> str:
    """Number, origin, review, and the way to its neighbours."""
    look = {"accepted": "ok", "dropped": "bad"}.get(row.review, "na")
    state = f'<span class="gu-state {look}">{VALUES["review"].get(row.review, row.review)}</span>'
    edited = ' <span class="gu-mark run">✎ human-edited</span>' if row.human_edited else ""
    tasks = [
        task.value for task in GuardTask if row.response is not None or not task.needs_response
    ]
    return (
        f'<header class="hs-head" data-sample="{row.id}" data-gold="{esc(json.dumps(row.gold))}" '
        f'data-tasks="{esc(json.dumps(tasks))}" data-chosen="{_or_none(row.chosen)}" '
        f'data-rejected="{_or_none(row.rejected)}"><h2 tabindex="-1">Sample #{row.id} '
        f"{state}{edited}</h2>"
        '<span class="hs-near"><button type="button" class="gu-icon" data-step="-1" '
        'aria-label="Previous sample" title="Previous sample (k)">↑</button>'
        '<button type="button" class="gu-icon" data-step="1" aria-label="Next sample" '
        'title="Next sample (j)">↓</button>'
        '<button type="button" class="gu-icon" data-close aria-label="Close sample" '
        'title="Close (Esc)">✕</button></span></header>'
        f'<p class="soft hs-origin">{esc(row.row_id)}'
        f"{f' · {esc(row.source)}' if row.source else ''}</p>"
    )


def _or_none(position: int | None) -> str:
    return "" if position is None else str(position)


def actions(row: HardSampleRow) -> str:
    """The buttons for the whole sample; those that would change nothing are missing."""
    if row.review == "dropped":
        first = _button("Restore", 'data-act="restore"', "primary")
    else:
        done = row.review == "accepted"
        first = (
            _button("Back to review", 'data-act="restore"')
            if done
            else _button("✓ Accept", 'data-act="accept"', "primary", "a")
        )
        first += _button("✕ Drop…", 'data-ask="drop"', "", "d")
    rest = _button("Relabel gold…", 'data-ask="relabel"') + _button(
        "To a study…", 'data-ask="study"'
    )
    undo = _button("Undo last change", 'data-act="undo"') if row.changes else ""
    return (
        f'<div class="hs-actions" role="group" aria-label="Actions on this sample">{first}{rest}'
        f'{undo}<span class="grow"></span><button type="button" class="gu-copy" data-reveal '
        'aria-pressed="false">Reveal texts</button></div>'
    )


def _button(words: str, action: str, look: str = "", key: str = "") -> str:
    hint = f" <kbd>{key}</kbd>" if key else ""
    named = f' aria-keyshortcuts="{key}"' if key else ""
    return f'<button type="button" class="gu-copy {look}" {action}{named}>{words}{hint}</button>'


def remarks(row: HardSampleRow) -> str:
    """Why it was dropped, and its flags in words."""
    parts = []
    if row.review == "dropped":
        parts.append(("✕", "Dropped", esc(row.reason or "no reason was given"), "bad"))
    for flag in flags_of(row):
        said = esc(EXPLAINED[flag])
        if flag == "duplicate":
            said += (
                f' <button type="button" class="link accent" data-pick="{row.duplicate_of}">'
                f"Open #{row.duplicate_of}</button>"
            )
        parts.append(("⚑", VALUES["flag"][flag], said, "warn"))
    notes = "".join(
        f'<div class="gu-note {look}"><strong><span aria-hidden="true">{sign}</span> {title}'
        f"</strong>{said}</div>"
        for sign, title, said, look in parts
    )
    return f'<div class="hs-remarks">{notes}</div>' if notes else ""


def conversation(row: HardSampleRow) -> str:
    """Request and response, shut until asked for."""
    said = secret("request", row.prompt) + (
        secret("response", row.response)
        if row.response is not None
        else '<p class="soft">Response: none, so only the request is judged.</p>'
    )
    return (
        f'<section class="hs-part" aria-label="Conversation"><h3>Conversation</h3>{said}</section>'
    )


def comparison(row: HardSampleRow) -> str:
    """Chosen against rejected, word by word."""
    texts = {one.position: one for one in row.generations}
    chosen, rejected = _at(texts, row.chosen), _at(texts, row.rejected)
    if chosen is None or rejected is None:
        missing = " and ".join(
            name for name, one in (("chosen", chosen), ("rejected", rejected)) if one is None
        )
        body = (
            f'<p class="soft">Makes no pair: there is no {missing} answer. If the gold '
            "is wrong, relabel it; if it is right, this sample teaches HS-DPO nothing.</p>"
        )
        return f'<section class="hs-part"><h3>Chosen against rejected</h3>{body}</section>'
    length = len(chosen.text) + len(rejected.text)
    edits = "".join(
        _button(f"Edit {side}…", f'data-ask="edit" data-side="{side}"') for side in SIDES
    )
    return (
        '<section class="hs-part hs-diff" aria-label="Chosen against rejected">'
        '<div class="hs-title"><h3>Chosen against rejected</h3><span class="grow"></span>'
        '<span role="group" aria-label="Layout of the difference" class="hs-switch">'
        '<button type="button" class="gu-copy" data-diff="sides">Side by side</button>'
        '<button type="button" class="gu-copy" data-diff="inline">Inline</button></span></div>'
        f"<p class='soft num'>✓ answer {chosen.position + 1}: {len(chosen.text):,} characters · "
        f"✕ answer {rejected.position + 1}: {len(rejected.text):,} characters</p>"
        f'{veil(length)}<div class="hs-secret">{diff_html(rejected.text, chosen.text)}</div>'
        f'<div class="hs-actions">{edits}</div></section>'
    )


def _at(texts: dict[int, GenerationRow], position: int | None) -> GenerationRow | None:
    return None if position is None else texts.get(position)


def provenance(row: HardSampleRow) -> str:
    """Which moderator gave the answers, and how they were drawn."""
    drawn = ", ".join(f"{name} {value}" for name, value in row.sampling.items())
    about = {
        "moderator": esc(row.model) or DASH,
        "sampling": esc(drawn) or DASH,
        "task": esc(GuardTask(row.task).heading),
        "error": esc(VALUES["direction"].get(row.direction, "")) or DASH,
        "chosen": _place(row.chosen),
        "rejected": _place(row.rejected),
        "source row": esc(row.row_id),
        "job": f"#{row.job_id}",
    }
    return f'<section class="hs-part"><h3>Where it comes from</h3>{facts(about)}</section>'


def _place(position: int | None) -> str:
    return DASH if position is None else f"generation {position + 1}"


def history(row: HardSampleRow) -> str:
    """What people did to it, the newest first."""
    if not row.changes:
        return ""
    lines = "".join(
        f'<li><span class="num soft">{day(change.at)}</span> '
        f"{esc(CHANGES.get(change.action, change.action))}{_said(change.before, change.after)}</li>"
        for change in reversed(row.changes)
    )
    return f'<section class="hs-part"><h3>Changes</h3><ol class="hs-history">{lines}</ol></section>'


def _said(before: dict[str, object], after: dict[str, object]) -> str:
    """`: gold harmful → unharmful` for each thing that changed and can be said in a few words."""
    said = []
    for name in ("reason", "gold", "chosen", "rejected"):
        old, new = before.get(name), after.get(name)
        if old != new and name in after:
            said.append(f"{name} {_few(name, old)} → {_few(name, new)}")
    return f": {esc('; '.join(said))}" if said else ""


def _few(name: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items()) or "none"
    if name in SIDES and isinstance(value, int):
        return f"answer {value + 1}"
    text = str(value or "none")
    return text if len(text) <= 60 else text[:59] + "…"
