"""Studies as HTML: their list, and one of them in a headline and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from db.models import ACTIVE, Job
from guardui.render import copy_block, day, duration, empty, esc, facts, note, page, state_bar
from guardui.render_jobs import state_word, timing
from pipelines.studies.artifact import Item, StudyInfo
from pipelines.studies.records import StudyFacts
from pipelines.studies.words import STATES, STRATA, counted, design_words, listed

NO_STUDY = empty(
    "No study yet",
    "Open New study above: choose two arms whose reasoning you want to compare, and press Check.",
)
NOT_CHOSEN = empty("No study chosen", "Choose a row of the table to see its items and its report.")

# state -> (class, sign)
LOOKS = {
    "draft": ("na", "✎"),
    "open": ("run", "●"),
    "paused": ("warn", "❚❚"),
    "closed": ("ok", "■"),
}


def state_mark(state: str) -> str:
    """Sign and word of a study's state, coloured."""
    look, sign = LOOKS.get(state, ("na", "·"))
    return (
        f'<span class="gu-state {look}"><span aria-hidden="true">{sign}</span> {esc(state)}</span>'
    )


def studies_table(
    found: Sequence[tuple[StudyFacts, int]],
    making: Sequence[Job],
    picked: int | None,
    now: datetime,
) -> str:
    """(study, number of its people) each, and above them the jobs that are to make one."""
    if not found and not making:
        return NO_STUDY
    rows = "".join(_making(job, now) for job in making)
    rows += "".join(_row(one, people, one.id == picked, now) for one, people in found)
    return page(
        '<div class="gu-scroll gu-stacks"><table class="st-list">'
        '<caption class="vh">Studies, newest first</caption>'
        '<thead><tr><th scope="col">Study</th><th scope="col">State</th>'
        '<th scope="col">Arms</th><th scope="col">Rated</th>'
        '<th scope="col" class="num">People</th><th scope="col" class="num">Age</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(one: StudyFacts, people: int, picked: bool, now: datetime) -> str:
    share = one.rated / one.wanted if one.wanted else 0.0
    current = ' aria-current="true"' if picked else ""
    return (
        f'<tr data-pick="{one.id}" class="{"on" if picked else ""}">'
        f'<td><button type="button" class="link" data-pick="{one.id}"{current}>'
        f"{esc(one.name)}</button></td><td>{state_mark(one.state)}</td>"
        f'<td class="breaks">{esc(" · ".join(one.arm_names))}</td>'
        f"<td>{state_bar(share, 'ok' if share >= 1 else '')}"
        f'<small class="num once">{one.rated:,} of {one.wanted:,}</small></td>'
        f'<td class="num" data-label="people">{people:,}</td>'
        f'<td class="num" data-label="age">{duration_of(one.created_at, now)}</td></tr>'
    )


def _making(job: Job, now: datetime) -> str:
    """A job that has made no study yet: how far it is, or why it ended."""
    time = timing(job, now)
    why = job.activity if job.state in ACTIVE else job.reason
    if job.failure:
        why = str(job.failure.get("message", why))
    named = str(job.config.get("name") or "") or listed(
        [str(x) for x in job.config["arms"]] or [""]
    )
    said = f'<div class="gu-why">{esc(why)}</div>' if why else ""
    look = {"failed": "bad", "interrupted": "bad"}.get(job.state, "")
    return (
        f'<tr><td><span class="breaks">{esc(named)}</span><br>'
        f'<small><a href="?job={job.id}">job {job.id}</a> makes it</small></td>'
        f"<td>{state_word(job)}</td><td>{said}</td>"
        f"<td>{state_bar(time.share, look)}</td>"
        '<td class="num none"></td>'
        f'<td class="num" data-label="age">{duration_of(job.created_at, now)}</td></tr>'
    )


def duration_of(since: datetime, now: datetime) -> str:
    """How long ago, in days where it is more than two."""
    seconds = (now - since).total_seconds()
    return f"{seconds // 86_400:.0f} days" if seconds >= 2 * 86_400 else duration(seconds)


def headline(one: StudyFacts, people: int) -> str:
    """What the study is and how far it has come."""
    share = one.rated / one.wanted if one.wanted else 0.0
    progress = (
        f"{one.rated:,} of {one.wanted:,} ratings · {counted(people, 'person')}"
        if people == 1
        else f"{one.rated:,} of {one.wanted:,} ratings · {people:,} people"
    )
    dates = [f"made {day(one.created_at)}"]
    dates += [f"opened {day(one.opened_at)}"] if one.opened_at else []
    dates += [f"closed {day(one.closed_at)}"] if one.closed_at else []
    dates += [one.close_reason] if one.close_reason else []
    return page(
        f'<h2 class="st-name">{esc(one.name)}</h2>'
        f'<div class="st-line">{state_mark(one.state)}'
        f'<span class="soft">{esc(STATES.get(one.state, ""))}</span></div>'
        f"{state_bar(share, 'ok' if share >= 1 else '')}"
        f'<p class="soft num st-dates">{esc(progress)} · {esc(" · ".join(dates))}</p>'
    )


def design(one: StudyFacts) -> str:
    """The design in words, what making it had to say, and its hash."""
    items = "".join(f"<li>{esc(line)}</li>" for line in design_words(one))
    frozen = (
        copy_block("SHA-256 of design, arms, items and traces", one.design_hash)
        if one.design_hash
        else '<p class="soft">A draft: nothing is frozen yet.</p>'
    )
    arms = "".join(
        f"<tr><td>{esc(arm.get('name', ''))}</td>"
        f'<td data-label="kind">{esc(arm.get("kind", ""))}</td>'
        f'<td class="breaks">{esc(arm.get("reference", ""))}</td></tr>'
        for arm in one.arms
    )
    remarks = note("warn", "Worth knowing", one.design.remarks) if one.design.remarks else ""
    return page(
        f'<ul class="st-words">{items}</ul>{remarks}'
        '<div class="gu-scroll gu-stacks gu-tight"><table><thead><tr><th scope="col">Arm</th>'
        '<th scope="col">Kind</th><th scope="col">From</th></tr></thead>'
        f"<tbody>{arms}</tbody></table></div>{frozen}",
        classes="gu-stack",
    )


def would_be(info: StudyInfo, items: Sequence[Item]) -> str:
    """A study before it is made: its items by stratum, and what is left out and why."""
    kinds = Counter(item.kind for item in items)
    pairs = [pair for item in items if item.kind == "main" for pair in item.pairs]
    strata = Counter(pair.stratum for pair in pairs)
    rows = "".join(
        f'<tr><th scope="row">{esc(words)}</th><td class="num">{strata[stratum]:,}</td></tr>'
        for stratum, words in STRATA.items()
        if strata[stratum]
    )
    head = facts(
        {
            "arms": esc(listed([arm.name for arm in info.arms])),
            "conversations": f"{kinds['main']:,}",
            "pairs": f"{len(pairs):,}",
            "ratings wanted": f"{sum(pair.wanted for pair in pairs):,}",
            "practice, attention": f"{kinds['practice']:,}, {kinds['attention']:,}",
        }
    )
    remarks = note("info", "Left out, and worth knowing", info.design.remarks)
    return page(
        f'{head}<div class="gu-tight"><table class="st-usual"><caption>Pairs by whose verdicts '
        f"are right</caption><tbody>{rows}</tbody></table></div>",
        remarks if info.design.remarks else "",
        classes="gu-stack",
    )
