"""The answers of a hard sample as HTML: each verdict against the gold, and each whole text.

Texts lie in `hs-secret` blocks, which the stylesheet keeps shut until the reader asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from db.models import GenerationRow, HardSampleRow
from guardui.render import DASH, esc, trace
from guardui.render_sample_words import SIDES
from pipelines.schema import GuardTask

SERVES = {True: "chosen", False: "rejected"}
Split = Callable[[str], Sequence[tuple[str, Sequence[str]]]]
"""Reasoning text -> titled lists of steps."""


def secret(name: str, text: str) -> str:
    """A text that may be harmful: shut, with its length, until the sample is revealed."""
    return (
        f'<div class="hs-text"><h4>{esc(name.capitalize())}</h4>{veil(len(text))}'
        f'<p class="gu-plain hs-secret" dir="auto">{esc(text)}</p></div>'
    )


def veil(length: int) -> str:
    """What stands in place of a text that is still shut."""
    return (
        f'<button type="button" class="hs-veil" data-reveal>Hidden: {length:,} characters, may be '
        "harmful. Reveal</button>"
    )


def answers_table(row: HardSampleRow) -> str:
    """Each answer's verdicts against the gold, by sign and by word, and what it serves as."""
    tasks = [task for task in GuardTask if row.response is not None or not task.needs_response]
    heads = "".join(f'<th scope="col">{task.heading}</th>' for task in tasks)
    golds = "".join(f"<td>{gold_mark(task, row)}</td>" for task in tasks)
    lines = "".join(_answer_row(one, row, tasks) for one in row.generations)
    return (
        '<section class="hs-part" aria-label="Answers"><h3>Answers against the gold</h3>'
        '<table class="hs-answers"><thead><tr><th scope="col">Answer</th>'
        f'{heads}<th scope="col">Use as</th></tr></thead><tbody>'
        f'<tr class="gold"><th scope="row">Gold</th>{golds}<td></td></tr>{lines}</tbody></table>'
        f'<p class="soft">{esc(weight_meaning(row))}.</p></section>'
    )


def gold_mark(task: GuardTask, row: HardSampleRow) -> str:
    """The gold label; where a person changed it, what it was."""
    now, mined = row.gold.get(task), (row.mined_gold or row.gold).get(task)
    was = f" <small>was {esc(mined or 'none')}</small>" if now != mined else ""
    mark = ' <small title="the sample is mined for this task">◆</small>' if task == row.task else ""
    return f"<b>{esc(now or 'none')}</b>{mark}{was}"


def _answer_row(one: GenerationRow, row: HardSampleRow, tasks: Sequence[GuardTask]) -> str:
    marks = "".join(
        f'<td data-label="{task.heading}">{verdict_mark(task, one, row)}</td>' for task in tasks
    )
    role = role_of(one, row)
    edited = (
        ""
        if one.edited_from is None
        else f"<br><small>✎ human-edited, from {one.edited_from + 1}</small>"
    )
    # A pair must tell right from wrong, so each answer can serve as one side at most.
    side = "" if one.correct is None or row.chosen is None else SERVES[one.correct]
    uses = (
        f'<button type="button" class="gu-copy" data-act="pick" data-{side}="{one.position}" '
        f'aria-pressed="{"true" if side == role else "false"}" '
        f'aria-label="Use answer {one.position + 1} as {side}">{SIDES[side]}</button>'
        if side
        else DASH
    )
    return (
        f'<tr class="{role}"><th scope="row"><a href="#hs-answer-{one.position}" '
        f'data-jump="hs-answer-{one.position}">Answer {one.position + 1}</a>{edited}</th>{marks}'
        f'<td data-label="use as">{uses}</td></tr>'
    )


def role_of(one: GenerationRow, row: HardSampleRow) -> str:
    """chosen, rejected, or nothing."""
    if one.position == row.chosen:
        return "chosen"
    return "rejected" if one.position == row.rejected else ""


def generation(one: GenerationRow, row: HardSampleRow, split: Split) -> str:
    """An answer's whole text behind a click, its steps numbered."""
    role = role_of(one, row)
    sections = split(one.text)
    body = trace(sections) if sections else f'<p class="gu-plain">{esc(one.text)}</p>'
    fault = f'<p class="soft">Not readable: {esc(one.error)}</p>' if one.error else ""
    marks = "".join(verdict_mark(task, one, row, named=True) for task in GuardTask)
    kind = f" {SIDES[role]}" if role else ""
    return (
        f'<details class="hs-gen {role}" id="hs-answer-{one.position}"><summary>'
        f"Answer {one.position + 1}{kind} <small class='num'>{one.tokens:,} tokens</small>"
        f'</summary><div class="in"><div class="gu-marks">{marks}</div>{fault}'
        f'{veil(len(one.text))}<div class="hs-secret" dir="auto">{body}</div>'
        # Browsers drop a line feed right after <pre>: this one, instead of the text's own.
        f'<pre hidden data-text="{one.position}">\n{esc(one.text)}</pre></div></details>'
    )


def verdict_mark(
    task: GuardTask, one: GenerationRow, row: HardSampleRow, *, named: bool = False
) -> str:
    """`✓ harmful, right`: how a verdict compares with the gold; with the task where `named`."""
    label, gold = one.labels.get(task), row.gold.get(task)
    if task.needs_response and row.response is None:
        look, words = "", f"{DASH} n/a"
    elif one.error and label is None:
        look, words = "warn", "‼ parse error"
    elif label is None:
        look, words = "", f"{DASH} none given"
    elif gold is None:
        look, words = "", f"{label}, no gold"
    elif label == gold:
        look, words = "ok", f"✓ {label}, right"
    else:
        look, words = "bad", f"✕ {label}, wrong"
    tip = f' title="{esc(one.error)}"' if one.error else ""
    name = f"{task.heading} " if named else ""
    return f'<span class="gu-mark {look}"{tip}>{esc(name)}{esc(words)}</span>'


def weight_meaning(row: HardSampleRow) -> str:
    """What the weight says, in a sentence."""
    judged = row.k_correct + row.k_incorrect
    if row.weight > 1:
        how = "so it counts more than an average pair in HS-DPO"
    elif row.weight < 1:
        how = "so it counts less than an average pair in HS-DPO"
    else:
        how = "so it counts as an average pair in HS-DPO"
    return f"Weight {row.weight:.3f}: wrong in {row.k_incorrect} of {judged} judged answers, {how}"
