"""The Compare tab's tables as HTML: models beside benchmarks, or what to do without any."""

from __future__ import annotations

import re
from collections.abc import Sequence

from guardui.render import DASH, empty, esc, note, page
from pipelines.comparing.model_tables import METRIC_WORDS, Cell, Column, ModelTables, Row, Table

NO_RUN = empty(
    "Nothing evaluated yet",
    "Choose the stage Evaluate in the Train tab, or run `guardui run evaluate`: what it scores is "
    "compared here.",
)
NONE_CHOSEN = empty("No run chosen", "Choose at least one run above to see its tables.")
KIND_WORDS = {"published": "published", "baseline": "baseline"}
MODE_WORDS = {"fast": "no reasoning", "stored": "stored answers"}
SEEN = 4
LEGEND = (
    "Hover over a number, or go to it with the keyboard, for its 95% interval and its rows. Bold: "
    "the best of our runs. Grey: as the paper prints it, on other rows than ours. ‼: the share of "
    "rows without a verdict. ≠: other rows than most were asked. ◐: seen in training."
)


def percent(value: float | None) -> str:
    """A fraction as `88.9`; an en dash where there is none."""
    return DASH if value is None else f"{100 * value:.1f}"


def span(interval: tuple[float, float] | None) -> str:
    """`84.6 to 92.4`, or nothing."""
    return "" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def breakable(name: str) -> str:
    """A name that may be wrapped between its words: `Simple<wbr>Safety<wbr>Tests`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[-_/:])", "<wbr>", esc(name))


def tables(found: ModelTables, *, details: bool = False) -> str:
    """All tables; with `details` each cell's interval and rows are seen without hovering."""
    parts = [f'<p class="soft cmp-legend">{LEGEND}</p>']
    parts += [_table(one) for one in (found.overall, *found.tables) if one is not None]
    look = "cmp-tables gu-stack cmp-detailed" if details else "cmp-tables gu-stack"
    return page(*parts, notes("Worth knowing", found.notes), classes=look)


def notes(title: str, lines: Sequence[str]) -> str:
    """Sentences to keep in mind, few at once: what follows the fourth is folded."""
    if not lines:
        return ""
    first, rest = (lines, []) if len(lines) <= SEEN + 1 else (lines[:SEEN], lines[SEEN:])
    items = "".join(f"<li>{esc(line)}</li>" for line in rest)
    return note("info", title, list(first)) + (
        f'<details class="cmp-notes"><summary>{len(rest)} more</summary>'
        f'<div class="in"><ul>{items}</ul></div></details>'
        if rest
        else ""
    )


def _table(table: Table) -> str:
    what = METRIC_WORDS[table.metric]
    mean = "Mean of the tasks" if table.task is None else "Average"
    alarms = table.shows_false_alarms
    heads = "".join(_head(one, table.task is None) for one in table.columns)
    uneven = "" if table.comparable else "<small>not all alike</small>"
    heads += f'<th scope="col" class="num cmp-mean">{mean}{uneven}</th>'
    if alarms:
        heads += (
            '<th scope="col" class="num" title="False-positive rate over all negative rows of '
            'these benchmarks"><abbr>FPR</abbr><small>lower is better</small></th>'
        )
    rows = "".join(_row(row, table, alarms) for row in table.rows)
    # One stop of the tab key for a table; compare.js moves it with the arrow keys.
    rows = rows.replace('tabindex="-1"', 'tabindex="0"', 1)
    return (
        f'<section class="cmp-table"><h3>{esc(table.title)} <small>{esc(what)} in percent</small>'
        '</h3><div class="gu-scroll gu-stacks gu-tight" data-cells><table>'
        f'<caption class="vh">{esc(table.title)}: {esc(what)} in percent. Arrow keys go from cell '
        'to cell.</caption><thead><tr><th scope="col">Model</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{notes('About this table', table.notes)}</section>"
    )


def _head(column: Column, of_tasks: bool) -> str:
    rows = f"{column.rows:,} rows"
    if column.mixed:
        rows += " ≠"
    elif column.published_rows and column.published_rows != column.rows:
        rows += f" of {column.published_rows:,}"
    side = {"positive": "positive only", "negative": "negative only"}.get(column.one_sided, "")
    side = side if column.counts else "in no average"
    more = f"<small>{rows}</small>" + (f"<small>{side}</small>" if side else "")
    tip = column.title if of_tasks else column.name
    return f'<th scope="col" class="num" title="{esc(tip)}">{breakable(column.title)}{more}</th>'


def _row(row: Row, table: Table, alarms: bool) -> str:
    said = KIND_WORDS.get(row.kind) or MODE_WORDS.get(row.mode, "")
    more = f"<small>{esc(said)}</small>" if said else ""
    metric = METRIC_WORDS[table.metric]
    cells = "".join(
        cell(one, row, f"{column.title}, {metric}", column.title)
        for one, column in zip(row.cells, table.columns, strict=True)
    )
    cells += cell(row.average, row, f"average, {metric}", "average", "cmp-mean")
    if alarms:
        cells += cell(row.false_alarms, row, "false-positive rate", "FPR")
    return (
        f'<tr class="cmp-{row.kind}"><th scope="row">{breakable(row.name)}{more}</th>{cells}</tr>'
    )


def cell(one: Cell, row: Row, what: str, label: str, look: str = "") -> str:
    """A number with all that is known of it on hover, on focus, and to a screen reader."""
    classes = " ".join(filter(None, ["num", look, "best" if one.best else ""]))
    gone = " none" if one.value is None else ""
    if one.value is None and not one.note:
        return f'<td class="{classes} none"></td>'
    told = said_of(one, row)
    failed = (
        f'<small class="cmp-failed" title="no verdict">‼ {percent(one.failure_rate)}%</small>'
        if one.failure_rate and row.kind != "published"
        else ""
    )
    seen = "<sup>◐</sup>" if one.remark else ""
    other = "" if one.same_rows or row.kind == "published" or one.value is None else "<sup>≠</sup>"
    more = ""
    if one.value is not None and row.kind != "published":
        ends = f"<span>{span(one.interval)}</span>" if one.interval else ""
        more = f'<small class="cmp-more">{ends}<span>{one.rows:,} rows</span></small>'
    value = (f"<b>{percent(one.value)}</b>" if one.best else percent(one.value)) + other + seen
    named = f"{row.name}, {what}: {told}"
    return (
        f'<td class="{classes}{gone}" data-label="{esc(label)}">{failed}<span class="cmp-value" '
        f'tabindex="-1" role="note" data-tip="{esc(told)}" '
        f'aria-label="{esc(named)}">{value}</span>{more}</td>'
    )


def said_of(one: Cell, row: Row) -> str:
    """A cell in words: value, interval, rows, failures."""
    if one.value is None:
        return one.note
    parts = [percent(one.value) + ("; best of our runs" if one.best else "")]
    if row.kind == "published":
        parts.append("as the paper prints it, on its own rows")
        return "; ".join(parts)
    if one.interval:
        parts.append(f"95% interval {span(one.interval)}")
    parts.append(f"{one.rows:,} rows" + ("" if one.same_rows else ", other than of most runs"))
    if one.failure_rate is not None:
        parts.append(f"no verdict in {percent(one.failure_rate)}%")
    if one.false_positive_rate is not None:
        parts.append(f"false-positive rate {percent(one.false_positive_rate)}")
    if one.remark:
        parts.append(one.remark)
    if len(one.covers) > 1:
        parts.append(f"over {len(one.covers)} benchmarks")
    return "; ".join(parts)
