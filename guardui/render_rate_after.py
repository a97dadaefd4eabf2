"""What an annotator sees once a pair is rated, and where there is nothing to rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardui.render import DASH, LABEL_LOOKS, esc, page
from guardui.render_rate import HEAD, SCALE, SIDES, conversation, criterion, overall, traces
from pipelines.schema import GuardTask

SUPPORT = (
    "Does the reasoning support these verdicts?",
    "From 1 (not at all) to 5 (fully).",
    ("not at all", "a little", "in part", "mostly", "fully"),
)
WORDS = {value: words for value, _, words in SCALE}


def after(
    heading: str,
    said: int,
    question: str,
    pair: Mapping[str, Any],
    *,
    verdicts: bool,
    support: bool,
    editing: bool,
) -> str:
    """The rated pair: what each side concluded, and room for a change of mind.

    `pair` has prompt, response, left, right, left_verdicts and right_verdicts. Gold isn't shown.
    """
    concluded = _verdicts(pair) if verdicts else ""
    asked = (
        f'<section class="gu-card rate-criteria">{criterion("support", *SUPPORT)}</section>'
        if support
        else ""
    )
    return page(
        f'<h2 class="rate-title" {HEAD}>{esc(heading)}</h2>'
        f"<p>You said: <strong>{WORDS[said]}</strong>.</p>{concluded}"
        f'<form id="rate-after" class="rate-form">{asked}'
        '<div class="rate-actions"><button type="submit" class="rate-button primary">Next '
        '<kbd aria-hidden="true">Enter</kbd></button></div>'
        '<p class="rate-missing" id="rate-missing" role="alert"></p></form>'
        f'<details class="rate-change"{" open" if editing else ""}><summary>Changed your mind?'
        '</summary><div class="in"><p class="soft">Your first answer stays the one that counts; '
        "the second is kept beside it.</p>"
        f'<form data-send="revise" data-said="{said}">{overall(question, "second")}'
        '<div class="rate-actions"><button type="submit" class="rate-button">Keep second opinion'
        "</button></div></form></div></details>"
        '<details class="rate-again"><summary>Read both again</summary><div class="in">'
        f"{conversation(pair['prompt'], pair['response'])}"
        f"{traces(pair['left'], pair['right'], marking=False)}</div></details>"
    )


def feedback(pair: Mapping[str, Any], said: int, expected: str, why: str) -> str:
    """After a practice pair: what was expected, and why."""
    right = _side_of(said) == expected
    letter = dict(SIDES).get(expected, "")
    told = (
        (f"Yes, {letter} reasons better", "ok", "✓")
        if right
        else (f"Most would say that {letter} reasons better", "info", "i")
    )
    if not letter:
        told = ("Thank you", "info", "i")
    title, look, sign = told
    return page(
        f'<h2 class="rate-title" {HEAD}>Practice: {esc(title)}</h2>'
        f'<div class="gu-note {look}"><strong><span aria-hidden="true">{sign}</span> You said: '
        f"{WORDS[said]}</strong><p class='gu-plain'>{esc(why)}</p></div>"
        f"{_verdicts(pair)}"
        '<form id="rate-after" class="rate-form"><div class="rate-actions">'
        '<button type="submit" class="rate-button primary">Next '
        '<kbd aria-hidden="true">Enter</kbd></button></div></form>'
        '<details class="rate-again" open><summary>Both once more</summary><div class="in">'
        f"{traces(pair['left'], pair['right'], marking=False)}</div></details>"
    )


def _side_of(overall: int) -> str:
    return {1: "left", 2: "left", 4: "right", 5: "right"}.get(overall, "")


def _verdicts(pair: Mapping[str, Any]) -> str:
    cards = "".join(
        f'<section class="gu-card rate-{letter.lower()}" aria-label="Verdicts of {letter}">'
        f"<h3>{letter} concluded</h3>"
        f'<dl class="rate-verdicts">{_rows(pair[f"{side}_verdicts"], bool(pair["response"]))}</dl>'
        "</section>"
        for side, letter in SIDES
    )
    return f'<div class="gu-grid two rate-sides">{cards}</div>'


def _rows(verdicts: Mapping[str, Any], has_response: bool) -> str:
    rows = []
    for task in GuardTask:
        label = verdicts.get(task.value)
        if task.needs_response and not has_response:
            look, sign, word = "na", DASH, "n/a"
        elif label in LABEL_LOOKS:
            (look, sign), word = LABEL_LOOKS[label], str(label)
        else:
            look, sign, word = "warn", "‼", "none could be read"
        rows.append(
            f"<div><dt>{esc(task.heading)}</dt><dd><span class='gu-mark {look}'>"
            f"<span aria-hidden='true'>{sign}</span>{esc(word)}</span></dd></div>"
        )
    return "".join(rows)


# screen -> (title, text, (act, label) of its button)
PLAIN: dict[str, tuple[str, str, tuple[str, str] | None]] = {
    "ready": (
        "Practice is over",
        "From here on your answers count, and no answer is given away. Take your time.",
        ("next", "Begin"),
    ),
    "break": (
        "Time for a break?",
        "Everything is saved. Look out of the window for a while; the next pair waits for you.",
        ("next", "Go on"),
    ),
    "cap": (
        "That is enough for today",
        "Everything is saved. Nobody judges well for hours: come back tomorrow.",
        None,
    ),
    "done": (
        "All rated. Thank you.",
        "Everything is saved, and there is nothing more for you in this study.",
        None,
    ),
    "wait": (
        "Nothing for you at this moment",
        "Everything is saved. Others have the last pairs before them; one may come back.",
        ("next", "Look again"),
    ),
    "closed": (
        "This study is closed",
        "Thank you. What you rated before it closed is kept.",
        None,
    ),
    "paused": (
        "This study is paused",
        "What you rated is saved. It goes on from here once it is opened again.",
        ("state", "Look again"),
    ),
    "draft": (
        "This study has not begun",
        "Your link is right. Come back once the study has been opened.",
        ("state", "Look again"),
    ),
    "stopped": (
        "You have stopped",
        "What you rated is kept and counts. You may come back whenever you like.",
        ("resume", "Come back"),
    ),
    "withdrawn": (
        "You have withdrawn",
        "Your answers no longer count. You may close this page.",
        None,
    ),
}


def plain(screen: str, text: str = "") -> str:
    """A screen that only says something; `text` is said instead of the usual words."""
    title, usual, act = PLAIN[screen]
    button = (
        f'<div class="rate-actions"><button type="button" class="rate-button primary" '
        f'data-act="{act[0]}" data-go_on="1">{act[1]}</button></div>'
        if act
        else ""
    )
    return page(
        f'<div class="gu-empty rate-plain"><h2 {HEAD}>{esc(title)}</h2>'
        f"<p>{esc(text or usual)}</p>{button}</div>"
    )
