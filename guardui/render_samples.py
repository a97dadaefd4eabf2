"""The inspector's list of hard samples as HTML: pages, bulk actions, and what stands where there
is none. One opened sample is in `guardui/render_sample_detail.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from db.samples import ORDERS, SampleLine
from guardui.render import DASH, empty, esc, page
from guardui.render_sample_filters import chips
from guardui.render_sample_words import EXPLAINED, ORDER_WORDS, VALUES, flags_of
from guardui.sample_address import PAGE_ROWS, Place, write_place
from pipelines.schema import GuardTask

TAB = "tab=samples"
"""What in an address brings this tab to the front."""


NOTHING_OPEN = empty(
    "No sample opened", "Choose a row to see its answers, or press j to go through them."
)


def samples_list(place: Place, lines: Sequence[SampleLine], matching: int) -> str:
    """One page of the samples that match, with its tools; texts stay hidden until asked for."""
    if place.filter.job_id is None:
        return nothing_mined()
    if not lines:
        return page(chips(place), nothing_here(place, matching))
    rows = "".join(row(line, place) for line in lines)
    shown = span(place, len(lines), matching)
    return page(
        chips(place),
        f'<div class="hs-tools">{orders(place.order)}{pager(place, matching, shown, "top")}</div>',
        bulk(matching),
        f'<ol class="hs-list" start="{place.offset + 1}" aria-label="Hard samples {shown}">'
        f"{rows}</ol>",
        pager(place, matching, shown, "bottom"),
    )


def nothing_mined() -> str:
    """Before any mining or merge job has brought samples; the stylesheet then hides the rest."""
    told = empty(
        "No hard samples yet",
        "Launch Mine hard samples in the Train tab, or a whole recipe; they appear here when the "
        "job ends.",
    )
    return f'<div class="hs-none">{told}</div>'


def nothing_here(place: Place, matching: int) -> str:
    """Why the list is empty, and the way out."""
    narrowed = place.narrowed
    if matching:
        title, hint = "No such page", "The list is shorter than that by now."
        way = '<button type="button" class="gu-copy" data-page="1">Go to the first page</button>'
    elif list(narrowed) == ["review"]:
        word = str(narrowed["review"])
        title = {
            "dropped": "Nothing dropped",
            "accepted": "Nothing accepted yet",
            "edited": "Nothing edited yet",
            "new": "All reviewed",
        }.get(word, "No sample matches")
        hint = {
            "dropped": "Samples that you drop wait here, and can be restored.",
            "accepted": "Accept a sample with its button or the key a.",
            "edited": "A sample whose chosen or rejected text you rewrite is listed here.",
            "new": "Every sample was accepted or dropped. Freeze them as a version above.",
        }.get(word, "")
        way = '<button type="button" class="gu-copy" data-clear="all">Show all</button>'
    elif not narrowed:
        title = "No hard sample in this set"
        hint = "The moderator was always right or always wrong. Look under Answers: All."
        way = '<button type="button" class="gu-copy" data-set="kind=all">Show all</button>'
    else:
        title, hint = "No sample matches", "Take a filter away above, or all of them."
        way = '<button type="button" class="gu-copy" data-clear="all">Clear all filters</button>'
    return (
        f'<div class="gu-empty"><strong>{esc(title)}</strong>{esc(hint)}'
        f'<div class="hs-way">{way}</div></div>'
    )


def span(place: Place, shown: int, matching: int) -> str:
    """`1-25 of 100,000`, with an en dash."""
    return f"{place.offset + 1:,}{DASH}{place.offset + shown:,} of {matching:,}"


def orders(chosen: str) -> str:
    """In which order the list stands."""
    options = "".join(
        f'<option value="{name}"{" selected" if name == chosen else ""}>'
        f"{ORDER_WORDS.get(name, name)}</option>"
        for name in ORDERS
    )
    return (
        '<label class="hs-order"><span class="vh">Order</span>'
        f'<select name="order" data-filter aria-label="Order">{options}</select></label>'
    )


def pager(place: Place, matching: int, shown: str, where: str) -> str:
    """First, previous, next and last page around `1-25 of 100,000`."""
    last = max(1, -(-matching // PAGE_ROWS))
    steps = [
        ("First page", "«", 1, place.page > 1),
        ("Previous page", "‹", place.page - 1, place.page > 1),  # noqa: RUF001 - a plain arrow
        ("Next page", "›", place.page + 1, place.page < last),  # noqa: RUF001
        ("Last page", "»", last, place.page < last),
    ]
    buttons = [
        f'<button type="button" class="gu-icon" data-page="{to}" aria-label="{word}" '
        f'title="{word}"{"" if able else " disabled"}>{sign}</button>'
        for word, sign, to, able in steps
    ]
    return (
        f'<nav class="hs-pager" aria-label="Pages, {where}">{"".join(buttons[:2])}'
        f'<span class="num">{shown}</span>{"".join(buttons[2:])}</nav>'
    )


def bulk(matching: int) -> str:
    """What can be done with several at once; `samples.js` fills in how many are selected."""
    actions = (("accept", "Accept"), ("drop", "Drop…"), ("restore", "Back to review"))
    buttons = "".join(
        f'<button type="button" class="gu-copy" data-bulk="{name}" disabled>{words}</button>'
        for name, words in (*actions, ("study", "To a study…"))
    )
    return (
        f'<div class="hs-bulk" role="group" aria-label="Selected samples" '
        f'data-matching="{matching}">'
        '<label class="hs-check"><input type="checkbox" data-check="page" '
        'aria-label="Select all on this page"></label>'
        '<span class="num" data-selected role="status">none selected</span>'
        f'<span class="hs-buttons">{buttons}</span>'
        '<button type="button" class="link accent" data-check="all" hidden>'
        f"Select all {matching:,} that match</button></div>"
    )


def row(line: SampleLine, place: Place) -> str:
    """One sample: numbers and words at once, the first words of its request once revealed."""
    k = line.k_correct + line.k_incorrect
    task = GuardTask(line.task).heading
    error = VALUES["direction"].get(line.direction, "")
    address = write_place(replace(place, sample=line.id))
    figures = [f"{line.length:,} characters", f"weight {line.weight:.2f}"]
    if line.unparsed:
        figures.append(f"{line.unparsed} unreadable")
    words = [esc(line.source) or DASH, *(f"<span>{figure}</span>" for figure in figures)]
    current = ' aria-current="true"' if line.id == place.sample else ""
    return (
        f'<li class="hs-row" data-row="{line.id}"{current}>'
        f'<label class="hs-check"><input type="checkbox" data-check="{line.id}" '
        f'aria-label="Select sample {line.id}"></label>'
        f'<a class="hs-open" data-pick="{line.id}" href="?{TAB}&amp;{esc(address)}">'
        f'<span class="hs-line"><b>#{line.id}</b> {esc(task)}'
        f"{f' <small>{esc(error)}</small>' if error else ''}"
        f'<span class="grow"></span>{meter(line.k_incorrect, k)}</span>'
        f'<span class="hs-line"><small class="num">{" · ".join(words)}</small></span>'
        f'<span class="hs-line">{badges(line)}</span>'
        f'<span class="hs-excerpt" dir="auto">{esc(line.excerpt)}</span></a></li>'
    )


def meter(wrong: int, k: int) -> str:
    """`3 of 4 wrong`, with a dot an answer."""
    dots = f'<span aria-hidden="true">{"✕" * wrong}{"✓" * (k - wrong)}</span> ' if k <= 8 else ""
    return f'<span class="hs-meter num">{dots}{wrong} of {k} wrong</span>'


def badges(line: SampleLine) -> str:
    """Its review and its flags, as words with signs."""
    looks = {"accepted": "ok", "dropped": "bad"}
    marks = []
    if line.review != "new":
        word = VALUES["review"][line.review]
        because = f": {line.reason}" if line.reason else ""
        marks.append((looks.get(line.review, ""), f"{word}{because}", ""))
    if line.human_edited:
        marks.append(("run", VALUES["review"]["edited"], "a person wrote one of its texts"))
    marks += [("warn", f"⚑ {VALUES['flag'][flag]}", EXPLAINED[flag]) for flag in flags_of(line)]
    return "".join(
        f'<span class="gu-mark {look}"{f" title={chr(34)}{esc(tip)}{chr(34)}" if tip else ""}>'
        f"{esc(word)}</span>"
        for look, word, tip in marks
    )
