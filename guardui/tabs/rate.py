"""Rate: blinded pairs of reasoning, five answers, and the win rate for those who may see it.

Which arm is A stays in the database: the browser gets two texts and a pair's number.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from db import studies
from db.session import Database
from guardui import render, render_rate
from guardui.access import Role, role_of
from guardui.tabs import rate_researcher
from guardui.tabs.wiring import QUIET
from guardui.theme import STATIC
from pipelines.schema import InputError
from pipelines.settings import Settings

logger = logging.getLogger(__name__)

LONGEST_NAME = 100
# A second press of a double click may come after the next pair is there; nobody reads that fast.
SHORTEST_LOOK_SECONDS = 0.7
VISITORS = 16
PRIVATE: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": VISITORS}

# After a rating the new pair is brought into view, and told to screen readers by the focus.
SHOW_NEW_PAIR = """() => { const head = document.getElementById("rate-head"); if (head) {
  head.scrollIntoView({block: "start"}); head.focus({preventScroll: true}); } }"""


@dataclass(frozen=True, slots=True)
class Sitting:
    """What the server knows of one open page: who rates which study, and what is shown."""

    study_id: int
    study: str
    question: str
    annotator: str
    pair_id: int | None
    shown_at: float


def build(database: Database, settings: Settings) -> None:
    """Builds the tab inside the present `gr.Tab`."""
    researcher = role_of(settings) is Role.RESEARCHER
    remembered = gr.BrowserState(
        "",
        storage_key="guardui-annotator",
        # It hides nothing: it is fixed, so that the name can still be read after a restart.
        secret="guardui-annotator",
    )
    sitting = gr.State(None)
    with gr.Row(elem_classes="gu-panel rate-start"):
        study = gr.Dropdown(
            choices=study_choices(database), label="Study", value=None, min_width=200, scale=3
        )
        name = gr.Textbox(
            label="Your name", max_length=LONGEST_NAME, max_lines=1, min_width=160, scale=2
        )
        start = gr.Button("Start", variant="primary", min_width=100, scale=1)
    item = gr.HTML(
        apply_default_css=False,
        js_on_load=(STATIC / "rate.js").read_text(encoding="utf-8"),
        elem_id="rate-item",
    )
    # Sent along with a rating, so that it counts for the pair that was on the screen.
    shown = gr.Textbox(visible=False)
    with gr.Column(visible=False, elem_classes="gu-panel", elem_id="rate-scale") as scale:
        question = gr.HTML(apply_default_css=False)
        with gr.Row(elem_classes="rate-buttons"):
            buttons = [
                (score, gr.Button(label, elem_id=f"rate-{score}", min_width=120))
                for score, label in render_rate.SCALE
            ]
        gr.HTML(render_rate.keys(), apply_default_css=False)
    screen = [sitting, shown, item, question, scale]

    def begin(study_id: int | None, who: str) -> tuple[Any, ...]:
        try:
            new = open_sitting(database, study_id, who)
        except InputError as error:
            return None, "", render.fault_note(error), "", gr.Column(visible=False), who
        return *_screen(database, new), new.annotator

    gr.on(
        [start.click, name.submit],
        begin,
        [study, name],
        [*screen, remembered],
        **PRIVATE,
    ).success(None, js=SHOW_NEW_PAIR)
    for score, button in buttons:

        def rate(now: Sitting | None, pair: str, score: int = score) -> tuple[Any, ...]:
            return _rated(database, now, pair, score)

        button.click(rate, [sitting, shown], screen, show_progress="hidden", **PRIVATE).success(
            None, js=SHOW_NEW_PAIR
        )
    if researcher:
        made = rate_researcher.build(database, study)
        made.success(lambda now: _new_study(database, now), sitting, [study, item], **PRIVATE)

    def arrive() -> tuple[Any, ...]:
        choices = study_choices(database)
        welcome = (
            render_rate.invitation() if choices else render_rate.no_study(researcher=researcher)
        )
        only = choices[0][1] if len(choices) == 1 else None
        return gr.Dropdown(choices=choices, value=only), welcome

    page = Context.root_block
    if page is not None:
        page.load(arrive, None, [study, item], **QUIET)
    # The browser reads what it keeps when the tab is first opened, which is after the page's load.
    remembered.change(lambda who: who or gr.skip(), remembered, name, **QUIET)


def _new_study(database: Database, now: Sitting | None) -> tuple[Any, Any]:
    """The dropdown with the newest study chosen, unless somebody is rating on this page."""
    choices = study_choices(database)
    if now is not None or not choices:
        return gr.Dropdown(choices=choices), gr.skip()
    return gr.Dropdown(choices=choices, value=choices[0][1]), render_rate.invitation()


def study_choices(database: Database) -> list[tuple[str, int]]:
    """(name, id) of every study, the newest first."""
    with database.read() as session:
        return [(row.name, row.id) for row in studies.list_studies(session)]


def open_sitting(database: Database, study_id: int | None, who: str) -> Sitting:
    """A person sits down to a study. Raises InputError for a missing study or name."""
    annotator = " ".join(who.split())
    if not annotator:
        raise InputError("name: it is empty; give any name, the same one each time")
    if len(annotator) > LONGEST_NAME:
        raise InputError(f"name: has {len(annotator)} characters; at most {LONGEST_NAME}")
    if study_id is None:
        raise InputError("study: none is chosen")
    with database.read() as session:
        row = studies.get_study(session, int(study_id))
    if row is None:
        raise InputError(f"study={study_id}: there is no such study any more")
    return Sitting(row.id, row.name, row.question, annotator, None, 0.0)


def store(database: Database, now: Sitting, pair: str, score: int) -> str:
    """Saves a rating and returns what may be said of it; it is committed when this returns.

    Empty where nothing was saved because the press can't have been meant. Raises InputError
    where the pair was never shown to this person.
    """
    if not (pair.isascii() and pair.isdigit() and len(pair) < 10):
        raise InputError(f"pair={pair[:20]!r}: is no pair of this study")
    pair_id = int(pair)
    seconds = time.monotonic() - now.shown_at
    if pair_id == now.pair_id and seconds < SHORTEST_LOOK_SECONDS:
        return ""
    try:
        with database.write() as session:
            row = studies.add_rating(session, pair_id, now.annotator, score, round(seconds, 1))
    except LookupError:
        raise InputError(f"pair={pair_id}: was not shown to {now.annotator}") from None
    return "✓ saved" if row is not None else "✓ already saved"


def _rated(database: Database, now: Sitting | None, pair: str, score: int) -> tuple[Any, ...]:
    if now is None:
        note = render.note("warn", "This page lost its place", advice="Press Start to go on.")
        return None, "", note, "", gr.Column(visible=False)
    try:
        saved = store(database, now, pair, score)
    except InputError as error:
        gr.Warning(str(error), title="Not saved")
        saved = ""
    except Exception:  # whatever went wrong, nobody may believe that it was saved
        logger.exception("a rating of pair %s was not saved", pair)
        gr.Warning("The rating was NOT saved. Press again in a moment.", title="Not saved")
        return (gr.skip(),) * 5
    if not saved:
        return (gr.skip(),) * 5
    return _screen(database, now, saved)


def _screen(database: Database, now: Sitting, saved: str = "") -> tuple[Any, ...]:
    """The next pair, or the end, for: sitting, shown, item, question, scale."""
    with database.write() as session:
        pair = studies.next_pair(session, now.study_id, now.annotator)
        rated, pairs = studies.progress(session, now.study_id, now.annotator)
    after = Sitting(
        now.study_id,
        now.study,
        now.question,
        now.annotator,
        pair.pair_id if pair else None,
        time.monotonic(),
    )
    if pair is None:
        return after, "", render_rate.done(now.study, pairs), "", gr.Column(visible=False)
    html = render_rate.item(
        now.study, rated, pairs, pair.prompt, pair.response, pair.left, pair.right, saved
    )
    question = render_rate.question(now.question)
    return after, str(pair.pair_id), html, question, gr.Column(visible=True)
