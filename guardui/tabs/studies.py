"""The Studies tab: making preference studies, opening them to people, and reading what came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from db.session import Database
from guardui import study_acts
from guardui.jobs_view import changes
from guardui.studies_view import BUTTONS, PARTS, Looked, view
from guardui.tabs import studies_new, studies_people
from guardui.tabs.wiring import PICK_ROW, QUIET, SAYING, html, told
from guardui.theme import STATIC
from pipelines.settings import Settings

TICK_SECONDS = 4.0
LIST, NEW = "list", "new"
AT_FIRST: dict[str, Any] = {"study": None, "part": "report", "item": 1}
# The first report of a study loads what computes it.
COUNTING: dict[str, Any] = {**QUIET, "show_progress": "minimal"}
WORDS: dict[str, tuple[str, str]] = {
    "open": ("Open for rating", "primary"),
    "pause": ("Pause", "secondary"),
    "resume": ("Go on", "primary"),
    "close": ("Close", "stop"),
    "delete": ("Delete draft", "stop"),
}
# act -> (what is asked, the button that does it)
ASKED = {
    "open": (
        "Open this study? Design, items and traces are frozen and hashed: none can be changed "
        "after.",
        "Yes, open it",
    ),
    "close": ("Close this study for good? No rating counts that comes later.", "Yes, close it"),
    "delete": ("Delete this draft? The job that made it stays.", "Yes, delete it"),
}


@dataclass(frozen=True, slots=True)
class StudiesTab:
    """What the layout needs: the timer to run while the tab is shown, and how to bring it up to
    date."""

    timer: gr.Timer
    refresh: Any
    inputs: list[Any]
    outputs: list[Any]


def build(database: Database, settings: Settings) -> StudiesTab:
    """Builds the tab; it asks for what it shows once it is looked at."""
    ui: dict[str, Any] = {}
    place, seen, launched = gr.State(AT_FIRST), gr.State({}), gr.State(None)
    timer = gr.Timer(TICK_SECONDS, active=False)
    with gr.Tabs(elem_classes="gu-inner", elem_id="studies-parts") as halves:
        with gr.Tab("Studies", id=LIST):
            with gr.Column(elem_classes="gu-panel"):
                ui["list"] = html(js_on_load=PICK_ROW, elem_id="studies-list")
            with gr.Column(elem_classes="gu-panel", elem_id="studies-body"):
                ui["headline"] = html(elem_id="study-headline")
                asks = _buttons(ui)
                with gr.Column(visible=False) as ui["body"]:
                    parts, people = _parts(ui)
        with gr.Tab("New study", id=NEW) as new:
            studies_new.build(database, settings, launched, new)
    inputs, outputs = [place, seen], [*ui.values(), place, seen]

    def refresh(at: dict[str, Any], sent: dict[str, int]) -> dict[Any, Any]:
        shown = view(database, Looked(at["study"], at["part"], at["item"]))
        picked = shown.pop("picked")
        changed, marks = changes(shown, sent)
        drawn = {ui[name]: as_update(name, part) for name, part in changed.items()}
        # The timer's answer may come after a newer choice, which it must not undo.
        moved = at if at["study"] != picked else None
        return drawn | {seen: sent | marks} | ({place: at | {"study": picked}} if moved else {})

    def chosen(at: dict[str, Any]) -> dict[Any, Any]:
        """All of what was asked for, whatever the page may show by now."""
        return {place: at} | refresh(at, {})

    def picked(event: gr.EventData, at: dict[str, Any], _sent: dict[str, int]) -> dict[Any, Any]:
        hidden = {row: gr.Column(visible=False) for row in asks.rows}
        return chosen(at | {"study": int(event.id), "item": 1}) | hidden | {people.links: ""}

    def turned(event: gr.SelectData, at: dict[str, Any], _sent: dict[str, int]) -> dict[Any, Any]:
        part = next((name for name, title in PARTS.items() if title == event.value), "report")
        return chosen(at | {"part": part})

    def paged(event: gr.EventData, at: dict[str, Any], _sent: dict[str, int]) -> dict[Any, Any]:
        wanted = event.item
        return chosen(at | ({"item": wanted} if isinstance(wanted, int) else {}))

    ui["list"].click(picked, inputs, [*outputs, *asks.rows, people.links], **COUNTING)
    parts.select(turned, inputs, outputs, **COUNTING)
    ui["items"].click(paged, inputs, outputs, **QUIET)
    timer.tick(refresh, inputs, outputs, **QUIET)
    _wire_acts(database, ui, asks, refresh, inputs, outputs)
    studies_people.wire(database, settings, people, refresh, inputs, outputs)

    def made(job: int | None, at: dict[str, Any], sent: dict[str, int]) -> dict[Any, Any]:
        return refresh(at, sent) | {halves: gr.Tabs(selected=LIST)}

    launched.change(made, [launched, *inputs], [*outputs, halves], **QUIET)
    return StudiesTab(timer, refresh, inputs, outputs)


@dataclass(frozen=True, slots=True)
class Asks:
    """The questions that buttons ask before they act: their rows, their yes and no, the reason."""

    rows: list[Any]
    yes: dict[str, Any]
    no: list[Any]
    by_name: dict[str, Any]
    reason: Any


def _buttons(ui: dict[str, Any]) -> Asks:
    """The acts on a study, and what those that can't be undone ask first."""
    with gr.Row(elem_classes="gu-actions"):
        for name, (words, variant) in WORDS.items():
            ui[name] = gr.Button(
                words,
                variant=variant,  # type: ignore[arg-type]
                size="sm",
                scale=0,
                min_width=90,
                visible=False,
                elem_id=f"study-{name}",
            )
    asks = Asks([], {}, [], {}, gr.Textbox(render=False))
    for name, (question, words) in ASKED.items():
        with gr.Column(visible=False, elem_classes="gu-ask st-ask", elem_id=f"ask-{name}") as row:
            html(f'<div class="gu"><strong>{question}</strong></div>')
            if name == "close":
                reason = gr.Textbox(
                    label="Why it ends", max_lines=1, max_length=200, elem_id="study-reason"
                )
                asks = Asks(asks.rows, asks.yes, asks.no, asks.by_name, reason)
            with gr.Row(elem_classes="gu-actions"):
                look: Any = "primary" if name == "open" else "stop"
                asks.yes[name] = gr.Button(
                    words, variant=look, size="sm", scale=0, elem_id=f"study-{name}-yes"
                )
                asks.no.append(gr.Button("No", size="sm", scale=0, min_width=70))
        asks.rows.append(row)
        asks.by_name[name] = row
    return asks


def _parts(ui: dict[str, Any]) -> tuple[gr.Tabs, studies_people.PeoplePart]:
    """The parts of a study behind their tabs, each drawn when it is looked at."""
    script = (STATIC / "studies.js").read_text(encoding="utf-8")
    with gr.Tabs(elem_classes="gu-inner", elem_id="study-parts", overflow_behavior="wrap") as parts:
        with gr.Tab(PARTS["report"], id="report"):
            ui["report"] = html(elem_id="study-report")
        with gr.Tab(PARTS["items"], id="items"):
            ui["items"] = html(js_on_load=script, elem_id="study-items")
        with gr.Tab(PARTS["people"], id="people"):
            people = studies_people.build(ui)
        with gr.Tab(PARTS["design"], id="design"):
            ui["design"] = html(elem_id="study-design")
            ui["files"] = html(elem_id="study-files")
    return parts, people


def _wire_acts(
    database: Database,
    ui: dict[str, Any],
    asks: Asks,
    refresh: Any,
    inputs: list[Any],
    outputs: list[Any],
) -> None:
    """Buttons that ask show their question; the others, and every yes, act and refresh."""
    shut = {row: gr.Column(visible=False) for row in asks.rows}
    for name, row in asks.by_name.items():
        ui[name].click(
            lambda row=row: shut | {row: gr.Column(visible=True)}, None, asks.rows, **QUIET
        )
    gr.on([one.click for one in asks.no], lambda: shut, None, asks.rows, **QUIET)

    def acting(title: str, act: Callable[[int, str], str]) -> Callable[..., dict[Any, Any]]:
        def run(at: dict[str, Any], _sent: dict[str, int], reason: str) -> dict[Any, Any]:
            with told(title):
                gr.Info(act(at["study"], reason), title="Done")
            return refresh(at, {}) | shut

        return run

    def opened(study: int, _reason: str) -> str:
        digest = study_acts.open_study(database, study)
        return f"The study is open. Its design's hash is {digest[:16]}…"

    def paused(study: int, _reason: str) -> str:
        study_acts.pause_study(database, study)
        return "Nobody is given a pair until it goes on."

    def resumed(study: int, _reason: str) -> str:
        study_acts.resume_study(database, study)
        return "People can rate again."

    def closed(study: int, reason: str) -> str:
        study_acts.close_study(database, study, reason)
        return "The study is closed."

    def deleted(study: int, _reason: str) -> str:
        study_acts.delete_study(database, study)
        return "The draft is gone."

    for button, title, act in (
        (asks.yes["open"], "Not opened", opened),
        (ui["pause"], "Not paused", paused),
        (ui["resume"], "Not resumed", resumed),
        (asks.yes["close"], "Not closed", closed),
        (asks.yes["delete"], "Not deleted", deleted),
    ):
        button.click(acting(title, act), [*inputs, asks.reason], [*outputs, *asks.rows], **SAYING)


def as_update(name: str, part: Any) -> Any:
    """A part's plain value as Gradio takes it."""
    if name in BUTTONS:
        return gr.Button(visible=part)
    if name in ("body", "may_invite", "has_names"):
        return gr.Column(visible=part)
    if name == "person":
        return gr.Dropdown(choices=list(part), value=None)
    return part
