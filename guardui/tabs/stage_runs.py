"""What the buttons of a stage's form do: tell the same run elsewhere, check it, launch it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from db.session import Database
from guardui.forms import changed_values
from guardui.render import empty, fault_note, note
from guardui.render_train import dataset_preview, other_ways
from guardui.tabs.wiring import told
from pipelines.datasets import read_dataset
from pipelines.jobs import queue
from pipelines.jobs.references import find_parents, resolved_so_far, with_absolute_paths
from pipelines.schema import GuardUIError
from pipelines.stages.base import Stage, StageConfig, build_config

NOT_LOOKED_AT = empty("Not looked at yet", "Press Check to read the data and see what would run.")


def same_run(stage: Stage, preset: str, filled: Sequence[Any]) -> str:
    """The run as a command and as YAML; while the form is wrong, what is wrong."""
    try:
        config = build_config(stage, preset or None, changed_values(stage, preset, filled))
    except GuardUIError as error:
        return fault_note(error)
    return other_ways(queue.command_line(stage, preset or None, config), config)


def looked_at(database: Database, stage: Stage, preset: str, filled: Sequence[Any]) -> list[Any]:
    """[note at the form, preview] after reading the data and running the stage's own check."""
    with told("Not checked") as outcome:
        config = build_config(stage, preset or None, changed_values(stage, preset, filled))
        remarks = checked(database, stage, config)
        shown = data_shown(database, config)
        fine = note("ok", "Ready to launch", remarks)
        return [gr.HTML(visible=False), fine + shown]
    return [gr.HTML(outcome.note, visible=True), NOT_LOOKED_AT]


def checked(database: Database, stage: Stage, config: StageConfig) -> list[str]:
    """What the stage itself says of a config; raises for what can't work."""
    config = with_absolute_paths(config)
    with database.read() as session:
        find_parents(session, config)
        ready = resolved_so_far(session, config)
    return stage.check(ready)


def data_shown(database: Database, config: StageConfig) -> str:
    """The rows that a config names, as a preview; nothing where it names none."""
    values = config.model_dump()
    if not values.get("dataset"):
        return ""
    ref = str(queue.resolve_reference(database, "dataset", values["dataset"]))
    return dataset_preview(
        read_dataset(
            ref,
            max_rows=values.get("max_rows") or None,
            seed=values.get("seed", 0),
            split=values.get("split") or None,
        )
    )


def launch_stage(database: Database, stage: Stage, preset: str, filled: Sequence[Any]) -> list[Any]:
    """[note at the form, id of the new job]; the form keeps what was typed."""
    with told("Not launched") as outcome:
        values = changed_values(stage, preset, filled)
        job_id = queue.submit(database, stage.name, values, preset=preset or None)
        gr.Info(f"Job {job_id} is queued.", title=stage.title)
        return [gr.HTML(visible=False), job_id]
    return [gr.HTML(outcome.note, visible=True), gr.skip()]
