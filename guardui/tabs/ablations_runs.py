"""What the buttons of a new ablation do: check its runs, launch them, tell the same elsewhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from db.jobs import get_job
from db.session import Database
from guardui.assignments import read_assignments
from guardui.planning import plans_of
from guardui.render import empty, note
from guardui.render_group import sweep_shown, together
from guardui.tabs.wiring import told
from pipelines.jobs import queue
from pipelines.jobs.sweeps import SWEEPS, USUAL_PRESET, SweepPlan, plan_sweep, require_all
from pipelines.stages import get_stage
from pipelines.stages.base import Stage

NOT_LOOKED_AT = empty("Not looked at yet", "Press Check to see the runs and what they ask.")


def usual_preset(stage: Stage) -> str | None:
    """The one that a sweep takes unless told: the demo's, else the first."""
    names = list(stage.presets)
    return USUAL_PRESET if USUAL_PRESET in names else next(iter(names), None)


def words_of(values: Sequence[Any]) -> str:
    """Values as they are typed: `1, 3, 5, 10`, or JSON where one is a list."""
    if any(isinstance(value, list) for value in values):
        return json.dumps(list(values))
    return ", ".join(map(str, values))


def asked_for(given: Sequence[Any]) -> tuple[str, dict[str, Any], dict[str, str], bool]:
    """(name of the sweep, values, presets, whether refused values are left out).

    Raises InputError for further settings that are none.
    """
    what, stage_name, field, values, preset, base, dataset, rows, held, more, skip = given
    name = what or f"{stage_name}.{field or ''}"
    sweep = SWEEPS.get(what)
    stage, swept = get_stage(sweep.stage if sweep else stage_name), sweep.field if sweep else field
    filled = {
        "base_model": (base or "").strip(),
        "dataset": (dataset or "").strip(),
        "max_rows": (rows or "").strip(),
        "holdout": held or "",
    }
    fields = stage.config.model_fields
    shared = {
        key: value
        for key, value in filled.items()
        if value != "" and key in fields and key != swept and value != _default(stage, key)
    }
    shared |= read_assignments(line for line in (more or "").splitlines() if line.strip())
    presets = {stage.name: preset} if preset and preset != USUAL_PRESET else {}
    return name, shared | {"values": values or ""}, presets, bool(skip)


def _default(stage: Stage, field: str) -> Any:
    # What the preset says comes before the field's default, so only the dataset is left unsaid.
    return stage.config.model_fields[field].default if field == "dataset" else None


def same_elsewhere(
    name: str, values: Mapping[str, Any], presets: Mapping[str, str], skip: bool
) -> str:
    """The same sweep as a line for the shell."""
    words = ["guardui", "sweep", name]
    for stage, preset in presets.items():
        words += ["--preset", f"{stage}={preset}"]
    given = dict(values)
    typed = given.pop("values", "")
    if name not in SWEEPS or typed != words_of(SWEEPS[name].values):
        words += ["--values", typed]
    for key, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += ["--set", f"{key}={text}"]
    return shlex.join([*words, *(["--skip"] if skip else [])])


def check(database: Database, given: Sequence[Any]) -> list[Any]:
    """[note, the runs that there would be]; nothing is queued."""
    with told("Not checked") as outcome:
        name, values, presets, skip = asked_for(given)
        plan = plan_sweep(database, name, values, presets)
        asked = plans_of(database, plan.plans)
        shown = sweep_shown(plan, asked, same_elsewhere(name, values, presets, skip))
        return [gr.HTML(verdict(plan, list(asked.values()), skip), visible=True), shown]
    return [gr.HTML(outcome.note, visible=True), NOT_LOOKED_AT]


def verdict(plan: SweepPlan, asked: Sequence[Any], skip: bool) -> str:
    """Whether it can be launched, how many runs there are and how long they take."""
    count = f"{len(plan.plans)} runs, {together(asked)}"
    if len(plan.plans) < 2:
        return note("bad", "Nothing to compare", ["All values but one are refused."])
    if plan.refused and not skip:
        advice = "Change them, or leave them out (More settings)."
        return note("warn", f"{len(plan.refused)} of the values can't run", [], advice)
    return note("ok", "Ready to launch", [count])


def start(database: Database, given: Sequence[Any]) -> list[Any]:
    """[note, the runs, id of the new group]; all of them are queued, or none."""
    with told("Not launched") as outcome:
        name, values, presets, skip = asked_for(given)
        plan = plan_sweep(database, name, values, presets)
        require_all(plan, skip)
        ids = queue.submit_group(database, plan.plans, queue.sweep_group(plan))
        gr.Info(f"Jobs {ids[0]} to {ids[-1]} are queued.", title=plan.sweep.title)
        return [gr.HTML(visible=False), NOT_LOOKED_AT, group_of(database, ids[0])]
    return [gr.HTML(outcome.note, visible=True), gr.skip(), gr.skip()]


def group_of(database: Database, job_id: int) -> int | None:
    """The group of a job."""
    with database.read() as session:
        job = get_job(session, job_id)
        return job.group_id if job else None
