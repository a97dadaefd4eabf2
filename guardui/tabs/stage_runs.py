"""What the buttons of a stage's form do: tell the same run elsewhere, check it, launch it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from db.session import Database
from guardui.forms import changed_values
from guardui.planning import plan_of, ready_config
from guardui.render import empty, fault_note, note
from guardui.render_plan import plan_block
from guardui.render_train import dataset_preview, other_ways
from guardui.tabs.wiring import told
from pipelines.datasets import read_dataset
from pipelines.jobs import queue
from pipelines.presets import about
from pipelines.schema import GuardUIError
from pipelines.stages.base import Stage, StageConfig, build_config
from pipelines.stages.data import ROWS_SAY, is_to_come, shared_reads

NOT_LOOKED_AT = empty("Not looked at yet", "Press Check to read the data and see what would run.")


def same_run(stage: Stage, preset: str, filled: Sequence[Any]) -> str:
    """The run as a command and as YAML; while the form is wrong, what is wrong."""
    try:
        config = build_config(stage, preset or None, changed_values(stage, preset, filled))
    except GuardUIError as error:
        return fault_note(error)
    return other_ways(queue.command_line(stage, preset or None, config), config)


def looked_at(database: Database, stage: Stage, preset: str, filled: Sequence[Any]) -> list[Any]:
    """[note at the form, preview] after reading the data and running the stage's own check.

    A run that can't fit is refused, and its plan shown all the same.
    """
    seen: list[str] = []
    with told("Not checked") as outcome, shared_reads():
        config = build_config(stage, preset or None, changed_values(stage, preset, filled))
        planned = plan_of(database, stage, config)
        if planned is not None:
            seen.append(plan_block(planned, about(stage.name, preset)))
        seen.append(data_shown(database, config))
        remarks = queue.check(database, stage, config)
        known = planned.remarks if planned else ()
        fine = note("ok", "Ready to launch", [one for one in remarks if one not in known])
        return [gr.HTML(visible=False), fine + "".join(seen)]
    return [gr.HTML(outcome.note, visible=True), "".join(seen) or NOT_LOOKED_AT]


def data_shown(database: Database, config: StageConfig) -> str:
    """The rows that a config names, as a preview; nothing where it names none, or where a job has
    yet to make them."""
    values = ready_config(database, config).model_dump()
    ref = values.get("dataset", "")
    if not ref or is_to_come(ref):
        return ""
    return dataset_preview(
        read_dataset(
            ref,
            max_rows=values.get("max_rows") or None,
            seed=values.get("seed", 0),
            split=values.get("split") or None,
            task=None if (task := values.get("label_task", ROWS_SAY)) == ROWS_SAY else task,
            sources=values.get("sources", ()),
            without_sources=values.get("without_sources", ()),
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
