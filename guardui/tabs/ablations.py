"""The Ablations tab: the jobs of a group in one picture and one table, and launching a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from db.session import Database
from guardui.group_view import LISTS, Looked, view
from guardui.jobs_view import changes
from guardui.tabs import ablations_launch
from guardui.tabs.wiring import PICK_ROW, QUIET, dropdown, html
from pipelines.settings import Settings

TICK_SECONDS = 3.0
RESULTS, NEW = "results", "new"


@dataclass(frozen=True, slots=True)
class AblationsTab:
    """What the layout needs: how to bring the tab up to date, and where a job is picked."""

    timer: gr.Timer
    refresh: Any
    inputs: list[Any]
    outputs: list[Any]
    table: gr.HTML


def build(database: Database, settings: Settings) -> AblationsTab:
    """Builds the tab."""
    ui: dict[str, Any] = {}
    seen, launched = gr.State({}), gr.State(None)
    timer = gr.Timer(TICK_SECONDS, active=False)
    with gr.Tabs(elem_classes="gu-inner", elem_id="ablation-parts") as parts:
        with gr.Tab("Results", id=RESULTS):
            _results(ui)
        with gr.Tab("New ablation", id=NEW):
            ablations_launch.build(database, settings, launched)
    inputs = [ui["group"], ui["metric"], ui["axis"], seen]
    outputs = [*ui.values(), seen]

    def draw(looked: Looked, had: Looked, sent: dict[str, int]) -> dict[Any, Any]:
        changed, marks = changes(view(database, looked), sent)
        updates = {ui[name]: as_update(name, part, had) for name, part in changed.items()}
        return updates | {seen: marks}

    def refresh(
        group: int | None, metric: str | None, axis: str | None, sent: dict[str, int]
    ) -> dict[Any, Any]:
        looked = Looked(group, metric, axis)
        return draw(looked, looked, sent)

    gr.on(
        [timer.tick, ui["group"].input, ui["metric"].input, ui["axis"].input],
        refresh,
        inputs,
        outputs,
        **QUIET,
    )

    def look_at(
        group: int | None, metric: str | None, axis: str | None, sent: dict[str, int]
    ) -> dict[Any, Any]:
        drawn = draw(Looked(group, metric, axis), Looked(None, metric, axis), sent)
        return drawn | {parts: gr.Tabs(selected=RESULTS)}

    launched.change(look_at, [launched, *inputs[1:]], [*outputs, parts], **QUIET)
    return AblationsTab(timer, refresh, inputs, outputs, ui["table"])


def _results(ui: dict[str, Any]) -> None:
    with gr.Column(elem_classes="gu-panel"):
        with gr.Row(elem_classes="gu-fields"):
            ui["group"] = gr.Dropdown([], label="Group", min_width=260, elem_id="ablation-group")
            ui["metric"] = gr.Dropdown([], label="Curve", min_width=150, elem_id="ablation-metric")
            ui["axis"] = gr.Dropdown([], label="Along", min_width=150, elem_id="ablation-axis")
        ui["head"] = html(elem_id="ablation-head")
        with gr.Column(visible=False) as ui["body"]:
            ui["chart"] = html(elem_id="ablation-chart")
            ui["table"] = html(js_on_load=PICK_ROW, elem_id="ablation-table")
            ui["files"] = html(elem_id="ablation-files")


def as_update(name: str, part: Any, had: Looked) -> Any:
    """A part's plain value as Gradio takes it, where the page stood at `had`."""
    if name in LISTS:
        return dropdown(part, getattr(had, name))
    return gr.Column(visible=part) if name == "body" else part
