"""Chains of stages: each job takes what the one before it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.schema import InputError, NotFoundError
from pipelines.stages import get_stage
from pipelines.stages.base import Stage


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of a recipe. `links`: a config field -> the earlier stage whose artifact it takes."""

    stage: str
    preset: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps in the order in which they run; a stage occurs once."""

    name: str
    title: str
    summary: str
    steps: Sequence[Step]


def _method(rsft: str, mine: str, hsdpo: str) -> Sequence[Step]:
    """The method of GuardReasoner (arXiv 2501.18492) with a preset for each stage."""
    return (
        Step("rsft", rsft),
        Step("mine", mine, {"adapter": "rsft"}),
        Step("hsdpo", hsdpo, {"adapter": "rsft", "pairs": "mine"}),
    )


_ALL = (
    Recipe(
        "demo",
        "The whole method, small",
        "R-SFT, mining and HS-DPO of SmolLM2-135M on a few rows: minutes on two CPU cores.",
        _method("smollm2-demo", "smollm2-demo", "smollm2-demo"),
    ),
    Recipe(
        "exp19",
        "The whole method on one GPU",
        "QLoRA of Llama-3.2-3B-Instruct, mining as in the paper, then HS-DPO at 4 x 64.",
        _method("exp19", "paper", "single-gpu"),
    ),
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def get_recipe(name: str) -> Recipe:
    """The recipe of this name; raises NotFoundError with the names there are."""
    if name not in RECIPES:
        raise NotFoundError(f"recipe={name}: no such recipe (there are: {', '.join(RECIPES)})")
    return RECIPES[name]


def values_of(stage: Stage, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values meant for this stage: those of its fields, then those named `stage.field`."""
    fields = stage.config.model_fields
    shared = {name: value for name, value in values.items() if name in fields}
    own = {
        name: values[f"{stage.name}.{name}"] for name in fields if f"{stage.name}.{name}" in values
    }
    return shared | own


def refuse_unknown(recipe: Recipe, values: Mapping[str, Any], presets: Mapping[str, str]) -> None:
    """Raises InputError for a value or preset that no step of the recipe takes."""
    names = [step.stage for step in recipe.steps]
    for name in presets:
        if name not in names:
            known = ", ".join(names)
            raise InputError(f"presets: {recipe.name} has no stage {name} (it has: {known})")
    known_fields: set[str] = set()
    for name in names:
        fields = get_stage(name).config.model_fields
        known_fields |= {*fields, *(f"{name}.{field}" for field in fields)}
    unknown = [key for key in values if key not in known_fields]
    if unknown:
        known = ", ".join(sorted(field for field in known_fields if "." not in field))
        raise InputError(f"{', '.join(unknown)}: unknown setting (known: {known})")
