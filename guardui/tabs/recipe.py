"""The whole method at one click: a recipe, the data, the base model, how many rows."""

from __future__ import annotations

from typing import Any

import gradio as gr

from db.session import Database
from guardui.render import esc, page
from guardui.render_train import chain
from guardui.tabs.uploads import upload_button
from guardui.tabs.wiring import PRIVATE, QUIET, html, told
from pipelines.jobs import queue
from pipelines.jobs.recipes import RECIPES, Recipe, get_recipe
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.stages.base import Stage

ABOUT = (
    "Stages one after the other, each taking what the one before it made. They are queued "
    "together; each can be stopped and resumed."
)


def build(database: Database, settings: Settings, launched: gr.State) -> None:
    """Builds the recipe launcher. A launch puts the first job's id into `launched`."""
    first = next(iter(RECIPES.values()))
    with gr.Column(elem_classes="gu-panel"):
        html(page(f"<h2>Whole recipe</h2><p class=soft>{esc(ABOUT)}</p>"))
        with gr.Row(elem_classes="gu-fields"):
            recipe = gr.Dropdown(
                [(one.title, one.name) for one in RECIPES.values()],
                value=first.name,
                label="Recipe",
                elem_id="recipe-name",
                min_width=240,
            )
            base = gr.Textbox(
                starting_value(first, "base_model"),
                label="Base model",
                min_width=240,
                info="The demo base, a Hub id, or a folder.",
                elem_id="recipe-base",
            )
            rows = gr.Number(
                starting_value(first, "max_rows"),
                label="Rows",
                min_width=120,
                info="A balanced sample of so many; 0 means all.",
                elem_id="recipe-rows",
            )
        dataset = gr.Dropdown(
            [("starter — the set that ships with GuardUI", "starter")],
            value="starter",
            label="Dataset",
            allow_custom_value=True,
            elem_id="recipe-dataset",
            info="starter, a JSON, JSONL, Parquet or CSV file, a folder, or a Hub dataset.",
        )
        upload_button(settings, dataset)
        steps = html(shown_chain(first), elem_id="recipe-steps")
        note = html(visible=False, elem_id="recipe-note")
        with gr.Row():
            launch = gr.Button(
                "Launch all", variant="primary", scale=0, min_width=140, elem_id="recipe-launch"
            )
    recipe.input(
        lambda name: [
            starting_value(get_recipe(name), "base_model"),
            starting_value(get_recipe(name), "max_rows"),
            shown_chain(get_recipe(name)),
        ],
        recipe,
        [base, rows, steps],
        **QUIET,
    )

    def start(name: str, model: str, limit: float | None, data: str) -> list[Any]:
        return launch_recipe(database, name, model, limit, data)

    launch.click(start, [recipe, base, rows, dataset], [note, launched], **PRIVATE)


def stages_of(recipe: Recipe) -> list[tuple[Stage, str | None]]:
    """The recipe's stages with their presets."""
    return [(get_stage(step.stage), step.preset) for step in recipe.steps]


def starting_value(recipe: Recipe, field: str) -> Any:
    """What the first stage with this field has there by its preset or its default."""
    for stage, preset in stages_of(recipe):
        if field in stage.config.model_fields:
            default = stage.config.model_fields[field].get_default(call_default_factory=True)
            return (stage.presets[preset] if preset else {}).get(field, default)
    return None


def shown_chain(recipe: Recipe) -> str:
    """The steps as they will run, and what the recipe is for."""
    steps = [
        (stage.title, f"preset {preset}. {stage.summary}" if preset else stage.summary)
        for stage, preset in stages_of(recipe)
    ]
    return page(f"<p class=soft>{esc(recipe.summary)}</p>") + chain(steps)


def launch_recipe(
    database: Database, name: str, model: str, limit: float | None, data: str
) -> list[Any]:
    """[note, id of the first job]; all the chain's jobs are queued, or none."""
    with told("Not launched") as outcome:
        recipe = get_recipe(name)
        given = {"base_model": model.strip(), "dataset": data.strip(), "max_rows": limit}
        # A row limit that wasn't touched stays each stage's own.
        values = {
            key: value
            for key, value in given.items()
            if key == "dataset" or value != starting_value(recipe, key)
        }
        ids = queue.submit_recipe(database, name, values)
        gr.Info(f"Jobs {ids[0]} to {ids[-1]} are queued.", title=recipe.title)
        return [gr.HTML(visible=False), ids[0]]
    return [gr.HTML(outcome.note, visible=True), gr.skip()]
