"""What every tab shows, as HTML: pure functions, every foreign text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from pipelines.schema import ConfigError, DataError, GuardTask, GuardUIError, Label, Verdict

DASH = "\N{EN DASH}"
"""What stands where there is nothing to say."""

# label -> (class, sign). Refusal and compliance are neither good nor bad.
LABEL_LOOKS: dict[Label, tuple[str, str]] = {
    "harmful": ("bad", "⚠"),
    "unharmful": ("ok", "✓"),
    "refusal": ("neutral", "↩"),
    "compliance": ("neutral", "→"),
}


def page(*parts: str, classes: str = "") -> str:
    """Wraps parts in the root that the stylesheet speaks to."""
    return f'<div class="gu {classes}">{"".join(parts)}</div>'


def esc(value: object) -> str:
    """Text made inert for HTML, quotes included."""
    return escape(str(value), quote=True)


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `8 s`, `4 min`, `2 h 05 min`; an en dash where unknown."""
    if seconds is None:
        return DASH
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" if whole >= 120 else f"1 min {whole - 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def day(moment: datetime | None) -> str:
    """A moment as `20 Nov 14:05`, in the server's time zone."""
    if moment is None:
        return DASH
    local = moment.astimezone()
    return f"{local.day} {local:%b %H:%M}"


def size(count: int) -> str:
    """Bytes as `3.4 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def header(
    device: str, running: str | None, role: str, name: str = "", *, logins: bool = False
) -> str:
    """The line over all tabs: name, device, the job that runs, who this is, and the theme switch.
    `logins` offers a way in to who has not logged in."""
    job = (
        f'<span class="gu-pill run">● {esc(running)}</span>'
        if running
        else '<span class="gu-pill idle">idle</span>'
    )
    way = ""
    if name:
        way = '<a class="gu-way" href="/logout">Log out</a>'
    elif logins:
        way = '<a class="gu-way" href="/login">Log in</a>'
    return page(
        '<div class="gu-head"><h1 class="logo">GuardUI</h1>'
        f'<span class="gu-pill">{esc(device)}</span>{job}<span class="grow"></span>'
        f'<span class="gu-pill role">{esc(f"{name} · {role}" if name else role)}</span>{way}'
        '<button type="button" class="gu-icon" data-theme-toggle title="Switch light and dark"'
        ' aria-label="Switch between light and dark">◐</button></div>'
    )


def empty(title: str, hint: str) -> str:
    """What a list shows when there is nothing: what it is, and what to do next."""
    return page(f'<div class="gu-empty"><strong>{esc(title)}</strong>{esc(hint)}</div>')


def note(kind: str, title: str, lines: Sequence[str] = (), advice: str | None = None) -> str:
    """A coloured note: `kind` is bad, warn, ok or info."""
    sign = {"bad": "✕", "warn": "!", "ok": "✓"}.get(kind, "i")
    items = "".join(f"<li>{esc(line)}</li>" for line in lines)
    said = f"<ul>{items}</ul>" if len(lines) > 1 else "".join(f"<div>{esc(x)}</div>" for x in lines)
    role = "alert" if kind == "bad" else "status"
    return page(
        f'<div class="gu-note {kind}" role="{role}">'
        f'<strong><span aria-hidden="true">{sign}</span> {esc(title)}</strong>'
        f"{said}{f'<div>{esc(advice)}</div>' if advice else ''}"
        "</div>"
    )


def fault_note(error: GuardUIError, limit: int = 50) -> str:
    """An error as a note; a config's or dataset's faults one a line."""
    faults = error.faults if isinstance(error, ConfigError | DataError) else []
    if not faults:
        return note("bad", str(error), advice=error.advice)
    title = "1 thing to mend" if len(faults) == 1 else f"{len(faults):,} things to mend"
    more = [f"and {len(faults) - limit:,} more"] if len(faults) > limit else []
    return note("bad", title, [*faults[:limit], *more], error.advice)


def facts(pairs: Mapping[str, str]) -> str:
    """A definition list; values are HTML already."""
    rows = "".join(f"<dt>{esc(name)}</dt><dd>{value}</dd>" for name, value in pairs.items())
    return f'<dl class="gu-facts">{rows}</dl>'


def copy_block(title: str, text: str) -> str:
    """Text in a monospaced box with a copy button."""
    return (
        f'<div class="gu-code" data-copy-block><header><span>{esc(title)}</span>'
        f'<button type="button" class="gu-copy" data-copy>Copy</button></header>'
        f'<pre data-copy-text tabindex="0">{esc(text)}</pre></div>'
    )


def hidden(text: str | None, label: str) -> str:
    """Text that may be harmful: closed until somebody opens it."""
    if not text:
        return f'<p class="soft">{esc(label)}: none</p>'
    return (
        f"<details><summary>Show {esc(label)} "
        f"<small>({len(text):,} characters, may be harmful)</small></summary>"
        f'<div class="in"><p class="gu-plain">{esc(text)}</p></div></details>'
    )


def state_bar(share: float, look: str) -> str:
    """A progress bar; `share` runs from 0 to 1."""
    percent = max(0.0, min(1.0, share)) * 100
    return (
        f'<div class="gu-bar {look}" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent:.0f}" aria-label="progress"><i style="width:{percent:.1f}%">'
        "</i></div>"
    )


def verdict_cards(verdict: Verdict | None, *, has_response: bool) -> str:
    """Three cards, told by word, sign and colour; `None` is a verdict still to come."""
    return page(
        f'<div class="gu-verdicts" aria-live="polite">'
        f"{''.join(_card(task, verdict, has_response) for task in GuardTask)}</div>"
    )


def _card(task: GuardTask, verdict: Verdict | None, has_response: bool) -> str:
    chance = ""
    if task.needs_response and not has_response:
        look, sign, word, why = "na", DASH, "n/a", "no response was given"
    elif verdict is None:
        look, sign, word, why = "waiting", "…", "waiting", ""
    elif verdict.error and verdict.label(task) is None:
        look, sign, word = "error", "‼", "parse error"
        why = "fail-closed: treat it as harmful"
    elif (label := verdict.label(task)) in LABEL_LOOKS and label is not None:
        (look, sign), word, why = LABEL_LOOKS[label], label, ""
        chance = _chance(task, label, verdict)
    else:
        look, sign, word, why = "na", DASH, "none", "the model gave no label"
    return (
        f'<div class="gu-verdict {look}"><div class="task">{esc(task.heading)}</div>'
        f'<div class="word"><span aria-hidden="true">{sign}</span>{esc(word)}</div>'
        f"{f'<div class=why>{esc(why)}</div>' if why else ''}{chance}</div>"
    )


def _chance(task: GuardTask, label: Label, verdict: Verdict) -> str:
    positive = verdict.probabilities.get(task)
    if positive is None:
        return ""
    share = positive if label == task.labels[0] else 1 - positive
    return (
        f'<div class="gu-chance" aria-hidden="true"><i style="width:{100 * share:.0f}%"></i></div>'
        f'<div class="why num">{percent_sure(share)} sure of {esc(label)}</div>'
    )


def percent_sure(share: float) -> str:
    """A probability as percent; no rounding makes it certain or impossible."""
    if share >= 0.995:
        return "over 99%"
    return "under 1%" if share < 0.005 else f"{100 * share:.0f}%"


def trace(sections: Sequence[tuple[str, Sequence[str]]], *, writing: bool = False) -> str:
    """Reasoning as titled lists of steps; `writing` puts a caret after the last."""
    parts = []
    for position, (title, steps) in enumerate(sections):
        last = position == len(sections) - 1
        items = "".join(
            f"<li{' class=gu-writing' if writing and last and n == len(steps) else ''}>"
            f"<small>step {n}</small>{esc(step)}</li>"
            for n, step in enumerate(steps, start=1)
        )
        parts.append(f"<h4>{esc(title)}</h4><ol>{items}</ol>")
    return f'<div class="gu-trace">{"".join(parts)}</div>'
