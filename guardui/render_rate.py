"""What the Rate tab shows, as HTML: pure, escaped, and without a word about which arm is where."""

from __future__ import annotations

import re
from collections.abc import Sequence

from guardui.render import empty, esc, hidden, page, state_bar, trace
from pipelines.preference_stats import Interval, WinRate
from pipelines.template import GuardTemplate

CONCLUSION = re.compile(r"\W*conclusion\b", re.I)
VERDICT_LINE = re.compile(
    r"\W*(answers?|request|completion|response)?\W*((un)?harmful|refusal|compliance|none)?\W*", re.I
)
SCALE = (
    (1, "A much better"),
    (2, "A slightly better"),
    (3, "About the same"),
    (4, "B slightly better"),
    (5, "B much better"),
)


def no_study(*, researcher: bool) -> str:
    """Before any study exists."""
    hint = (
        "Make one below from two files of predictions."
        if researcher
        else "Nothing to rate at the moment. Come back when a study has been opened."
    )
    return empty("No study yet", hint)


def invitation() -> str:
    """Before an annotator has started."""
    return empty(
        "Choose a study, give a name, and start",
        "You read two traces of reasoning and say which is better. Some quote harmful text.",
    )


def done(study: str, pairs: int) -> str:
    """After the last pair."""
    return page(
        f'<div class="gu-empty" id="rate-head" tabindex="-1"><strong>All {pairs:,} rated and '
        f"saved. Thank you.</strong>{esc(study)} has nothing more for you. "
        "Choose another study above, or close the page.</div>"
    )


def item(
    study: str,
    rated: int,
    pairs: int,
    prompt: str,
    response: str | None,
    left: str,
    right: str,
    saved: str = "",
) -> str:
    """One pair: progress, the conversation closed, and the traces as A and B.

    `saved` is said beside the progress; give it only once the row is in the database.
    """
    state = f' · <span class="gu-state ok">{esc(saved)}</span>' if saved else ""
    text = f"Human user:\n{prompt}\n\nAI assistant:\n{response or '(no response)'}"
    return page(
        '<div class="rate-line" id="rate-head" tabindex="-1">'
        f'<span class="gu-pill">{esc(study)}</span>'
        f"{state_bar(rated / pairs if pairs else 0.0, '')}"
        f'<span class="soft num" role="status">{rated:,} of {pairs:,}{state}</span></div>'
        f'<div class="gu-card" id="rate-conversation"><h3>Conversation</h3>'
        f"{hidden(text, 'the conversation')}</div>"
        f'<div class="gu-grid two rate-sides">{side("A", left)}{side("B", right)}</div>'
    )


def question(text: str) -> str:
    """What is asked of each pair."""
    return page(f"<h3>{esc(text)}</h3>")


def keys() -> str:
    """Which keys do what."""
    return page(
        "<p class='soft'><kbd>R</kbd> shows the conversation · <kbd>1</kbd> to <kbd>5</kbd> rate, "
        "save and go on</p>"
    )


def side(letter: str, raw: str) -> str:
    """One trace with its steps numbered and its verdicts left out."""
    sections = reasoning(raw)
    body = trace(sections) if sections else '<p class="soft">No reasoning was written.</p>'
    return (
        f'<section class="gu-card rate-{letter.lower()}" aria-label="Reasoning {letter}">'
        f"<h3>{letter}</h3>{body}</section>"
    )


def reasoning(raw: str) -> list[tuple[str, list[str]]]:
    """The sections and steps of an output, less all that only states a verdict."""
    sections = []
    for title, steps in GuardTemplate.default().steps(raw):
        kept = [_without_verdicts(step) for step in steps if not CONCLUSION.match(step)]
        if any(kept):
            sections.append((title, [step for step in kept if step]))
    return sections


def _without_verdicts(step: str) -> str:
    lines = step.split("\n")
    return "\n".join(
        line for line in lines if not line.strip() or not VERDICT_LINE.fullmatch(line)
    ).strip()


def results(arms: Sequence[str], rate: WinRate, people: int, items: int) -> str:
    """The win rate of the first arm, for researchers."""
    if rate.rate is None:
        return empty("No ratings yet", "The win rate appears here with the first rating.")
    level = f"{rate.confidence:.0%}"
    rows = [
        ("Win rate, ties as halves", rate.rate, rate.interval, "Tango's score interval"),
        ("Decisive ratings only", rate.decisive_rate, rate.decisive_interval, "Wilson's interval"),
        ("Ties", rate.tie_rate, None, ""),
    ]
    body = "".join(_row(*row) for row in rows)
    counts = (
        f"{rate.n:,} ratings of {items:,} pairs by {people:,} "
        f"{'person' if people == 1 else 'people'}: {rate.wins:,} for the first arm, "
        f"{rate.ties:,} ties, {rate.losses:,} for the second."
    )
    wider = (
        "<p class='soft'>Several people rated the same pairs. The intervals take ratings as "
        "independent, so the true ones are wider.</p>"
        if rate.n > items
        else ""
    )
    return page(
        f'<div class="gu-card"><h3>Does <b>{esc(arms[0])}</b> beat <b>{esc(arms[1])}</b>?</h3>'
        f'<div class="gu-scroll"><table><thead><tr><th>Measure</th><th class="num">Rate</th>'
        f'<th class="num">{level} interval</th><th>Method</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div><p class='soft num'>{counts}</p>{wider}</div>"
    )


def _row(name: str, rate: float | None, interval: Interval | None, method: str) -> str:
    shown = "none" if rate is None else f"{rate:.1%}"
    span = (
        "none" if interval is None or rate is None else f"{interval.low:.1%} to {interval.high:.1%}"
    )
    return (
        f'<tr><td>{esc(name)}</td><td class="num">{shown}</td>'
        f'<td class="num">{span}</td><td class="soft">{esc(method)}</td></tr>'
    )
