"""Sweeps: one field of a stage takes several values, everything else is shared.

The ablations stand here by name; any other field is swept as `stage.field`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db.session import Database
from pipelines.jobs.planning import Planned, plan_step
from pipelines.jobs.steps import Recipe, Step, refuse_unused
from pipelines.schema import ConfigError, GuardTask, GuardUIError, InputError, NotFoundError
from pipelines.stages import all_stages, get_stage
from pipelines.stages.data import shared_reads

USUAL_PRESET = "smollm2-demo"
ALL = "all"


@dataclass(frozen=True, slots=True)
class Sweep:
    """The values of one field. `shared`: what all its jobs have unless the caller says else."""

    name: str
    title: str
    summary: str
    stage: str
    field: str
    values: Sequence[Any]
    shared: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_TASKS: tuple[list[str], ...] = ([], *([task.value] for task in GuardTask))
_NAMED = (
    Sweep(
        "reasoning",
        "With and without reasoning",
        "Whole traces against the answers alone; the prompt asks for what is trained.",
        "rsft",
        "target",
        ("reasoning", "answers"),
    ),
    Sweep(
        "tasks",
        "All tasks or one",
        "All three tasks against each of them alone.",
        "rsft",
        "tasks",
        _TASKS,
    ),
    Sweep(
        "method",
        "LoRA against full",
        "An adapter against every weight, both on a base that is not quantised.",
        "rsft",
        "method",
        ("lora", "full"),
        {"quantization": "none"},
    ),
    Sweep(
        "quantization",
        "4-bit against bf16",
        "A base stored in 4-bit NF4 against one in bf16, computing in bf16 both.",
        "rsft",
        "quantization",
        ("nf4", "none"),
        {"method": "lora", "precision": "bf16"},
    ),
    Sweep(
        "epochs",
        "Epochs",
        "How often the data is gone through.",
        "rsft",
        "epochs",
        (1, 3, 5, 10),
    ),
    Sweep(
        "rows",
        "Rows",
        "How much data: balanced samples of 500 and 5,000 rows, and all.",
        "rsft",
        "max_rows",
        (500, 5000, 0),
    ),
)
SWEEPS: Mapping[str, Sweep] = {sweep.name: sweep for sweep in _NAMED}


# Fields whose values change what the loss is taken over, or how it is computed.
_OTHER_LOSS: Mapping[str, str] = {
    "target": "answers alone are shorter and easier to foresee than whole traces",
    "tasks": "one task's answers are another text than those of all",
    **dict.fromkeys(
        ("dataset", "split", "sources", "without_sources", "label_task", "eval_dataset"),
        "each is trained and held out on other rows",
    ),
    **dict.fromkeys(("base_model", "adapter"), "models cut text into other tokens"),
    **dict.fromkeys(("pairs", "pairing"), "each trains on other pairs"),
    **dict.fromkeys(("beta", "rho", "gamma", "weighting"), "it is part of the loss itself"),
    "max_length": "a shorter limit leaves the longest rows out",
}
_OTHER_HELD_OUT = ("max_rows", "holdout", "seed")


def caveat_of(swept: str) -> str:
    """What keeps the losses of this field's values from being compared; empty if nothing does."""
    if swept in _OTHER_HELD_OUT:
        return (
            f"With another {swept} other rows are held out, so the held-out losses are not over "
            "the same ones; with eval_dataset they are."
        )
    if swept not in _OTHER_LOSS:
        return ""
    return (
        f"Losses for different {swept} are not on one scale: {_OTHER_LOSS[swept]}. "
        "They tell how each run went, not which is better."
    )


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """The jobs of a sweep that may run, and (value, why) of those that may not."""

    sweep: Sweep
    plans: Sequence[Planned]
    refused: Sequence[tuple[str, str]]


def get_sweep(name: str, values: Sequence[Any] | None = None) -> Sweep:
    """The sweep of this name, or one over `stage.field`, whose values the caller gives.

    Raises NotFoundError for an unknown name, InputError for values that make no comparison.
    """
    found = SWEEPS.get(name)
    if found is None:
        found = _over_field(name)
    chosen = list(found.values if values is None else values)
    if len(chosen) < 2:
        raise InputError(f"values={json.dumps(chosen)}: a sweep needs at least two values")
    labels = [label_of(found.field, value) for value in chosen]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise InputError(f"values={', '.join(twice)}: named twice")
    return dataclasses.replace(found, values=chosen)


def _over_field(name: str) -> Sweep:
    stage_name, _, swept = name.partition(".")
    known = ", ".join(SWEEPS)
    if not swept:
        raise NotFoundError(f"sweep={name}: no such sweep (there are: {known}; or STAGE.FIELD)")
    stage = get_stage(stage_name)
    if swept not in stage.config.model_fields:
        fields = ", ".join(stage.config.model_fields)
        raise NotFoundError(f"sweep={name}: {stage_name} has no such field (it has: {fields})")
    return Sweep(name, f"{stage.title}: {swept}", "", stage_name, swept, ())


def read_values(text: str) -> list[Any]:
    """`1e-5,5e-5` or a JSON list as values. Raises InputError."""
    if not text.strip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return list(json.loads(text))
    except ValueError as error:
        raise InputError(f"values={text}: not JSON ({error})") from None


def label_of(swept: str, value: Any) -> str:
    """A value as the legend and the group name it: 0 rows and no task named mean all."""
    if value in ([], "[]") or (swept == "max_rows" and str(value) == "0"):
        return ALL
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def plan_sweep(
    database: Database,
    name: str,
    values: Mapping[str, Any],
    presets: Mapping[str, str] | None = None,
) -> SweepPlan:
    """The sweep's jobs, each checked; stores nothing.

    `values` are the shared fields, and `values`, the swept ones, where they aren't the usual.
    Raises a GuardUIError where no value can run, or a field is unknown.
    """
    given = dict(values)
    swept = given.pop("values", None)
    sweep = get_sweep(name, read_values(swept) if isinstance(swept, str) else swept)
    steps = [
        Step(label, sweep.stage, values={sweep.field: value}, title=label)
        for label, value in ((label_of(sweep.field, one), one) for one in sweep.values)
    ]
    for key in (sweep.field, f"{sweep.stage}.{sweep.field}"):
        if key in given:
            raise InputError(f"{key}={given[key]}: is what is swept; give its values as `values`")
    recipe = Recipe(name, sweep.title, "", {sweep.stage: _usual_preset(sweep)}, lambda _v: steps)
    refuse_unused(recipe, steps, given, presets or {})
    shared = {
        key: value for key, value in sweep.shared.items() if f"{sweep.stage}.{key}" not in given
    }
    plans: list[Planned] = []
    errors: list[tuple[str, GuardUIError]] = []
    with shared_reads():
        for step in steps:
            try:
                plan = plan_step(database, recipe, step, shared | given, presets or {})
            except GuardUIError as error:
                errors.append((step.key, error))
                continue
            if plan.refusal:
                errors.append((step.key, plan.refusal))
            else:
                plans.append(plan)
    if not plans:
        raise errors[0][1]
    refused = [(key, str(error)) for key, error in errors]
    plans, same = _without_twins(sweep, plans)
    return SweepPlan(sweep, plans, refused + same)


def _usual_preset(sweep: Sweep) -> str | None:
    return USUAL_PRESET if USUAL_PRESET in all_stages()[sweep.stage].presets else None


def _without_twins(
    sweep: Sweep, plans: Sequence[Planned]
) -> tuple[list[Planned], list[tuple[str, str]]]:
    """Samples larger than the data are the run on all of it, under another name."""
    if sweep.field != "max_rows":
        return list(plans), []
    kept, refused = [], []
    # The run on all rows goes first, so that it is the others that are refused.
    for plan in sorted(plans, key=lambda one: one.key != ALL):
        total = sum((plan.rows or {}).values())
        wanted = int(plan.config.model_dump()["max_rows"])
        if plan.rows is not None and wanted > total:
            refused.append((plan.key, f"max_rows={wanted}: the dataset has {total:,} rows"))
        else:
            kept.append(plan)
    return [plan for plan in plans if plan in kept], refused


def require_all(plan: SweepPlan, skip: bool) -> None:
    """Raises ConfigError that tells why each refused value can't run, unless they are skipped."""
    if plan.refused and not skip:
        error = ConfigError([why for _, why in plan.refused])
        error.advice = "Nothing was queued. Leave these values out, or skip them (--skip)."
        raise error
    if len(plan.plans) < 2:
        left = ", ".join(one.key for one in plan.plans)
        why = "; ".join(f"{value}: {why}" for value, why in plan.refused)
        raise InputError(
            f"sweep={plan.sweep.name}: only {left} is left, there is nothing to compare "
            f"(left out: {why})"
        )
