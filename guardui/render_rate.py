"""One pair as an annotator sees it: pure, escaped, and without a word about which arm is where.

Both sides are made by the same code from nothing but their text, so no mark-up tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardui.render import esc, page
from pipelines.shown_reasoning import shown_reasoning
from pipelines.studies.design import CRITERIA

# (value, key, words); 0 is BOTH_BAD.
SCALE = (
    (1, "1", "A much better"),
    (2, "2", "A slightly better"),
    (3, "3", "About the same"),
    (4, "4", "B slightly better"),
    (5, "5", "B much better"),
    (0, "B", "Both are bad"),
)
LEVELS = ("very poor", "poor", "fair", "good", "very good")
"""What 1 to 5 mean of a criterion."""
# mark -> (sign, word). Told by both, so that no colour is needed to tell them apart. In the list
# the word comes first: its first letter chooses it.
MARKS = {
    "wrong": ("✕", "wrong"),
    "unsupported": ("?", "unsupported"),
    "vague": ("≈", "vague"),
    "key": ("★", "key step"),
}
SIDES = (("left", "A"), ("right", "B"))
HEAD = 'id="rate-head" tabindex="-1"'
"""The heading of every screen, which the focus is moved to."""

Sections = Sequence[tuple[str, Sequence[str]]]


def item(
    heading: str,
    topic: str,
    question: str,
    left: str,
    right: str,
    *,
    talk: str = "",
    criteria: Sequence[str] = (),
) -> str:
    """One pair to be rated. `talk` is the conversation's HTML where it was revealed before."""
    about = f' <span class="soft">· {esc(topic)}</span>' if topic else ""
    return page(
        f'<h2 class="rate-title" {HEAD}>{esc(heading)}</h2>'
        f'<section class="gu-card rate-talk" aria-labelledby="rate-talk-head">'
        f'<h3 id="rate-talk-head">Conversation{about}</h3>{veil(shown=bool(talk))}'
        f'<div id="rate-talk">{talk}</div></section>'
        # The traces stand in the form, so that its question can stay in sight beside them.
        f'<form id="rate-form" class="rate-form" novalidate>'
        f"{traces(left, right, marking=True)}{_criteria(criteria)}"
        f'{_note()}<div class="gu-card rate-decide">{overall(question)}{_actions()}</div></form>'
    )


def veil(*, shown: bool) -> str:
    """What stands in the conversation's place until it is asked for."""
    return (
        f'<p class="rate-veil"{" hidden" if shown else ""}>'
        '<button type="button" class="rate-button" data-reveal aria-keyshortcuts="r">'
        'Show the conversation <kbd aria-hidden="true">R</kbd></button>'
        '<span class="soft">It may be harmful or upsetting to read.</span>'
        '<span class="rate-missing" id="rate-unseen" role="alert"></span></p>'
    )


def conversation(prompt: str, response: str | None) -> str:
    """Both turns; sent only once a person asks for them."""
    answer = (
        f'<p class="gu-plain">{esc(response)}</p>'
        if response
        else '<p class="soft">There is no answer: only the request is judged.</p>'
    )
    return (
        f'<div class="rate-turn"><h4>Person</h4><p class="gu-plain">{esc(prompt)}</p></div>'
        f'<div class="rate-turn"><h4>Assistant</h4>{answer}</div>'
    )


def traces(left: str, right: str, *, marking: bool) -> str:
    """A and B side by side; with `marking` each step can be marked."""
    sides = zip(SIDES, (left, right), strict=True)
    cards = "".join(_side(side, letter, raw, marking) for (side, letter), raw in sides)
    return f'<div class="gu-grid two rate-sides">{cards}</div>'


def _side(side: str, letter: str, raw: str, marking: bool) -> str:
    body, number = [], 0
    for title, steps in shown_reasoning(raw):
        lines = []
        for step in steps:
            number += 1
            lines.append(_step(side, letter, number, step, marking))
        body.append(f'<h4>{esc(title)}</h4><ol start="{number - len(steps) + 1}">{"".join(lines)}')
        body.append("</ol>")
    text = "".join(body) or '<p class="soft">No reasoning was written.</p>'
    return (
        f'<section class="gu-card rate-side rate-{letter.lower()}" '
        f'aria-label="Reasoning {letter}"><h3>{letter}</h3>'
        f'<div class="gu-trace">{text}</div></section>'
    )


def _step(side: str, letter: str, number: int, text: str, marking: bool) -> str:
    mark = _marker(side, letter, number) if marking else ""
    return (
        f'<li class="rate-step"><div class="rate-step-head"><small>step {number}</small>{mark}'
        f'</div><div class="rate-step-text">{esc(text)}</div></li>'
    )


def _marker(side: str, letter: str, number: int) -> str:
    options = "".join(
        f'<option value="{mark}">{word} {sign}</option>' for mark, (sign, word) in MARKS.items()
    )
    return (
        f'<select class="rate-mark" data-side="{side}" data-step="{number}" '
        f'aria-label="Mark step {number} of {letter}"><option value="">mark…</option>'
        f"{options}</select>"
    )


def overall(question: str, name: str = "overall") -> str:
    """The question and its six answers, as radio buttons."""
    answers = "".join(
        f'<label class="rate-choice{" rate-both" if value == 0 else ""}">'
        f'<input type="radio" name="{name}" value="{value}" aria-keyshortcuts="{key.lower()}">'
        f'<kbd aria-hidden="true">{key}</kbd><span>{words}</span></label>'
        for value, key, words in SCALE
    )
    return (
        f'<fieldset class="rate-overall"><legend>{esc(question)}</legend>'
        f'<div class="rate-scale">{answers}</div></fieldset>'
    )


def _criteria(names: Sequence[str]) -> str:
    """Each criterion for A and for B, from 1 (very poor) to 5 (very good)."""
    rows = "".join(criterion(name) for name in names if name != "support")
    if not rows:
        return ""
    return (
        '<section class="gu-card rate-criteria" aria-labelledby="rate-criteria-head">'
        '<h3 id="rate-criteria-head">Each on its own, from 1 (very poor) to 5 (very good)</h3>'
        f"{rows}</section>"
    )


def criterion(name: str, title: str = "", about: str = "", levels: Sequence[str] = LEVELS) -> str:
    """One criterion: two groups of five radio buttons, which `levels` say in words."""
    groups = "".join(
        f'<fieldset class="rate-levels rate-{letter.lower()}">'
        f"<legend>{letter}<span class='vh'>: {esc(name)}</span></legend>"
        + "".join(
            f'<label title="{word}"><input type="radio" name="{esc(name)}-{side}" value="{level}" '
            f'aria-label="{level}, {word}"><span aria-hidden="true">{level}</span></label>'
            for level, word in enumerate(levels, start=1)
        )
        + "</fieldset>"
        for side, letter in SIDES
    )
    return (
        f'<div class="rate-criterion" data-criterion="{esc(name)}"><div>'
        f"<strong>{esc(title or name.capitalize())}</strong>"
        f"<small>{esc(about or CRITERIA.get(name, ''))}</small></div>{groups}</div>"
    )


def _note() -> str:
    return (
        '<details class="rate-note"><summary>Add a note <small>(optional)</small></summary>'
        '<div class="in"><label class="vh" for="rate-note">Note on this pair</label>'
        '<textarea id="rate-note" name="note" rows="3" maxlength="2000" '
        'placeholder="What decided it, or what is odd about this pair"></textarea></div></details>'
    )


def _actions() -> str:
    return (
        '<div class="rate-actions">'
        '<button type="submit" class="rate-button primary">Save '
        '<kbd aria-hidden="true">Enter</kbd></button>'
        '<button type="button" class="rate-button" data-open="skip" aria-keyshortcuts="s">Skip '
        '<kbd aria-hidden="true">S</kbd></button>'
        '<button type="button" class="rate-button" data-act="undo" aria-keyshortcuts="u">Edit last '
        '<kbd aria-hidden="true">U</kbd></button>'
        '<p class="rate-missing" id="rate-missing" role="alert"></p></div>'
    )
