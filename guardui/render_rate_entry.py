"""What stands around the pairs of the Rate tab before the first one: shell, entry, consent."""

from __future__ import annotations

from collections.abc import Sequence

from guardui.render import esc, page
from guardui.render_rate import HEAD, MARKS
from pipelines.studies.design import CRITERIA, StudyDesign

SKIP_REASONS = {
    "unsure": "I can't judge it",
    "distressing": "It is too upsetting",
    "broken": "The text is broken or cut off",
    "topic": "I know too little of the topic, or the language",
    "other": "Another reason",
}
CONSENT = (
    "You are asked to compare how moderation models reason. Taking part is voluntary.",
    "What is stored: your answers and notes, when you gave them and how long each took. They are "
    "kept under a number, not under your name; a name that you give lies apart and can be deleted "
    "on its own.",
    "You may skip any pair, stop at any time without giving a reason, and come back later.",
    "You may withdraw: your answers then no longer count, and if you ask for it they are erased.",
)
GUIDELINES = (
    "Read the conversation, then both traces. Judge the reasoning, not its length, its style or "
    "whether you share its opinion.",
    "The final answers are hidden until you have rated; then you may add a second opinion.",
    "Use “about the same” where you see no difference, and “both are bad” where neither helps.",
)
KEYS = (
    ("R", "show the conversation"),
    ("1 to 5", "whose reasoning is better"),
    ("B", "both are bad"),
    ("Enter", "save, and go on"),
    ("S", "skip, with a reason"),
    ("U", "edit the last one"),
    ("?", "this help"),
)


def shell() -> str:
    """The frame that stays while its screens come and go, so that live regions are heard."""
    return page(
        '<div id="rate-app" class="rate-app">'
        '<div class="rate-line" id="rate-line" hidden><span class="gu-pill" id="rate-study"></span>'
        '<div class="gu-bar" role="progressbar" id="rate-bar" aria-label="rated" '
        'aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"><i></i></div>'
        '<span class="soft num" id="rate-count"></span>'
        '<span class="rate-saved" id="rate-saved" role="status" aria-live="polite"></span>'
        '<span class="soft" id="rate-draft" aria-hidden="true"></span><span class="grow"></span>'
        '<button type="button" class="rate-button" data-act="next" data-rest="1">Break</button>'
        '<button type="button" class="rate-button" data-open="stop">Stop</button>'
        '<button type="button" class="rate-button" data-open="help" aria-keyshortcuts="?">Help '
        '<kbd aria-hidden="true">?</kbd></button></div>'
        '<div id="rate-alert" role="alert"></div>'
        '<div class="rate-actions" id="rate-who" hidden>'
        '<button type="button" class="rate-button primary" data-again>Try again</button>'
        '<button type="button" class="rate-button" data-another>Use another code</button></div>'
        '<div id="rate-screen"><p class="soft" role="status">Opening…</p></div>'
        f"{_help()}{_skip()}{_stop()}{_leave()}{_swap()}</div>"
    )


def _dialog(name: str, title: str, body: str) -> str:
    return (
        f'<dialog id="rate-{name}" class="rate-dialog" aria-labelledby="rate-{name}-title">'
        f'<h2 id="rate-{name}-title">{esc(title)}</h2>{body}</dialog>'
    )


def _shut(words: str) -> str:
    return f'<button type="button" class="rate-button" data-shut>{words}</button>'


def _help() -> str:
    keys = "".join(f"<dt><kbd>{key}</kbd></dt><dd>{words}</dd>" for key, words in KEYS)
    marks = "".join(f"<li>{sign} {word}</li>" for sign, word in MARKS.values())
    return _dialog(
        "help",
        "Keys and marks",
        f'<dl class="rate-keys">{keys}</dl>'
        '<label class="rate-check"><input type="checkbox" id="rate-keys" checked>'
        "<span>Use these keys <small>(never while you write in a field)</small></span></label>"
        f"<h3>Marks of a step</h3><ul class='rate-list'>{marks}</ul>"
        '<p class="soft">Everything is saved as you go. If the connection is lost, keep the page '
        "open: it goes on trying and says when it is through.</p>"
        f'<div class="rate-actions">{_shut("Close")}'
        '<button type="button" class="rate-button quiet" data-open="leave">Sign out of this browser'
        "</button></div>",
    )


def _skip() -> str:
    reasons = "".join(
        f'<label class="rate-check"><input type="radio" name="reason" value="{value}"'
        f"{' checked' if value == 'unsure' else ''}><span>{words}</span></label>"
        for value, words in SKIP_REASONS.items()
    )
    return _dialog(
        "skip",
        "Skip this pair?",
        f'<form data-send="skip"><fieldset><legend class="soft">It is not shown to you again. '
        f"Why?</legend>{reasons}</fieldset>"
        '<label class="rate-field">Note <small>(optional)</small>'
        '<input type="text" name="note" maxlength="500" autocomplete="off"></label>'
        '<div class="rate-actions"><button type="submit" class="rate-button primary">Skip'
        f"</button>{_shut('Go back')}</div></form>",
    )


def _stop() -> str:
    return _dialog(
        "stop",
        "Stop here?",
        "<p>What you have rated is kept and counts. You can come back whenever you like.</p>"
        '<div class="rate-actions"><button type="button" class="rate-button primary" '
        f'data-act="stop">Stop for now</button>{_shut("Go on rating")}</div>'
        '<details class="rate-withdraw"><summary>Withdraw from the study</summary><div class="in">'
        "<p>Your answers no longer count. This can't be undone.</p>"
        '<form data-send="withdraw"><label class="rate-check"><input type="checkbox" name="erase">'
        "<span>Also erase my answers from the disk</span></label>"
        '<div class="rate-actions"><button type="submit" class="rate-button danger">'
        "Withdraw</button></div></form></div></details>",
    )


OWN_LINK = (
    '<div class="rate-own" data-copy-block><p>Without this link you do not get back in. '
    "Copy it first:</p><code data-copy-text></code> "
    '<button type="button" class="gu-copy" data-copy>Copy</button></div>'
)


def _leave() -> str:
    return _dialog(
        "leave",
        "Sign out of this browser?",
        f"<p>What you have rated stays saved.</p>{OWN_LINK}"
        '<div class="rate-actions"><button type="button" class="rate-button danger" data-forget>'
        f"Sign out</button>{_shut('Stay')}</div>",
    )


def _swap() -> str:
    return _dialog(
        "swap",
        "Use another personal link?",
        "<p>This browser rates by another personal link than the one that was opened. Everybody "
        f"should rate by their own.</p>{OWN_LINK}"
        '<div class="rate-actions"><button type="button" class="rate-button danger" data-take>'
        f"Use the new link</button>{_shut('Stay with mine')}</div>",
    )


def entry(studies: Sequence[tuple[int, str]], *, hub: bool, account: str = "") -> str:
    """How a person gets in: by an open study and a name, a Hub login, or an invite code."""
    parts = []
    if studies:
        parts.append(_join(studies, account if hub else ""))
    if hub and not account:
        parts.append(
            '<p><a class="rate-button primary" href="login/huggingface?_target_url=/%3Ftab%3Drate">'
            "Log in with Hugging Face</a></p>"
        )
    parts.append(
        '<form class="gu-card rate-enter" data-send="enter"><h3>I was invited</h3>'
        '<label class="rate-field">Invite code <small>or the whole personal link</small>'
        '<input type="text" name="code" required autocomplete="off" spellcheck="false" '
        'autocapitalize="off"></label>'
        '<button type="submit" class="rate-button primary">Continue</button></form>'
    )
    nothing = "" if studies else "<p class='soft'>No study is open to everybody at the moment.</p>"
    return page(
        f'<div class="rate-narrow"><h2 {HEAD}>Whose reasoning is better?</h2>'
        "<p>You read two ways of reasoning about the same conversation, and say which is better. "
        "Some of what you may read is harmful; a conversation stays hidden until you show it.</p>"
        f"{nothing}{''.join(parts)}</div>"
    )


def _join(studies: Sequence[tuple[int, str]], account: str) -> str:
    choices = "".join(
        f'<label class="rate-check"><input type="radio" name="study" value="{number}"'
        f"{' checked' if place == 0 else ''}><span>{esc(name)}</span></label>"
        for place, (number, name) in enumerate(studies)
    )
    who = (
        f"<p class='soft'>You are logged in as {esc(account)}.</p>"
        if account
        else '<label class="rate-field">Your name <small>any name will do</small>'
        '<input type="text" name="name" required maxlength="100" autocomplete="nickname"></label>'
    )
    return (
        '<form class="gu-card rate-enter" data-send="join"><h3>Open to everybody</h3>'
        f'<fieldset><legend class="vh">Study</legend>{choices}</fieldset>{who}'
        '<button type="submit" class="rate-button primary">Take part</button></form>'
    )


def consent(study: str, design: StudyDesign, *, link: bool) -> str:
    """Guidelines, content warning, topics that may be left out, and consent."""
    topics = "".join(
        f'<label class="rate-check"><input type="checkbox" name="topic" value="{esc(topic)}">'
        f"<span>{esc(topic)}</span></label>"
        for topic in design.topics
    )
    without = (
        f'<fieldset><legend>Leave these topics out for me</legend><div class="rate-topics">{topics}'
        "</div></fieldset>"
        if topics
        else ""
    )
    keep = (
        '<div class="gu-note info"><strong>Your personal link</strong>'
        "<p>Keep it to go on from another browser. Whoever has it can answer as you.</p>"
        '<div data-copy-block><code data-copy-text id="rate-link"></code> '
        '<button type="button" class="gu-copy" data-copy>Copy</button></div></div>'
        if link
        else ""
    )
    criteria = "".join(
        f"<li><strong>{esc(name.capitalize())}.</strong> {esc(CRITERIA[name])}</li>"
        for name in design.criteria
    )
    return page(
        f'<div class="rate-narrow gu-stack"><h2 {HEAD}>{esc(study)}</h2>{keep}'
        f'<section class="gu-card"><h3>What to do</h3>{_text(design.guidelines, GUIDELINES)}'
        f"{f'<ul class=rate-list>{criteria}</ul>' if criteria else ''}</section>"
        '<section class="gu-note warn"><strong><span aria-hidden="true">!</span> Some of it is '
        "harmful</strong><p>Conversations may be about violence, hatred, sex, self-harm or crime, "
        "and traces quote them. A conversation stays hidden until you show it; you can skip any "
        "pair and take a break at any time.</p></section>"
        f'<form class="gu-card" data-send="consent"><h3>Taking part</h3>'
        f"{_text(design.consent, CONSENT)}{without}"
        '<label class="rate-check"><input type="checkbox" name="agreed" required>'
        "<span>I am an adult, have read this, and take part of my own free will.</span></label>"
        '<div class="rate-actions"><button type="submit" class="rate-button primary">Begin</button>'
        "</div></form></div>"
    )


def _text(own: str, usual: Sequence[str]) -> str:
    paragraphs = [part for part in own.split("\n\n") if part.strip()] or usual
    return "".join(f'<p class="gu-plain">{esc(part.strip())}</p>' for part in paragraphs)
