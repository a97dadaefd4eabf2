"""A study's items as annotators will see them, with what they won't: stratum, gold, arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardui.render import empty, esc, page
from guardui.render_rate import conversation, traces
from pipelines.studies.words import STRATA

NO_ITEM = empty("No item", "This study holds nothing to rate.")
KIND_WORDS = {"main": "", "practice": "practice", "attention": "attention"}


def item_page(
    place: int,
    total: int,
    item: Mapping[str, object],
    left: str,
    right: str,
    arms: Sequence[str],
    question: str,
) -> str:
    """One item. `item` has kind, prompt, response, source, topic, stratum, wanted and gold."""
    facts = [
        KIND_WORDS.get(str(item["kind"]), ""),
        str(item["source"]),
        STRATA.get(str(item["stratum"]), "") if item["kind"] == "main" else "",
        f"wanted {item['wanted']}×" if item["kind"] == "main" else "",  # noqa: RUF001
    ]
    marks = "".join(f'<span class="gu-mark">{esc(one)}</span>' for one in facts if one)
    response = item["response"]
    talk = conversation(str(item["prompt"]), None if response is None else str(response))
    topic = f" · {esc(item['topic'])}" if item["topic"] else ""
    gold = item["gold"]
    labels = ", ".join(f"{k} {v}" for k, v in gold.items()) if isinstance(gold, Mapping) else ""
    return page(
        f'{_turner(place, total)}<div class="gu-marks">{marks}</div>'
        f'<details class="st-talk"><summary>Show the conversation{topic} '
        "<small>it may be harmful</small></summary>"
        f'<div class="in">{talk}</div></details>'
        f"{traces(left, right, marking=False)}"
        f'<p class="st-question"><strong>{esc(question)}</strong> '
        '<span class="soft">A much better · A slightly · the same · B slightly · B much better '
        "· both bad</span></p>"
        '<details><summary>What nobody who rates is told</summary><div class="in">'
        f"<p>Here A is {esc(arms[0])} and B is {esc(arms[1])}; people get them on either side.</p>"
        f'<p class="soft">Right labels: {esc(labels) or "none known"}.</p></div></details>',
        classes="gu-stack st-item",
    )


def _turner(place: int, total: int) -> str:
    def button(to: int, word: str, usable: bool) -> str:
        return (
            f'<button type="button" class="gu-copy" data-item="{to}"'
            f"{'' if usable else ' disabled'}>{word}</button>"
        )

    return (
        '<nav class="st-turner" aria-label="Items">'
        f"{button(place - 1, 'Previous', place > 1)}"
        f'<span class="num">item {place:,} of {total:,}</span>'
        f"{button(place + 1, 'Next', place < total)}</nav>"
    )
