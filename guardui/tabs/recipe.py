"""The whole method at one click: a recipe, the data, the base model, how many rows."""

from __future__ import annotations

from typing import Any

import gradio as gr

from db.session import Database
from guardui.planning import plans_of
from guardui.render import esc, note, page
from guardui.render_group import planned_jobs, together
from guardui.render_train import chain
from guardui.tabs.uploads import upload_button
from guardui.tabs.wiring import PRIVATE, QUIET, html, told
from pipelines.jobs import queue
from pipelines.jobs.planning import plan_recipe
from pipelines.jobs.recipes import RECIPES, Recipe, get_recipe
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.stages.base import Stage

ABOUT = (
    "Stages one after the other, each taking what those before it made. They are queued "
    "together; each can be stopped and resumed."
)


def build(database: Database, settings: Settings, launched: gr.State) -> None:
    """Builds the recipe launcher. A launch puts the first job's id into `launched`."""
    first = next(iter(RECIPES.values()))
    with gr.Column(elem_classes="gu-panel"):
        html(page(f"<h2>Whole recipe</h2><p class=soft>{esc(ABOUT)}</p>"))
        recipe, base, rows = _recipe_fields(first)
        dataset = gr.Dropdown(
            [("starter — the set that ships with GuardUI", "starter")],
            value="starter",
            label="Dataset",
            allow_custom_value=True,
            elem_id="recipe-dataset",
            info="starter, a JSON, JSONL, Parquet or CSV file, a folder, or a Hub dataset.",
        )
        upload_button(settings, dataset)
        remaining = gr.Textbox(
            "",
            label="Source of the main model",
            info="The source that only the main model mines; empty means the largest.",
            visible=False,
            elem_id="recipe-remaining",
        )
        steps = html(shown_chain(first), elem_id="recipe-steps")
        said = html(visible=False, elem_id="recipe-note")
        with gr.Row():
            launch = gr.Button(
                "Launch all", variant="primary", scale=0, min_width=140, elem_id="recipe-launch"
            )
            look = gr.Button("Check", scale=0, min_width=120, elem_id="recipe-check")
    recipe.input(
        lambda name: [
            starting_value(get_recipe(name), "base_model"),
            starting_value(get_recipe(name), "max_rows"),
            gr.Textbox(visible="remaining" in get_recipe(name).options.model_fields),
            shown_chain(get_recipe(name)),
            gr.HTML(visible=False),
        ],
        recipe,
        [base, rows, remaining, steps, said],
        **QUIET,
    )
    inputs = [recipe, base, rows, dataset, remaining]
    launch.click(
        lambda *filled: launch_recipe(database, *filled), inputs, [said, launched], **PRIVATE
    )
    look.click(lambda *filled: check_recipe(database, *filled), inputs, [said, steps], **PRIVATE)


def _recipe_fields(first: Recipe) -> tuple[gr.Dropdown, gr.Textbox, gr.Number]:
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
    return recipe, base, rows


def stages_of(recipe: Recipe) -> list[tuple[Stage, str | None]]:
    """The recipe's stages with their usual presets."""
    return [(get_stage(name), preset) for name, preset in recipe.presets.items()]


def starting_value(recipe: Recipe, field: str) -> Any:
    """What the first stage with this field has there by its preset or its default."""
    for stage, preset in stages_of(recipe):
        if field in stage.config.model_fields:
            default = stage.config.model_fields[field].get_default(call_default_factory=True)
            return (stage.presets[preset] if preset else {}).get(field, default)
    return None


def shown_chain(recipe: Recipe) -> str:
    """The stages as they will run, and what the recipe is for; its jobs come with a check."""
    steps = [
        (stage.title, f"preset {preset}. {stage.summary}" if preset else stage.summary)
        for stage, preset in stages_of(recipe)
    ]
    return page(f"<p class=soft>{esc(recipe.summary)}</p>") + chain(steps)


def given_values(
    recipe: Recipe, model: str, limit: float | None, data: str, remaining: str = ""
) -> dict[str, Any]:
    """What was filled in, as the recipe takes it."""
    given = {"base_model": model.strip(), "dataset": data.strip(), "max_rows": limit}
    # A row limit that wasn't touched stays each stage's own.
    values = {
        key: value
        for key, value in given.items()
        if key == "dataset" or value != starting_value(recipe, key)
    }
    if remaining.strip() and "remaining" in recipe.options.model_fields:
        values["remaining"] = remaining.strip()
    return values


def check_recipe(database: Database, name: str, *filled: Any) -> list[Any]:
    """[note, the jobs that would run and what each asks of this machine]; nothing is queued.

    A job that is refused is shown with the reason, and so are those after it.
    """
    recipe = get_recipe(name)
    with told("Not checked") as outcome:
        values = given_values(recipe, *filled)
        plans = plan_recipe(database, recipe, values, strict=False)
        asked = plans_of(database, plans)
        shown = planned_jobs(plans, asked)
        refusals = [plan.refusal for plan in plans if plan.refusal]
        said = f"{len(plans)} jobs in this order, {together(list(asked.values()))}"
        if refusals:
            count = f"{len(refusals)} of {len(plans)} jobs can't run here"
            seen = note("bad", count, [str(refusals[0])], refusals[0].advice)
        else:
            seen = note("ok", "Ready to launch", [said])
        return [gr.HTML(seen, visible=True), shown]
    return [gr.HTML(outcome.note, visible=True), shown_chain(recipe)]


def launch_recipe(database: Database, name: str, *filled: Any) -> list[Any]:
    """[note, id of the first job]; all the chain's jobs are queued, or none.

    `filled`: base model, row limit, dataset, and the source that remains to the main model.
    """
    with told("Not launched") as outcome:
        recipe = get_recipe(name)
        ids = queue.submit_recipe(database, name, given_values(recipe, *filled))
        gr.Info(f"Jobs {ids[0]} to {ids[-1]} are queued.", title=recipe.title)
        return [gr.HTML(visible=False), ids[0]]
    return [gr.HTML(outcome.note, visible=True), gr.skip()]
