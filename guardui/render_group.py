"""Jobs that belong together as HTML: before they are launched, and a group's picture and table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from guardui.render import DASH, copy_block, day, duration, empty, esc, note, page
from guardui.render_chart import number
from guardui.render_curves import Line, Panel, curves, sample
from guardui.render_jobs import STATE_LOOKS, stage_title
from guardui.render_plan import LOOKS, WORDS
from pipelines.comparison import AXES, Axis, Column, Comparison, Entry, columns_of, panels_of
from pipelines.jobs.planning import Planned
from pipelines.jobs.sweeps import SweepPlan, caveat_of
from pipelines.plan import Plan, gib

NO_GROUP = empty(
    "No ablation yet",
    "Open New ablation, choose what to vary, and launch: its runs are compared here.",
)


# Before a launch


def planned_jobs(
    plans: Sequence[Planned],
    asked: Mapping[str, Plan | None] | None = None,
    *,
    sources: bool = True,
) -> str:
    """The jobs that would be queued, a row each: what it does, on which rows, after which others,
    what it asks of this machine, and why it is refused. `asked`: the plan of each by its key;
    `sources`: whether rows are told by source."""
    rows = "".join(
        _planned(number, plan, (asked or {}).get(plan.key), sources)
        for number, plan in enumerate(plans, 1)
    )
    return page(
        '<div class="gu-scroll gu-stacks gu-tight"><table>'
        '<caption class="vh">Jobs that would be queued</caption><thead><tr><th>Job</th>'
        '<th>Rows</th><th class="num">Memory</th><th class="num">Steps</th>'
        f'<th class="num">Time</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _planned(number: int, plan: Planned, asked: Plan | None, sources: bool) -> str:
    title = (plan.title or plan.stage.title).partition(": ")[2] or plan.stage.title
    said = [plan.key] if plan.key != title else []
    said += [f"preset {plan.preset}"] if plan.preset else []
    said += [f"takes {', '.join(plan.before)}"] if plan.before else []
    refused = (
        f'<div class="gu-refused"><strong>✕ refused</strong> {esc(plan.refusal)}</div>'
        if plan.refusal
        else ""
    )
    seconds = asked.seconds if asked else None
    return (
        f"<tr><td><strong>{number}. {esc(title)}</strong><br>"
        f"<small>{esc(' · '.join(said))}</small>{refused}</td>"
        f'<td data-label="rows">{_rows_cell(plan, asked, sources)}</td>'
        f'<td class="num{_gone(asked and asked.needed)}" data-label="memory">{_memory(asked)}</td>'
        f'<td class="num{_gone(asked and asked.steps)}" data-label="steps">{_steps(asked)}</td>'
        f'<td class="num{_gone(seconds)}" data-label="time">{duration(seconds)}</td></tr>'
    )


def _gone(value: object) -> str:
    return "" if value else " none"


def _rows_cell(plan: Planned, asked: Plan | None, sources: bool) -> str:
    if plan.rows is None:
        rows = asked.work.rows if asked else 0
        return f"{rows:,} {esc(asked.work.row_name)}" if asked and rows else DASH
    by_source = {name: count for name, count in plan.rows.items() if name}
    told = ", ".join(f"{esc(name)} {count:,}" for name, count in by_source.items())
    more = f"<br><small>{told}</small>" if told and sources else ""
    return f"{sum(plan.rows.values()):,}{more}"


def _memory(asked: Plan | None) -> str:
    if asked is None or not asked.needed:
        return DASH
    look = LOOKS.get(asked.verdict, "")
    word = f'<br><small class="gu-state {look}">{esc(WORDS[asked.verdict])}</small>'
    most = "up to " if asked.length_unknown else ""
    return f"{most}{gib(asked.needed)}{word if asked.verdict != 'fits' else ''}"


def _steps(asked: Plan | None) -> str:
    return f"{asked.steps:,}" if asked and asked.steps else DASH


def sweep_shown(plan: SweepPlan, asked: Mapping[str, Plan | None], command: str) -> str:
    """The runs that a sweep would queue, what each asks of this machine, what is refused, and the
    command that does the same."""
    parts = [planned_jobs(plan.plans, asked, sources=False)]
    if plan.refused:
        said = [f"{plan.sweep.field} {value}: {why}" for value, why in plan.refused]
        parts.append(note("warn", "Refused", said))
    if caveat := caveat_of(plan.sweep.field):
        parts.append(note("info", "Worth knowing", [caveat]))
    parts.append(page(copy_block("Command line", command)))
    return page(*parts, classes="gu-stack")


def rows_said(rows: Mapping[str, int]) -> str:
    """`40 rows: Aegis 30, WildGuard 10`; a lone source that has no name isn't named."""
    if set(rows) <= {""}:
        return f"{sum(rows.values()):,} rows"
    sources = ", ".join(f"{source or 'no source'} {count:,}" for source, count in rows.items())
    return f"{sum(rows.values()):,} rows: {sources}"


def together(asked: Sequence[Plan | None]) -> str:
    """What several jobs ask of this machine one after the other: `about 40 min in all`; what can't
    be told is said too."""
    told = [plan.seconds for plan in asked if plan and plan.seconds]
    if not told:
        return "how long they take isn't known: nothing like them has run here"
    rest = len(asked) - len(told)
    if rest:
        return f"about {duration(sum(told))}, without {rest} whose time isn't known"
    return f"about {duration(sum(told))} in all"


# A group


def group_choice(comparison: Comparison) -> str:
    """A group in a list: `Epochs (4 runs) #7, 20 Nov 14:05`."""
    count = len(comparison.entries)
    word = "run" if comparison.kind == "sweep" else "job"
    runs = f"{count} {word}{'s' * (count != 1)}"
    return f"#{comparison.id} {comparison.title} ({runs}), {day(comparison.created_at)}"


def group_head(comparison: Comparison) -> str:
    """What the group is, how far it is, and what to keep in mind when comparing."""
    states = [entry.state for entry in comparison.entries]
    count = " · ".join(f"{states.count(one)} {one}" for one in dict.fromkeys(states))
    what = f"one value of {comparison.field} a job, all else the same" if comparison.field else ""
    stages = ", ".join(dict.fromkeys(stage_title(one.stage) for one in comparison.entries))
    said = " · ".join(word for word in (stages, what, count) if word)
    caveat = note("info", "Worth knowing", [comparison.caveat]) if comparison.caveat else ""
    return page(f'<h2>{esc(comparison.title)}</h2><p class="soft">{esc(said)}</p>', caveat)


def group_files(comparison: Comparison, metric: str, axis: Axis) -> str:
    """Links to the picture and the numbers as files, and the command that shows the same."""
    if not comparison.metrics:
        return ""
    place, whose = f"groups/{comparison.id}/curves", f"of group {comparison.id}"
    links = "".join(
        f'<a class="gu-copy" href="{esc(target)}" download '
        f'aria-label="Download {words} {whose}">Download {words}</a>'
        for target, words in (
            (f"{place}.png?{urlencode({'metric': metric, 'by': axis})}", "PNG"),
            (f"{place}.csv", "CSV"),
        )
    )
    command = f"<code>guardui group {comparison.id}</code>"
    return page(f'<div class="gu-links">{links}<small>or {command}</small></div>')


def group_picture(comparison: Comparison, metric: str, axis: Axis) -> str:
    """The curves of all jobs in one chart, training beside held out."""
    panels = [
        Panel(title, [Line(name, look, points) for look, name, points in lines])
        for title, lines in panels_of(comparison, metric, axis)
    ]
    if not panels:
        waits = "The curves begin with the first step of the first job."
        return empty("No curves", "No job recorded numbers." if comparison.ended else waits)
    return curves(panels, AXES[axis])


def group_table(comparison: Comparison) -> str:
    """A row for each job; its button opens it."""
    columns = columns_of(comparison)
    first = comparison.field.replace("_", " ") or "step"
    head = "".join(
        f'<th class="num" title="{esc(one.told)}">{esc(one.title)}</th>' for one in columns
    )
    best = {one.name: _lowest(one, comparison) for one in columns}
    rows = "".join(
        _row(look, entry, columns, best, comparison.kind == "sweep")
        for look, entry in enumerate(comparison.entries)
    )
    return page(
        '<div class="gu-scroll gu-stacks"><table><caption class="vh">Jobs of the group</caption>'
        f"<thead><tr><th>{esc(first[0].upper() + first[1:])}</th><th>State</th>{head}"
        f"<th>Made</th><th>Job</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _lowest(column: Column, comparison: Comparison) -> float | None:
    """The lowest loss, where losses can be compared and there are some."""
    if column.name != "eval_loss" or comparison.caveat or comparison.kind != "sweep":
        return None
    values = [value for one in comparison.entries if (value := column.of(one)) is not None]
    return min(values) if len(values) > 1 else None


def _row(
    look: int,
    entry: Entry,
    columns: Sequence[Column],
    best: Mapping[str, float | None],
    swept: bool,
) -> str:
    style, sign = STATE_LOOKS.get(entry.state, ("na", "·"))
    why = f'<div class="gu-why">{esc(entry.reason)}</div>' if entry.reason else ""
    drawn = any("loss" in one.values for one in entry.records)
    mark = sample(look) if swept or drawn else ""
    cells = "".join(_cell(one, one.of(entry), best[one.name]) for one in columns)
    made = f"<code>{esc(entry.made)}</code>" if entry.made else DASH
    return (
        f'<tr><td class="gu-value">{mark}{esc(entry.label)}</td>'
        f'<td><span class="gu-state {style}"><span aria-hidden="true">{sign}</span> '
        f"{esc(entry.state)}</span>{why}</td>{cells}"
        f'<td data-label="made">{made}</td><td>'
        f'<button type="button" class="link accent" data-pick="{entry.job}">'
        f"#{entry.job} {esc(stage_title(entry.stage))}</button></td></tr>"
    )


def _cell(column: Column, value: float | None, best: float | None) -> str:
    gone = " none" if value is None else ""
    lowest = '<span class="gu-lowest">lowest</span>' if best is not None and value == best else ""
    title = column.title.lower()
    return f'<td class="num{gone}" data-label="{esc(title)}">{shown(column, value)}{lowest}</td>'


def shown(column: Column, value: float | None) -> str:
    """A number of the table in words: `0.4831`, `1,240`, `4 min`, `1.5 GiB`."""
    if value is None:
        return DASH
    match column.unit:
        case "seconds":
            return duration(value)
        case "bytes":
            return gib(int(value))
        case "count":
            return f"{value:,.0f}"
    # All of a column alike, so that they can be read down.
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 else number(value)
