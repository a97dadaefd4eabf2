"""Chains of stages: each job takes what those before it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.jobs.ensemble import EnsembleOptions, ensemble_steps
from pipelines.jobs.steps import Recipe as Recipe
from pipelines.jobs.steps import Step as Step
from pipelines.schema import NotFoundError


def _method(_values: Mapping[str, Any]) -> Sequence[Step]:
    """The method of GuardReasoner (arXiv 2501.18492) with one model."""
    return (
        Step("rsft", "rsft"),
        Step("mine", "mine", links={"adapter": "rsft"}),
        Step("hsdpo", "hsdpo", links={"adapter": "rsft", "pairs": "mine"}),
    )


def _judged(_values: Mapping[str, Any]) -> Sequence[Step]:
    """The method, which goes on after R-SFT only where that meets its gates."""
    return (
        Step("rsft", "rsft"),
        Step("judge", "evaluate", links={"adapters": ["rsft"]}, title="Evaluate R-SFT"),
        Step("mine", "mine", links={"adapter": "rsft"}, after=["judge"]),
        Step("hsdpo", "hsdpo", links={"adapter": "rsft", "pairs": "mine"}),
        Step(
            "final",
            "evaluate",
            values={"gate_reference": "first"},
            links={"adapters": ["rsft", "hsdpo"], "hard_samples": "mine"},
            title="Evaluate both",
        ),
    )


def _continued(_values: Mapping[str, Any]) -> Sequence[Step]:
    """One epoch, and two more that go on from it: three in all."""
    return (
        Step("first", "rsft", values={"epochs": 1}, title="R-SFT, the first epoch"),
        Step(
            "continued",
            "rsft",
            "exp18-continue",
            values={"epochs": 2},
            links={"adapter": "first"},
            title="R-SFT, two more epochs",
        ),
    )


def _presets(rsft: str, mine: str, hsdpo: str) -> dict[str, str | None]:
    return {"rsft": rsft, "mine": mine, "hsdpo": hsdpo}


def _ensemble_presets(rsft: str, mine: str, hsdpo: str) -> dict[str, str | None]:
    return {"rsft": rsft, "mine": mine, "merge": None, "hsdpo": hsdpo}


DEMO = ("smollm2-demo", "smollm2-demo", "smollm2-demo")
_ALL = (
    Recipe(
        "demo",
        "The whole method, small",
        "R-SFT, mining and HS-DPO of SmolLM2-135M on a few rows: minutes on two CPU cores.",
        _presets(*DEMO),
        _method,
    ),
    Recipe(
        "exp19",
        "The whole method on one GPU",
        "QLoRA of Llama-3.2-3B-Instruct, mining as in the paper, then HS-DPO at 4 x 64.",
        _presets("exp19", "paper", "single-gpu"),
        _method,
    ),
    Recipe(
        "judged",
        "The whole method, judged",
        "R-SFT is evaluated before anything is mined with it, and HS-DPO beside it: where a gate "
        "(`judge.gates`, `final.gates`) is missed, what comes after is held back.",
        {"rsft": "exp19", "mine": "paper", "hsdpo": "single-gpu", "evaluate": "quick"},
        _judged,
    ),
    Recipe(
        "judged-demo",
        "The whole method, judged, small",
        "The same chain with SmolLM2-135M on a few rows, for a laptop; name `benchmarks`.",
        dict.fromkeys(("rsft", "mine", "hsdpo", "evaluate"), "smollm2-demo"),
        _judged,
    ),
    Recipe(
        "exp18",
        "One epoch, then on to three",
        "QLoRA of Llama-3.2-3B-Instruct for one epoch, then two more that go on from its adapter.",
        {"rsft": "exp18"},
        _continued,
    ),
    Recipe(
        "ensemble",
        "Ensemble mining, as in the paper",
        "Beside the main model one for each source that is left out; each source is mined by the "
        "models that saw it, the findings are merged, and HS-DPO trains the main model on them.",
        _ensemble_presets("paper-1b", "paper", "paper"),
        ensemble_steps,
        EnsembleOptions,
    ),
    Recipe(
        "ensemble-demo",
        "Ensemble mining, small",
        "The same chain with SmolLM2-135M on a few rows, for a laptop.",
        _ensemble_presets(*DEMO),
        ensemble_steps,
        EnsembleOptions,
    ),
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def get_recipe(name: str) -> Recipe:
    """The recipe of this name; raises NotFoundError with the names there are."""
    if name not in RECIPES:
        raise NotFoundError(f"recipe={name}: no such recipe (there are: {', '.join(RECIPES)})")
    return RECIPES[name]
