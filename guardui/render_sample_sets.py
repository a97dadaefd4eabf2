"""The head of the inspector as HTML: which set, how far its review is, frozen versions and their
differences, and what accepting all that match would do to the balance of labels and lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.models import PairSetVersion
from db.samples import Balance, Mix
from guardui.render import day, empty, esc, page
from guardui.render_sample_words import in_words
from guardui.sample_address import Place
from pipelines.pair_sets import PairSetDiff
from pipelines.schema import GuardTask

LISTED = 8
"""So many row ids of a difference are named; the rest is counted."""


@dataclass(frozen=True, slots=True)
class SetChoice:
    """A job that brought hard samples: its name, and how many there are."""

    job_id: int
    title: str
    samples: int


def head(
    choices: Sequence[SetChoice],
    chosen: int | None,
    reviews: Mapping[str, int],
    flags: Mapping[str, int],
) -> str:
    """The set's picker, its review in figures, and Freeze."""
    if not choices:
        return ""
    options = "".join(
        f'<option value="{one.job_id}"{" selected" if one.job_id == chosen else ""}>'
        f"{esc(one.title)} · {one.samples:,} samples</option>"
        for one in choices
    )
    return page(
        '<div class="hs-top"><label class="hs-set">Set <select name="set" data-filter>'
        f"{options}</select></label>{progress(reviews, flags)}"
        '<button type="button" class="gu-copy primary" data-ask="freeze">Freeze as version…'
        "</button></div>"
    )


def progress(reviews: Mapping[str, int], flags: Mapping[str, int]) -> str:
    """How far the review is: a bar of accepted, dropped and open, and the same in words."""
    states = {name: reviews.get(name, 0) for name in ("accepted", "dropped", "new")}
    total = sum(states.values())
    parts = "".join(
        f'<i class="{name}" style="width:{100 * count / total:.1f}%"></i>'
        for name, count in states.items()
        if count
    )
    words = [
        f"<b>{total:,}</b> {'sample' if total == 1 else 'samples'}",
        f"✓ {states['accepted']:,} accepted",
        f"✕ {states['dropped']:,} dropped",
        f"○ {states['new']:,} to review",
        f"✎ {reviews.get('edited', 0):,} edited",
        f"⚑ {sum(flags.values()):,} {'flag' if sum(flags.values()) == 1 else 'flags'}",
    ]
    items = "".join(f"<span>{word}</span>" for word in words)
    return (
        f'<div class="hs-progress"><p class="num">{items}</p>'
        f'<div class="hs-states" aria-hidden="true">{parts}</div></div>'
    )


def versions(found: Sequence[PairSetVersion], compared: str = "") -> str:
    """The frozen versions of this set, what can be done with each, and how two of them differ."""
    number = f' <span class="gu-pill">{len(found)}</span>' if found else ""
    if not found:
        body = empty(
            "No version yet",
            "Freeze what you accepted: a version never changes, and HS-DPO records which it had.",
        )
    else:
        rows = "".join(_version(one) for one in found)
        body = (
            '<table class="hs-versions"><thead><tr><th scope="col">Version</th>'
            '<th scope="col" class="num">Pairs</th><th scope="col">SHA-256</th>'
            '<th scope="col" class="num">Frozen</th><th scope="col">Use</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>{_compare(found)}{compared}"
        )
    return page(
        f'<details class="hs-fold" data-keep="versions"><summary>Versions{number}</summary>'
        f'<div class="in">{body}</div></details>'
    )


def version_name(one: PairSetVersion) -> str:
    """`NAME@vN`, as the command line takes it."""
    return f"{one.pair_set.name}@v{one.version}"


def _version(one: PairSetVersion) -> str:
    name = esc(version_name(one))
    links = "".join(
        f'<a class="gu-copy" href="pair-sets/{one.id}.{form}" download '
        f'aria-label="Download {name} as {words}">{words}</a>'
        for form, words in (("jsonl", "JSONL"), ("parquet", "Parquet"))
    )
    said = f"<br><small>{esc(one.note)}</small>" if one.note else ""
    return (
        f"<tr><td><b>{name}</b>{said}</td>"
        f'<td class="num" data-label="pairs">{one.rows:,}</td>'
        f'<td><code title="{esc(one.sha256)}">{esc(one.sha256[:12])}</code></td>'
        f'<td class="num">{day(one.created_at)}</td>'
        f'<td><span class="hs-uses"><button type="button" class="gu-copy" data-train="{one.id}" '
        f'aria-label="Train HS-DPO on {name}">Train HS-DPO</button>{links}</span></td></tr>'
    )


def _compare(found: Sequence[PairSetVersion]) -> str:
    if len(found) < 2:
        return ""
    older, newer = (_options(found, chosen) for chosen in (found[1].id, found[0].id))
    return (
        '<form class="hs-compare" data-view="versions"><span>Compare</span>'
        f'<select name="a" aria-label="Earlier version">{older}</select><span>with</span>'
        f'<select name="b" aria-label="Later version">{newer}</select>'
        '<button type="submit" class="gu-copy">Show differences</button></form>'
    )


def _options(found: Sequence[PairSetVersion], chosen: int) -> str:
    return "".join(
        f'<option value="{one.id}"{" selected" if one.id == chosen else ""}>'
        f"{esc(version_name(one))}</option>"
        for one in found
    )


def differences(before: str, after: str, diff: PairSetDiff) -> str:
    """What the later version has other than the earlier one."""
    fields: dict[str, int] = {}
    for names in diff.changed.values():
        for name in names:
            fields[name] = fields.get(name, 0) + 1
    which = ", ".join(f"{name} in {count:,}" for name, count in sorted(fields.items()))
    lines = [
        ("+", "added", diff.added, ""),
        ("\N{MINUS SIGN}", "removed", diff.removed, ""),
        ("≠", "changed", list(diff.changed), f" ({esc(which)})" if which else ""),
    ]
    items = "".join(
        f'<li class="num"><b>{sign} {len(ids):,} {word}</b>{more}{_named(ids)}</li>'
        for sign, word, ids, more in lines
    )
    return (
        f'<div class="hs-differences" role="status"><p>From <b>{esc(before)}</b> to '
        f'<b>{esc(after)}</b>:</p><ul>{items}<li class="num">= {diff.unchanged:,} unchanged</li>'
        "</ul></div>"
    )


def _named(ids: Sequence[str]) -> str:
    if not ids:
        return ""
    more = f" and {len(ids) - LISTED:,} more" if len(ids) > LISTED else ""
    return f"<br><small>{esc(', '.join(ids[:LISTED]))}{more}</small>"


def balance_fold(place: Place, matching: int, balance: Balance | None) -> str:
    """What accepting all that match would do, told once it is opened."""
    body = '<p class="soft">Counting…</p>' if balance is None else balance_html(balance)
    which = f": {esc(in_words(place))}" if in_words(place) else ""
    return page(
        '<details class="hs-fold" data-keep="balance"><summary>What accepting all '
        f'<span class="num">{matching:,}</span> that match would do<small>{which}</small></summary>'
        f'<div class="in">{body}</div></details>'
    )


def balance_html(balance: Balance) -> str:
    """Before and after, as words and as bars by task and label."""
    now, then = balance.accepted, balance.accepted_then
    if not then.pairs:
        return '<p class="soft">None of these makes a pair, so training would see nothing new.</p>'
    highest = max(then.labels.values(), default=1)
    lines = "".join(
        _label_row(task, label, now.labels.get((task, label), 0), count, highest)
        for (task, label), count in then.labels.items()
    )
    said = "".join(f"<li>{esc(line)}</li>" for line in balance_words(balance))
    return (
        f'<ul class="hs-said">{said}</ul><table class="hs-balance"><caption class="vh">Accepted '
        'pairs by task and gold label, now and then</caption><thead><tr><th scope="col">Gold label'
        '</th><th scope="col" class="num">Now</th><th scope="col" class="num">Then</th>'
        f'<th scope="col" class="wide"><span class="vh">Bars</span></th></tr></thead><tbody>{lines}'
        "</tbody></table>"
    )


def _label_row(task: str, label: str, now: int, then: int, highest: int) -> str:
    bars = "".join(
        f'<i class="{name}" style="width:{100 * count / highest:.1f}%"></i>'
        for name, count in (("now", now), ("then", then))
    )
    return (
        f'<tr><th scope="row">{esc(GuardTask(task).heading)}: {esc(label or "no gold")}</th>'
        f'<td class="num">{now:,}</td><td class="num">{then:,}</td>'
        f'<td class="wide"><div class="hs-pairbar" aria-hidden="true">{bars}</div></td></tr>'
    )


def balance_words(balance: Balance) -> list[str]:
    """The balance in sentences."""
    now, then = balance.accepted, balance.accepted_then
    lines = [
        f"Accepted pairs: {now.pairs:,} now, {then.pairs:,} then. Not dropped: "
        f"{balance.kept.pairs:,} now, {balance.kept_then.pairs:,} then."
    ]
    for task in GuardTask:
        positive = task.labels[0]
        before, after = _share(now, task), _share(then, task)
        if after is not None:
            was = "none yet" if before is None else f"{before:.0%}"
            lines.append(f"{task.heading}: gold {positive} goes from {was} to {after:.0%}.")
    lines.append(
        f"Mean length of chosen: {_length(now.mean_chosen, now)} now, {then.mean_chosen:,.0f} "
        f"then; of rejected: {_length(now.mean_rejected, now)} now, {then.mean_rejected:,.0f} "
        "then (characters)."
    )
    if then.mean_rejected and not 0.8 <= then.mean_chosen / then.mean_rejected <= 1.25:
        times = then.mean_chosen / then.mean_rejected
        lines.append(
            f"Chosen would be {times:.2f} times as long as rejected: training may learn the length."
        )
    return lines


def _share(mix: Mix, task: GuardTask) -> float | None:
    counts = [mix.labels.get((task.value, label), 0) for label in task.labels]
    return counts[0] / sum(counts) if sum(counts) else None


def _length(value: float, mix: Mix) -> str:
    return f"{value:,.0f}" if mix.pairs else "none"
