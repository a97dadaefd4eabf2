"""A new study: the form of the stage that makes one, and how many ratings it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from db.session import Database
from guardui.forms import changed_values, field_specs, form_values
from guardui.planning import plan_of
from guardui.render import note, page
from guardui.render_plan import plan_block
from guardui.render_studies import would_be
from guardui.render_study_power import mean_ratings, power_answer, usual_table
from guardui.study_preview import preview
from guardui.tabs.stage_runs import NOT_LOOKED_AT, launch_stage, same_run
from guardui.tabs.train import build_fields
from guardui.tabs.wiring import PRIVATE, QUIET, html, told
from pipelines.jobs import queue
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.stages.base import Stage, build_config
from pipelines.stages.data import shared_reads

STAGE = "study"
POWERS = (("80%", 0.8), ("90%", 0.9), ("95%", 0.95))
COUNTED = ("ratings_per_pair", "overlap_share", "overlap_ratings")
"""Fields that the sample-size helper reads."""


def build(database: Database, settings: Settings, launched: gr.State, tab: gr.Tab) -> None:
    """Builds the part within `tab`. Creating puts the new job's id into `launched`."""
    stage = get_stage(STAGE)
    specs = field_specs(stage.config)
    with gr.Row(elem_classes="gu-two"):
        with gr.Column(scale=6, min_width=320, elem_classes="gu-panel", elem_id="study-form"):
            html(
                page(
                    "<h2>New study</h2><p class=soft>Two or more arms answer the same "
                    "conversations; people say whose reasoning is better without knowing whose it "
                    "is. It becomes a draft first, to look through before anybody rates.</p>"
                )
            )
            fields = build_fields(database, settings, stage, specs, "")
            by_name = dict(zip((spec.name for spec in specs), fields, strict=True))
            faults = html(visible=False, elem_id="study-faults")
            with gr.Row():
                create = gr.Button(
                    "Create", variant="primary", scale=0, min_width=120, elem_id="study-create"
                )
                check = gr.Button("Check", scale=0, min_width=120, elem_id="study-check")
        with gr.Column(scale=5, min_width=320):
            _sample_size(by_name, tab)
            with gr.Column(elem_classes="gu-panel"):
                html(page("<h3>What would be made</h3>"))
                shown = html(NOT_LOOKED_AT, elem_id="study-preview")
            with gr.Column(elem_classes="gu-panel"):
                html(page("<h3>The same elsewhere</h3>"))
                ways = html(same_run(stage, "", form_values(stage, None)), elem_id="study-ways")
    _follow(stage, fields, ways)
    check.click(
        lambda *filled: checked(database, stage, filled), fields, [faults, shown], **PRIVATE
    )
    create.click(
        lambda *filled: launch_stage(database, stage, "", filled),
        fields,
        [faults, launched],
        **PRIVATE,
    )


def checked(database: Database, stage: Stage, filled: Sequence[Any]) -> list[Any]:
    """[note at the form, what would be made]: the study itself where all arms have answered, else
    what their answering asks of this machine."""
    with told("Not checked") as outcome, shared_reads():
        config = build_config(stage, None, changed_values(stage, "", filled))
        remarks = queue.check(database, stage, config)
        made = preview(database, stage, config)
        if made is not None:
            return [gr.HTML(visible=False), note("ok", "Ready to create") + would_be(*made)]
        planned = plan_of(database, stage, config)
        block = plan_block(planned, "") if planned else ""
        return [gr.HTML(visible=False), note("ok", "Ready to create", remarks) + block]
    return [gr.HTML(outcome.note, visible=True), NOT_LOOKED_AT]


def _follow(stage: Stage, fields: list[Any], ways: gr.HTML) -> None:
    """Command and YAML follow the fields."""
    gr.on(
        [field.change for field in fields],
        lambda *filled: same_run(stage, "", filled),
        fields,
        ways,
        trigger_mode="always_last",
        **QUIET,
    )


def _sample_size(fields: dict[str, Any], tab: gr.Tab) -> None:
    """How many ratings the target needs, by the fields that decide it."""
    with gr.Column(elem_classes="gu-panel", elem_id="study-power"):
        html(page("<h3>How many ratings?</h3>"))
        with gr.Row(elem_classes="gu-fields"):
            rate = gr.Number(
                0.6, label="True win rate", info="Over 0.5.", elem_id="power-rate", step=0.01
            )
            power = gr.Dropdown(
                list(POWERS), value=0.8, label="Power", info="How surely it is to be found."
            )
            ties = gr.Number(
                0.2, label="Tie rate", info="Ties tell nothing.", elem_id="power-ties", step=0.05
            )
        answer = html(elem_id="power-answer")
        html(usual_table())

    def work_out(
        rate: float | None,
        power: float | None,
        ties: float | None,
        per_pair: float | None,
        share: float | None,
        several: float | None,
        target: float | None,
    ) -> str:
        mean = mean_ratings(per_pair or 1, share or 0, several or 1)
        return power_answer(rate or 0.0, power or 0.8, ties or 0.0, mean, target)

    asked = [rate, power, ties, *(fields[name] for name in COUNTED), fields["target"]]
    gr.on([tab.select, *(one.change for one in asked)], work_out, asked, answer, **QUIET)
