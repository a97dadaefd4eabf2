"""What tests of trainings share: running a stage, and reading what it recorded."""

from __future__ import annotations

import json
from typing import Any

from pipelines.stages import rsft
from pipelines.stages.base import build_config
from tests.tiny_runs import Recorder


def train(values: dict[str, Any], context: Recorder, stage: Any = rsft) -> Recorder:
    """Runs a stage, R-SFT unless another is given; returns what it was told."""
    stage.run(build_config(stage.STAGE, None, values), context)
    return context


def info_of(context: Recorder) -> dict[str, Any]:
    """`training_info.json` of the adapter that was made."""
    found: dict[str, Any] = json.loads((context.made[0][1] / "training_info.json").read_text())
    return found


def losses(context: Recorder) -> tuple[dict[int, float], dict[int, float]]:
    """step -> training loss; step -> held-out loss."""
    return (
        {step: values["loss"] for step, values in context.rows if "loss" in values},
        {step: values["eval_loss"] for step, values in context.rows if "eval_loss" in values},
    )
