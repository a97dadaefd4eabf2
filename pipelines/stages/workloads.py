"""A stage's config and its rows as a Workload, which `pipelines/plan.py` sets beside a machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pipelines import base_models, memory
from pipelines.machine import Device, find_device
from pipelines.model_sizes import ModelSize, find_size
from pipelines.plan import Changes, Workload
from pipelines.plan_time import training_cost
from pipelines.schema import GuardUIError
from pipelines.stages.base import StageConfig
from pipelines.stages.trained import Trained as Trained
from pipelines.stages.trained import expecting as expecting
from pipelines.stages.trained import has_base as has_base
from pipelines.stages.trained import trained_of as trained_of
from pipelines.stages.training import MAX_LENGTH, TrainingConfig, uses_bf16
from pipelines.stages.training_config import halved
from pipelines.token_counts import count_tokens, prompt_overhead


def cost_of(config: StageConfig) -> tuple[str, float]:
    """(base, arithmetic a token) of a run that has been; ("", 0) where it can't be told now."""
    try:
        trained = trained_of(config)
    except GuardUIError:
        return "", 0  # its adapter has gone
    size = find_size(trained.base) if trained.base else None
    if size is None:
        return "", 0
    if not isinstance(config, TrainingConfig):
        return trained.base, 2 * size.parameters
    return trained.base, _cost(config, trained, size, pairs="beta" in type(config).model_fields)


def _cost(config: TrainingConfig, trained: Trained, size: ModelSize, pairs: bool) -> float:
    weights = memory.trained_parameters(size, _shape(config, trained, 1, 1, False, pairs))
    return training_cost(
        size, weights, checkpointing=config.gradient_checkpointing, reference=pairs
    )


def training_workload(
    config: TrainingConfig,
    trained: Trained,
    lengths: Sequence[int],
    row_tokens: Sequence[int],
    *,
    max_length: int,
    pairs: bool = False,
    packing: bool = False,
    remarks: Sequence[str] = (),
) -> Workload:
    """A training on rows of these `lengths`, which cost `row_tokens` each (a pair's two sides)."""
    quantization = config.quantization
    limit = max_length or min(max(lengths, default=MAX_LENGTH), MAX_LENGTH)
    kept = [index for index, length in enumerate(lengths) if length <= limit]
    tokens = round(sum(row_tokens[index] for index in kept) * (1 - config.holdout))
    rows = max(1, round(len(kept) * (1 - config.holdout))) if kept else 0
    longest = max((lengths[index] for index in kept), default=limit)
    if packing:
        rows, longest = math.ceil(tokens / limit), limit
    size = find_size(trained.base) if trained.base else None

    def estimate(changes: Changes, device: Device) -> memory.Estimate:
        return _training_estimate(config, trained, longest, changes, device, pairs)

    return Workload(
        kind="training",
        base=trained.base,
        size=size,
        device=config.device,
        estimate=estimate if size else None,
        options=lambda device: _options(config, trained, longest, device),
        rows=rows,
        rows_a_batch=config.batch_size,
        accumulation=config.accumulation,
        epochs=config.epochs,
        max_steps=config.max_steps,
        epoch_tokens=tokens,
        longest=longest,
        cost=_cost(config, trained, size, pairs) if size else 0,
        row_name="pairs" if pairs else "rows",
        smallest_batch=max(1, config.batch_size >> config.oom_retry) if config.oom_retry else 0,
        ignore_memory=config.ignore_memory,
        remarks=[*remarks, *_processor_remarks(config)],
        needs_gpu="" if quantization == "none" else f"quantization={quantization}",
        without_gpu={"quantization": "none"},
    )


def preference_workload(
    config: Any, trained: Trained, pairs: Sequence[Mapping[str, Any]], remarks: Sequence[str]
) -> Workload:
    """A training on pairs of `prompt`, `response`, `chosen` and `rejected`."""
    fixed = prompt_overhead((), trained.base)

    def tokens(*names: str) -> list[int]:
        texts = [partial(_joined, [row.get(name) or "" for name in names]) for row in pairs]
        return count_tokens(texts, trained.base)

    asked = [count + fixed for count in tokens("prompt", "response")]
    sides = list(zip(asked, tokens("chosen"), tokens("rejected"), strict=True))
    return training_workload(
        config,
        trained,
        [prompt + max(chosen, rejected) for prompt, chosen, rejected in sides],
        [2 * prompt + chosen + rejected for prompt, chosen, rejected in sides],
        max_length=config.max_length,
        pairs=True,
        remarks=remarks,
    )


def _joined(parts: Sequence[str]) -> str:
    return "\n".join(parts)


def _shape(
    config: TrainingConfig, trained: Trained, rows: int, length: int, gpu: bool, pairs: bool
) -> memory.Training:
    return memory.Training(
        full=trained.full,
        quantization=config.quantization,
        bf16=uses_bf16(config, "cuda" if gpu else "cpu"),
        gpu=gpu,
        rows=rows * (2 if pairs else 1),
        length=length,
        checkpointing=config.gradient_checkpointing,
        optimizer=config.optimizer,
        lora_r=trained.lora_r,
        lora_targets=trained.lora_targets,
        dropout=trained.dropout,
        pairs=pairs,
    )


def _training_estimate(
    config: TrainingConfig,
    trained: Trained,
    longest: int,
    changes: Changes,
    device: Device,
    pairs: bool,
) -> memory.Estimate:
    """The estimate with some fields changed; raises KeyError for a base of unknown size."""
    new: Any = config.model_copy(update=dict(changes))
    base = str(changes.get("base_model", trained.base))
    trained = replace(trained_of(new), base=base) if has_base(new) else trained
    size = find_size(base)
    if size is None:
        raise KeyError(base)
    length = min(longest, changes.get("max_length") or longest)
    shape = _shape(new, trained, new.batch_size, length, device.is_gpu, pairs)
    return memory.training(size, shape)


def estimated_bytes(
    config: TrainingConfig, trained: Trained, longest: int, device: str, *, pairs: bool = False
) -> int | None:
    """The estimate of a training whose longest row has so many tokens; None where its base's size
    isn't known. `device` as torch names it."""
    if find_size(trained.base) is None:
        return None
    kind = "cuda" if device.startswith("cuda") else "cpu"
    return _training_estimate(config, trained, longest, {}, Device(kind, "", 0), pairs).total


def _options(
    config: TrainingConfig, trained: Trained, longest: int, device: Device
) -> list[Changes]:
    """Changes that take less memory, those first that change the result least."""
    fields, found = type(config).model_fields, list[Changes]()
    if not config.gradient_checkpointing:
        found.append({"gradient_checkpointing": True})
    smaller = [(config.batch_size, config.accumulation)]
    while pair := halved(*smaller[-1]):
        smaller.append(pair)
    found += [{"batch_size": rows, "accumulation": batches} for rows, batches in smaller[1:]]
    if trained.full and config.optimizer != "adamw_8bit":
        found.append({"optimizer": "adamw_8bit"})
    found += [{"max_length": length} for length in (1024, 512) if length < longest]
    if "method" in fields:
        if trained.full:
            found.append({"method": "lora"})
        if config.quantization == "none" and device.is_gpu:
            found.append({"method": "lora", "quantization": "nf4"})
        if trained.base != base_models.DEMO_BASE:
            found.append({"base_model": base_models.DEMO_BASE})
    return found


def _processor_remarks(config: TrainingConfig) -> list[str]:
    """What of a config is made for a GPU and does little without one."""
    if find_device(config.device).is_gpu:
        return []
    found = []
    if config.quantization != "none" and config.ignore_memory:
        found.append(f"quantization={config.quantization} is made for a GPU and slow without one")
    if config.optimizer == "paged_adamw_32bit":
        found.append("optimizer=paged_adamw_32bit pages on a GPU alone; here nothing is moved")
    return found


def generation_workload(
    config: Any,
    size_of: str,
    prompts: Sequence[int],
    *,
    remarks: Sequence[str] = (),
) -> Workload:
    """`config.k` answers to each of the prompts, whose lengths are given in tokens."""
    size: ModelSize | None = find_size(size_of) if size_of else None
    longest = max(prompts, default=0)

    def estimate(changes: Changes, device: Device) -> memory.Estimate:
        assert size is not None
        rows = int(changes.get("batch_size", config.batch_size)) * config.k
        new = int(changes.get("max_new_tokens", config.max_new_tokens))
        fast = base_models.fast_bf16("cuda" if device.is_gpu else "cpu")
        return memory.generation(size, memory.Generation(rows, longest, new, fast, device.is_gpu))

    def options(_device: Device) -> list[Changes]:
        sizes = sorted(
            {config.batch_size // n for n in (2, 4, 16, config.batch_size)}, reverse=True
        )
        fewer: list[Changes] = [{"batch_size": n} for n in sizes if 0 < n < config.batch_size]
        return [*fewer, {"max_new_tokens": 512}] if config.max_new_tokens > 512 else fewer

    return Workload(
        kind="generation",
        base=size_of,
        size=size,
        device=config.device,
        estimate=estimate if size else None,
        options=options,
        rows=len(prompts),
        rows_a_batch=config.batch_size,
        longest=longest,
        answers=len(prompts) * config.k,
        most_new_tokens=config.max_new_tokens,
        cost=2 * size.parameters if size else 0,
        row_name="conversations",
        smallest_batch=1,
        ignore_memory=config.ignore_memory,
        remarks=remarks,
    )
