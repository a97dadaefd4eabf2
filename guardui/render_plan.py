"""A run's plan as HTML: memory beside what the device has, steps, tokens, time, and remarks."""

from __future__ import annotations

from guardui.render import DASH, duration, esc, facts, note, page
from pipelines.memory import GIB, Estimate
from pipelines.plan import Plan, gib, has

LOOKS = {"fits": "ok", "tight": "warn", "splits": "warn", "too_large": "bad", "no_gpu": "bad"}
WORDS = {
    "fits": "it fits",
    "tight": "tight",
    "splits": "batches are halved as it runs",
    "too_large": "it does not fit",
    "no_gpu": "it needs a GPU",
}
PART_WORDS = {
    "optimizer": "optimiser",
    "head": "output head",
    "cache": "key and value cache",
}


def plan_block(plan: Plan, about: str = "") -> str:
    """What a run asks of this machine. `about`: a sentence on the preset."""
    said = f'<p class="soft">{esc(about)}</p>' if about else ""
    remarks = note("info", "Worth knowing", list(plan.remarks)) if plan.remarks else ""
    return page(
        '<h3 style="margin-top:14px">What it asks of this machine</h3>',
        said,
        memory_bar(plan),
        facts({name: esc(value) for name, value in plan_facts(plan).items()}),
        remarks,
    )


def memory_bar(plan: Plan) -> str:
    """The estimate beside the device's memory, as a bar and in words, and what takes it."""
    if plan.estimate is None:
        return ""
    needed, there = plan.estimate.total, plan.device.memory
    look, word = LOOKS[plan.verdict], WORDS[plan.verdict]
    share = 100 * min(1.0, needed / there) if there else 100.0
    words = f"about {gib(needed)} needed, {has(plan.device)}"
    return (
        f'<div class="num"><strong>Memory: {esc(word)}</strong>'
        f'<div class="soft">{esc(words)}</div>'
        f'<div class="gu-bar {look}" role="img" aria-label="{esc(words)}">'
        f'<i style="width:{share:.1f}%"></i></div>'
        f'<p class="soft"><small>{esc(parts_words(plan.estimate))}</small></p></div>'
    )


def parts_words(estimate: Estimate) -> str:
    """What takes the memory, the largest first; what would be said as 0.0 GiB is left out."""
    parts = sorted(estimate.parts.items(), key=lambda part: -part[1])
    shown = [(name, count) for name, count in parts if count >= 0.05 * GIB]
    return " · ".join(f"{PART_WORDS.get(name, name)} {gib(count)}" for name, count in shown)


def plan_facts(plan: Plan) -> dict[str, str]:
    """Name -> value as plain text; what isn't known has a dash."""
    work = plan.work
    if work.kind == "generation":
        rows = {
            work.row_name: count(work.rows),
            "longest prompt": f"{count(work.longest)} tokens",
            "at once": plan.global_batch,
            "batches": count(plan.steps),
            "answers": f"{count(work.answers)}, at most {work.most_new_tokens:,} tokens each",
        }
    else:
        rows = {
            work.row_name: count(work.rows),
            "longest": f"{'at most ' if not work.rows else ''}{count(work.longest)} tokens",
            f"{work.row_name} a step": plan.global_batch,
            "steps": count(plan.steps),
            "tokens an epoch": count(plan.epoch_tokens),
            "tokens in all": count(plan.total_tokens),
        }
    if not work.rows:  # nothing else is known of what isn't there
        rows = {name: value for name, value in rows.items() if not value.startswith(DASH)}
        rows = {work.row_name: "yet to be made"} | rows
    time = f"{time_words(plan)}, {plan.time_note}" if plan.seconds else plan.time_note
    return rows | {"time": time}


def time_words(plan: Plan) -> str:
    """Roughly how long; a dash where nothing like it was measured."""
    return f"about {duration(plan.seconds)}" if plan.seconds else DASH


def count(number: int | None) -> str:
    return f"{number:,}" if number else DASH


def plan_line(plan: Plan) -> str:
    """A plan in a line of text, for a list of steps."""
    most = "up to" if plan.length_unknown else "about"
    words = [f"{most} {gib(plan.needed)} ({WORDS[plan.verdict]})"] if plan.needed else []
    one, many = ("step", "steps") if plan.work.kind == "training" else ("batch", "batches")
    words += [f"{plan.steps:,} {one if plan.steps == 1 else many}"] if plan.steps else []
    words += [time_words(plan)] if plan.seconds else []
    return ", ".join(words)
