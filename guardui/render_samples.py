"""Hard samples as HTML: the list, and one sample with its generations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from db.models import GenerationRow, HardSampleRow
from guardui.render import DASH, empty, esc, facts, hidden, page, trace
from pipelines.schema import GuardTask

Split = Callable[[str], Sequence[tuple[str, Sequence[str]]]]
"""Reasoning text -> titled lists of steps."""


def samples_table(
    rows: Sequence[HardSampleRow], total: int, offset: int, selected: int | None, mined: bool
) -> str:
    """One page of the samples that match; texts stay hidden, so rows tell numbers only."""
    if not mined:
        return empty("No hard samples yet", "Launch Mine hard samples in the Train tab.")
    if not rows:
        return empty("No sample matches", "Loosen the filters: task, source, weight or text.")
    lines = "".join(_row(row, row.id == selected) for row in rows)
    shown = f"{offset + 1:,} to {offset + len(rows):,} of {total:,}"
    return page(
        '<div class="gu-scroll gu-stacks"><table>'
        f'<caption class="vh">Hard samples {shown}</caption><thead>'
        '<tr><th>Sample</th><th>Task</th><th>Source</th><th class="num">Right</th>'
        f'<th class="num">Weight</th></tr></thead><tbody>{lines}</tbody></table></div>'
        f'<p class="soft num" style="margin:10px 0 0">{shown}</p>'
    )


def _row(row: HardSampleRow, selected: bool) -> str:
    current = ' aria-current="true"' if selected else ""
    return (
        f'<tr data-pick="{row.id}" class="{"on" if selected else ""}"><td>'
        f'<button type="button" class="link" data-pick="{row.id}"{current}>#{row.id}</button>'
        f"<br><small>{esc(row.row_id)}</small></td>"
        f"<td>{esc(GuardTask(row.task).heading)}</td>"
        f'<td class="breaks">{esc(row.source) or DASH}</td>'
        f'<td class="num" data-label="right">{row.k_correct} of '
        f"{row.k_correct + row.k_incorrect}</td>"
        f'<td class="num" data-label="weight">{row.weight:.2f}</td></tr>'
    )


def weight_meaning(row: HardSampleRow) -> str:
    """What the weight says, in a sentence."""
    judged = row.k_correct + row.k_incorrect
    if row.weight > 1:
        how = "so it counts more than an average pair in HS-DPO"
    elif row.weight < 1:
        how = "so it counts less than an average pair in HS-DPO"
    else:
        how = "so it counts as an average pair in HS-DPO"
    return f"{row.weight:.3f}: wrong in {row.k_incorrect} of {judged} judged answers, {how}"


def sample_detail(row: HardSampleRow, split: Split) -> str:
    """Conversation (hidden), gold, weight, chosen beside rejected, then every generation."""
    gold = ", ".join(
        f"{task.heading.lower()} {row.gold[task]}" for task in GuardTask if row.gold.get(task)
    )
    about = facts(
        {
            "gold": esc(gold) or DASH,
            "mined for": esc(GuardTask(row.task).heading),
            "source": esc(row.source) or DASH,
            "weight": esc(weight_meaning(row)),
        }
    )
    by_place = {one.position: one for one in row.generations}
    pair = "".join(
        generation(by_place[place], row, split, role)
        for place, role in ((row.chosen, "chosen"), (row.rejected, "rejected"))
        if place in by_place
    )
    others = [g for g in row.generations if g.position not in (row.chosen, row.rejected)]
    rest = "".join(generation(one, row, split, "") for one in others)
    return page(
        f"<h2>Sample #{row.id}</h2>{about}"
        f'<h3 style="margin-top:14px">Conversation</h3>{hidden(row.prompt, "request")}'
        f"{hidden(row.response, 'response')}"
        f'<h3 style="margin-top:14px">Chosen and rejected</h3>'
        f'<div class="gu-grid two">{pair}</div>'
        + (
            f'<h3 style="margin-top:14px">Other answers</h3><div class="gu-grid">{rest}</div>'
            if rest
            else ""
        )
    )


def generation(one: GenerationRow, row: HardSampleRow, split: Split, role: str) -> str:
    """An answer: its three verdicts marked against the gold, and its steps behind a click."""
    marks = "".join(verdict_mark(task, one, row) for task in GuardTask)
    sign = {"chosen": "✓ chosen", "rejected": "✕ rejected"}.get(role, f"answer {one.position + 1}")
    sections = split(one.text)
    body = trace(sections) if sections else f'<p class="gu-plain">{esc(one.text)}</p>'
    return (
        f'<article class="gu-gen {role}"><header><strong>{sign}</strong>'
        f'<small class="num">{one.tokens:,} tokens</small></header>'
        f'<div class="gu-marks" style="margin-bottom:10px">{marks}</div>'
        f'<details><summary>Show reasoning</summary><div class="in">{body}</div></details>'
        "</article>"
    )


def verdict_mark(task: GuardTask, one: GenerationRow, row: HardSampleRow) -> str:
    """`Request ✓ harmful, right`: task, sign, label, and how it compares with the gold."""
    label, gold = one.labels.get(task), row.gold.get(task)
    if task.needs_response and row.response is None:
        look, words = "", f"{DASH} n/a"
    elif one.error:
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
    return f'<span class="gu-mark {look}"{tip}>{esc(task.heading)} {esc(words)}</span>'
