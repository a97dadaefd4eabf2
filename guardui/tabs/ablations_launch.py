"""Launching an ablation: what is varied, what all its runs share, what they ask, and why not."""

from __future__ import annotations

from typing import Any

import gradio as gr

from db.session import Database
from guardui.render import esc, page
from guardui.tabs.ablations_runs import NOT_LOOKED_AT, check, start, usual_preset, words_of
from guardui.tabs.uploads import upload_button
from guardui.tabs.wiring import PRIVATE, QUIET, html
from pipelines.jobs.sweeps import SWEEPS
from pipelines.settings import Settings
from pipelines.stages import all_stages, get_stage
from pipelines.stages.base import Stage

ANOTHER = ""
SHARED = ("base_model", "dataset", "max_rows", "holdout")
ABOUT = "One run for each value of one field, all else the same; compared under Results."


def build(database: Database, settings: Settings, launched: gr.State) -> None:
    """Builds the form. A launch puts the new group's id into `launched`."""
    first = next(iter(SWEEPS.values()))
    with gr.Row(elem_classes="gu-two"):
        with gr.Column(scale=6, min_width=320, elem_classes="gu-panel"):
            html(page(f"<h2>New ablation</h2><p class=soft>{esc(ABOUT)}</p>"))
            what, another = _what(first.name)
            stage, field, values = another
            summary = html(summary_of(first.name), elem_id="ablation-summary")
            shared = _shared(settings, first.stage)
            with gr.Row():
                launch = gr.Button(
                    "Launch", variant="primary", scale=0, min_width=120, elem_id="ablation-launch"
                )
                look = gr.Button("Check", scale=0, min_width=120, elem_id="ablation-check")
            said = html(visible=False, elem_id="ablation-note")
        with gr.Column(scale=5, min_width=320, elem_classes="gu-panel"):
            html(page("<h3>What would run</h3>"))
            preview = html(NOT_LOOKED_AT, elem_id="ablation-preview")
    fitted = [stage, field, values, summary, *shared[:5], preview]
    what.input(chosen_sweep, what, fitted, **QUIET)
    stage.input(chosen_stage, stage, [field, *shared[:5], preview], **QUIET)
    field.input(lambda: ["", NOT_LOOKED_AT], None, [values, preview], **QUIET)
    inputs = [what, stage, field, values, *shared]
    look.click(lambda *given: check(database, given), inputs, [said, preview], **PRIVATE)
    outputs = [said, preview, launched]
    launch.click(lambda *given: start(database, given), inputs, outputs, **PRIVATE)


def _what(first: str) -> tuple[gr.Dropdown, tuple[gr.Dropdown, gr.Dropdown, gr.Textbox]]:
    named = [(sweep.title, name) for name, sweep in SWEEPS.items()]
    with gr.Row(elem_classes="gu-fields"):
        what = gr.Dropdown(
            [*named, ("Another field …", ANOTHER)],
            value=first,
            label="What is varied",
            min_width=220,
            elem_id="ablation-name",
        )
        stage = gr.Dropdown(
            stage_choices(),
            value=SWEEPS[first].stage,
            label="Stage",
            visible=False,
            min_width=160,
            elem_id="ablation-stage",
        )
        field = gr.Dropdown(
            list(get_stage(SWEEPS[first].stage).config.model_fields),
            value=SWEEPS[first].field,
            label="Field",
            visible=False,
            min_width=160,
            elem_id="ablation-field",
        )
        values = gr.Textbox(
            words_of(SWEEPS[first].values),
            label="Values",
            info="Separated by commas, or a JSON list.",
            min_width=220,
            elem_id="ablation-values",
        )
    return what, (stage, field, values)


def _shared(settings: Settings, stage_name: str) -> list[Any]:
    """Preset, base model, dataset, rows, held-out share, further settings, whether to skip."""
    stage = get_stage(stage_name)
    with gr.Row(elem_classes="gu-fields"):
        preset = gr.Dropdown(
            list(stage.presets),
            value=usual_preset(stage),
            label="Preset of all runs",
            min_width=180,
            elem_id="ablation-preset",
        )
        base = gr.Textbox(
            "",
            label="Base model",
            placeholder="the preset's",
            info="The demo base, a Hub id, or a folder.",
            min_width=200,
            elem_id="ablation-base",
        )
        # Not a number's box: that shows 0, which means all rows, where nothing is given.
        rows = gr.Textbox(
            "",
            label="Rows",
            placeholder="the preset's",
            info="A balanced sample of so many; 0 means all.",
            min_width=120,
            elem_id="ablation-rows",
        )
        held = gr.Number(
            0.1,
            label="Held out",
            info="Share of the conversations to measure the loss on; 0 for none.",
            min_width=120,
            elem_id="ablation-holdout",
        )
    dataset = gr.Dropdown(
        [("starter — the set that ships with GuardUI", "starter")],
        value="starter",
        label="Dataset",
        allow_custom_value=True,
        info="starter, a JSON, JSONL, Parquet or CSV file, a folder, or a Hub dataset.",
        elem_id="ablation-dataset",
    )
    upload_button(settings, dataset)
    with gr.Accordion("More settings of all runs", open=False):
        more = gr.Textbox(
            "",
            label="One KEY=VALUE a line",
            placeholder="learning_rate=0.0005\nadapter=job:3",
            lines=2,
            max_lines=8,
            elem_id="ablation-more",
        )
        skip = gr.Checkbox(
            False,
            label="Leave out values that can't run",
            info="Otherwise nothing is queued where one is refused.",
            elem_id="ablation-skip",
        )
    return [preset, base, dataset, rows, held, more, skip]


def stage_choices() -> list[tuple[str, str]]:
    return [(one.title, one.name) for one in all_stages().values()]


def summary_of(name: str) -> str:
    """What an ablation is for; nothing for a field of one's own choice."""
    return page(f"<p class=soft>{esc(SWEEPS[name].summary)}</p>") if name else ""


def chosen_sweep(name: str) -> list[Any]:
    """[stage, field, values, summary, the five shared fields, preview] for an ablation."""
    sweep = SWEEPS.get(name)
    stage = get_stage(sweep.stage if sweep else next(iter(SWEEPS.values())).stage)
    field = sweep.field if sweep else None
    return [
        gr.Dropdown(choices=stage_choices(), value=stage.name, visible=sweep is None),
        gr.Dropdown(choices=list(stage.config.model_fields), value=field, visible=sweep is None),
        words_of(sweep.values) if sweep else "",
        summary_of(name),
        *_fitting(stage, field),
        NOT_LOOKED_AT,
    ]


def chosen_stage(name: str) -> list[Any]:
    """[field, the five shared fields, preview] for a stage."""
    stage = get_stage(name)
    fields = list(stage.config.model_fields)
    return [gr.Dropdown(choices=fields, value=None), *_fitting(stage, None), NOT_LOOKED_AT]


def _fitting(stage: Stage, swept: str | None) -> list[Any]:
    """Preset, base model, dataset, rows and share held out, as this stage has them."""
    has = {name: name in stage.config.model_fields and name != swept for name in SHARED}
    presets = list(stage.presets)
    return [
        gr.Dropdown(choices=presets, value=usual_preset(stage), visible=bool(presets)),
        gr.Textbox(visible=has["base_model"]),
        gr.Dropdown(visible=has["dataset"]),
        gr.Textbox(visible=has["max_rows"]),
        gr.Number(visible=has["holdout"]),
    ]
