"""The Hard samples tab: its parts, the questions that `samples.js` asks of them, and the answers.

All that is shown follows from the address, so nothing is kept between two clicks. A click asks for
parts to be drawn (`click`), for something to be done first (`submit`), or to train (`select`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import gradio as gr

from db.session import Database
from guardui.render import esc, page
from guardui.render_sample_dialogs import dialogs, snack, tools
from guardui.render_samples import NOTHING_OPEN
from guardui.sample_address import read_place, write_place
from guardui.tabs.sample_acts import Done, perform
from guardui.tabs.sample_parts import PARTS, draw
from guardui.tabs.sample_versions import train_on, train_outputs
from guardui.tabs.train import TrainTab
from guardui.tabs.wiring import QUIET, SAYING, html, told
from guardui.theme import STATIC
from pipelines.schema import GuardUIError

logger = logging.getLogger(__name__)

SCRIPTS = ("samples.js", "samples_acts.js", "samples_events.js")
# A visitor's next question waits in the browser for this one's answer.
ASKING: dict[str, Any] = {"trigger_mode": "multiple"}


def build(database: Database, train: TrainTab, tabs: gr.Tabs) -> None:
    """Builds the tab; it asks for what it shows once it is in the page."""
    parts: dict[str, Any] = {}
    with gr.Column(elem_id="samples-root", elem_classes="hs-root"):
        with gr.Column(elem_classes="gu-panel hs-panel", elem_id="samples-top"):
            parts["head"] = html(elem_id="samples-head")
            parts["balance"] = html(elem_id="samples-balance")
            parts["versions"] = html(elem_id="samples-versions")
        with gr.Row(elem_classes="hs-columns"):
            with gr.Column(elem_classes="gu-panel hs-side", min_width=0):
                parts["filters"] = html(elem_id="samples-filters")
            with gr.Column(elem_classes="gu-panel hs-middle", min_width=0):
                html(tools(), elem_id="samples-tools")
                parts["list"] = html(elem_id="samples-list")
            with gr.Column(elem_classes="gu-panel hs-open-one", min_width=0):
                parts["detail"] = html(NOTHING_OPEN, elem_id="samples-detail")
        html(dialogs() + snack(), elem_id="samples-dialogs")
        script = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
        answer = html(js_on_load=script, elem_id="samples-answer")
    outputs = [*(parts[name] for name in PARTS), answer]

    def show(event: gr.EventData) -> list[Any]:
        return answered(database, event.ask)

    def act(event: gr.EventData) -> list[Any]:
        asked = event.ask
        try:
            done, fault = perform(database, asked), ""
        except GuardUIError as error:
            done, fault = Done(), " ".join(filter(None, (str(error), error.advice)))
        except Exception:
            logger.exception("a change of hard samples failed")
            done, fault = Done(), "Something went wrong; the server's log has the details."
        return answered(database, asked, done, fault)

    answer.click(show, None, outputs, **QUIET | ASKING)
    answer.submit(act, None, outputs, **SAYING | ASKING)

    def learn(event: gr.EventData) -> list[Any]:
        return train_on(database, train, int(event.version))

    answer.select(learn, None, train_outputs(train, tabs), **SAYING)


def in_front(request: gr.Request) -> Any:
    """The tabs with this one chosen, where the address of the page asks for it."""
    return (
        gr.Tabs(selected="samples") if request.query_params.get("tab") == "samples" else gr.skip()
    )


def answered(
    database: Database, asked: Mapping[str, Any], done: Done | None = None, fault: str = ""
) -> list[Any]:
    """The parts that were asked for, the others left as they are, and what to tell the script.

    A fault is shown by the script where it happened: in the dialog, with all that was typed.
    """
    names = asked.get("parts")
    wanted = [name for name in PARTS if isinstance(names, list) and name in names]
    said: dict[str, Any] = {"number": asked.get("number")}
    drawn: dict[str, str] = {}
    with told("Not shown"):
        place, drawn = draw(database, read_place(str(asked.get("query", ""))), wanted, asked)
        said["query"] = write_place(place)
    if done is not None:
        acted = {"ids": done.ids, "at": done.at} if done.ids or done.at else None
        said |= {"said": done.said, "fault": fault, "acted": acted}
    told_script = page(f'<span hidden data-answer="{esc(json.dumps(said))}"></span>')
    return [*(drawn.get(name, gr.skip()) for name in PARTS), told_script]
