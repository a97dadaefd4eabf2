"""The Jobs tab: the queue, and one job with its curve, log, config and results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr

from db import jobs
from db.session import Database
from guardui.jobs_view import Selection, changes, view
from guardui.tabs import job_push
from guardui.tabs.train import TrainTab
from guardui.tabs.wiring import PICK_ROW, QUIET, SAYING, dropdown, html, told
from pipelines.jobs import queue
from pipelines.settings import Settings

TICK_SECONDS = 2.0
LISTS = ("metric", "compare")
Variant = Literal["primary", "secondary", "stop"]
BUTTONS: dict[str, tuple[str, Variant]] = {
    "stop": ("Stop at checkpoint", "stop"),
    "resume": ("Resume", "primary"),
    "cancel": ("Cancel", "stop"),
    "sooner": ("Move up", "secondary"),
    "push": ("Push to the Hub", "secondary"),
    "duplicate": ("Duplicate", "secondary"),
}


@dataclass(frozen=True, slots=True)
class JobsTab:
    """What the layout needs: the timer to run while the tab is shown, and how to show a job."""

    timer: gr.Timer
    refresh: Any
    inputs: list[Any]
    outputs: list[Any]


def build(
    database: Database, settings: Settings, launched: gr.State, train: TrainTab, tabs: gr.Tabs
) -> JobsTab:
    """Builds the tab. A job whose id comes into `launched` is shown, and so is the tab."""
    ui: dict[str, Any] = {"picked": gr.State(None)}
    seen = gr.State({})
    timer = gr.Timer(TICK_SECONDS, active=False)
    with gr.Row(elem_classes="gu-two"):
        with gr.Column(scale=6, min_width=320, elem_classes="gu-panel"):
            ui["table"] = html(js_on_load=PICK_ROW, elem_id="jobs-table")
        with gr.Column(scale=7, min_width=320, elem_classes="gu-panel"):
            detail, (ask, yes, no), pushing = _detail()
            ui |= detail
    inputs = [ui["picked"], ui["metric"], ui["compare"], seen]
    outputs = [*ui.values(), seen]

    def refresh(
        picked: int | None, metric: str | None, compare: int | None, sent: dict[str, int]
    ) -> dict[Any, Any]:
        selection = Selection(picked, metric, compare)
        changed, marks = changes(view(database, settings, selection), sent)
        updates = {ui[name]: as_update(name, part, selection) for name, part in changed.items()}
        return updates | {seen: marks}

    def pick(event: gr.EventData, _picked: int | None, *rest: Any) -> dict[Any, Any]:
        # What was asked of one job isn't asked of the next.
        away = {ask: gr.Row(visible=False), pushing["panel"]: gr.Column(visible=False)}
        return refresh(int(event.id), *rest) | away

    for part in ("table", "about"):
        ui[part].click(pick, inputs, [*outputs, ask, pushing["panel"]], **QUIET)
    gr.on([timer.tick, ui["metric"].input, ui["compare"].input], refresh, inputs, outputs, **QUIET)

    def jump(job: int | None, *rest: Any) -> dict[Any, Any]:
        # A tab that is chosen from here, not by a click, tells nobody: the timer is set too.
        shown = {tabs: gr.Tabs(selected="jobs"), timer: gr.Timer(active=True)}
        return refresh(job, *rest) | shown

    launched.change(
        jump,
        [launched, *inputs[1:]],
        [*outputs, tabs, timer],
        **QUIET,
    )
    _wire_actions(database, ui, (ask, yes, no), refresh, inputs, outputs)
    job_push.wire(database, pushing, ui["push"], ui["picked"], launched)
    ui["duplicate"].click(
        lambda job: [gr.Tabs(selected="train"), *train.fill(database, job)],
        ui["picked"],
        [tabs, *train.fill_outputs],
        **QUIET,
    )
    return JobsTab(timer, refresh, inputs, outputs)


def _detail() -> tuple[dict[str, Any], tuple[gr.Row, gr.Button, gr.Button], dict[str, Any]]:
    """One job's parts from top to bottom, by the names that `jobs_view.view` gives them, the
    question that Stop asks, and the panel that Push opens."""
    ui: dict[str, Any] = {"headline": html(elem_id="job-headline")}
    with gr.Row(elem_classes="gu-actions"):
        for name, (words, variant) in BUTTONS.items():
            ui[name] = gr.Button(
                words,
                variant=variant,
                size="sm",
                scale=0,
                min_width=90,
                visible=False,
                elem_id=f"job-{name}",
            )
    question, pushing = _question(), job_push.build()
    with gr.Column(visible=False) as ui["body"]:
        ui |= _curve_and_records()
    return ui, question, pushing


def _curve_and_records() -> dict[str, Any]:
    ui: dict[str, Any] = {}
    with gr.Row(elem_classes="gu-fields"):
        ui["metric"] = gr.Dropdown([], label="Curve", min_width=150, elem_id="job-metric")
        ui["compare"] = gr.Dropdown(
            [("nothing", 0)],
            value=0,
            label="Compare with",
            min_width=150,
            elem_id="job-compare",
        )
    ui["chart"] = html(elem_id="job-chart")
    with gr.Tabs(elem_classes="gu-inner"):
        with gr.Tab("Log"):
            ui["log"] = html(elem_id="job-log")
        with gr.Tab("Config"):
            ui["config"] = html(elem_id="job-config")
        with gr.Tab("Artifacts"):
            ui["artifacts"] = html(elem_id="job-artifacts")
        with gr.Tab("About"):
            ui["about"] = html(js_on_load=PICK_ROW, elem_id="job-about")
    return ui


def _question() -> tuple[gr.Row, gr.Button, gr.Button]:
    with gr.Row(visible=False, elem_id="job-ask", elem_classes="gu-actions gu-ask") as ask:
        html(
            '<div class="gu"><strong>Stop this job?</strong> It saves a checkpoint first and can '
            "be resumed.</div>"
        )
        yes = gr.Button(
            "Yes, stop", variant="stop", size="sm", scale=0, min_width=100, elem_id="job-stop-yes"
        )
        no = gr.Button("Let it run", size="sm", scale=0, min_width=100)
    return ask, yes, no


def _wire_actions(
    database: Database,
    ui: dict[str, Any],
    question: tuple[gr.Row, gr.Button, gr.Button],
    refresh: Any,
    inputs: list[Any],
    outputs: list[Any],
) -> None:
    ask, yes, no = question
    ui["stop"].click(lambda: gr.Row(visible=True), None, ask, **QUIET)
    no.click(lambda: gr.Row(visible=False), None, ask, **QUIET)

    def acting(title: str, action: Any) -> Any:
        def act(picked: int | None, *rest: Any) -> dict[Any, Any]:
            with told(title):
                action(database, picked)
            return refresh(picked, *rest) | {ask: gr.Row(visible=False)}

        return act

    for button, title, action in (
        (yes, "Not stopped", queue.stop),
        (ui["resume"], "Not resumed", queue.resume),
        (ui["cancel"], "Not cancelled", queue.cancel),
        (ui["sooner"], "Not moved", move_up),
    ):
        button.click(acting(title, action), inputs, [*outputs, ask], **SAYING)


def move_up(database: Database, job_id: int) -> None:
    """Puts a queued job one place earlier."""
    with database.read() as session:
        order = [job.id for job in jobs.queue(session)]
    place = order.index(job_id) - 1 if job_id in order else 0
    queue.move(database, job_id, max(0, place))


def as_update(name: str, part: Any, had: Selection) -> Any:
    """A part's plain value as Gradio takes it, where the page stood at `had`."""
    if name in LISTS:
        return dropdown(part, getattr(had, name))
    if name == "body":
        return gr.Column(visible=part)
    return gr.Button(visible=part) if name in BUTTONS else part
