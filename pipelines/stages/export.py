"""Merge and export: an adapter folded into its base model, as whole weights that stand alone."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipelines import base_models
from pipelines.fitting import MARGIN
from pipelines.machine import find_device
from pipelines.memory import OVERHEAD_CPU
from pipelines.model_sizes import find_size
from pipelines.plan_words import gib, has
from pipelines.schema import InputError, StopRequested, TooLargeError
from pipelines.stages.base import ESSENTIAL, AdapterRef, Stage, StageConfig, StageContext
from pipelines.stages.training import fetch_progress
from pipelines.stages.training_record import write_record
from pipelines.template import GuardTemplate

logger = logging.getLogger(__name__)

SHARD = "4GB"


class ExportConfig(StageConfig):
    """Fold an adapter into its base model."""

    makes_whole_weights: ClassVar[bool] = True
    adapter: AdapterRef = Field(
        "",
        description="The adapter: artifact:ID, job:ID, a folder or a Hub id.",
        json_schema_extra=ESSENTIAL | {"reference": "adapter"},
    )
    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        "bfloat16",
        description="How the weights are saved. They are merged in float32 and rounded once.",
        json_schema_extra=ESSENTIAL,
    )


def check(config: ExportConfig) -> list[str]:
    """Looks at the adapter; raises for what can't work."""
    if not config.adapter:
        raise InputError("adapter: a value is needed (artifact:ID, job:ID or a folder)")
    if config.adapter.startswith(("job:", "artifact:")):
        return []
    adapter = base_models.read_adapter(config.adapter)
    check_memory(str(adapter.path) if adapter.full else adapter.base_model)
    if adapter.full:
        return [f"{adapter.path} holds whole weights already; they are saved as {config.dtype}"]
    remarks = [f"base model {adapter.base_model}"]
    stored = adapter.info.get("config", {}).get("quantization", "none")
    if stored != "none":
        remarks.append(
            f"trained on a base stored as {stored}, merged into the whole base: answers may differ"
        )
    return remarks


def check_memory(base: str) -> None:
    """Raises TooLargeError where the weights, held in float32, would not fit the main memory."""
    size, device = find_size(base), find_device("cpu")
    if size is None:
        return
    needed = 4 * size.parameters + OVERHEAD_CPU
    if needed > device.memory * (1 + MARGIN):
        raise TooLargeError(
            f"memory: {base} would need about {gib(needed)} to be merged in float32, "
            f"and {has(device)}",
            advice="Export it on a machine with more main memory.",
        )


def run(config: ExportConfig, context: StageContext) -> None:
    """Merges on the CPU in float32 and hands over a model folder that needs no adapter."""
    import torch

    adapter = base_models.read_adapter(config.adapter)
    context.activity("loading the model")
    model = base_models.load_adapter(adapter, progress=fetch_progress(context))
    if context.should_stop():
        raise StopRequested("stopped before merging")
    context.activity("merging the adapter")
    if not adapter.full:
        model = model.merge_and_unload(safe_merge=True)
    model = model.to(getattr(torch, config.dtype))
    folder = context.directory / "model"
    shutil.rmtree(folder, ignore_errors=True)  # what an attempt before this one had begun
    context.activity("saving the model")
    model.save_pretrained(folder, max_shard_size=SHARD)
    base_models.load_tokenizer(adapter.path).save_pretrained(folder)
    template = GuardTemplate.load(adapter.path) if adapter.has_template else GuardTemplate.default()
    template.save(folder)
    write_record(folder, record(config, context, adapter))
    details = {"base_model": adapter.base_model, "dtype": config.dtype}
    context.artifact("model", folder, f"Merged {Path(adapter.base_model).name}", details)


def record(
    config: ExportConfig, context: StageContext, adapter: base_models.Adapter
) -> dict[str, Any]:
    """What `training_info.json` says: where the weights come from and how they were trained."""
    return {
        "stage": "export",
        "base_model": adapter.base_model,
        "base_model_id": adapter.info.get("base_model_id"),
        "dtype": config.dtype,
        "command": context.command,
        "config": config.model_dump(),
        "parent": adapter.info,
    }


STAGE = Stage(
    name="export",
    title="Merge and export",
    summary="Fold an adapter into its base model: whole weights that any library loads.",
    config=ExportConfig,
    run=run,
    check=check,
    exclusive=False,
    order=90,
    presets={"bfloat16": {}, "float32": {"dtype": "float32"}},
)
