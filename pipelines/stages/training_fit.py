"""Training to the end: from the last checkpoint, on a smaller batch where memory runs out, with a
record of how it went."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipelines.failures import GIB, OOM_ADVICE, is_out_of_memory, peak_words
from pipelines.schema import OutOfMemoryError, StopRequested
from pipelines.stages.base import StageContext
from pipelines.stages.training_callbacks import last_checkpoint
from pipelines.stages.training_config import TrainingConfig, halved
from pipelines.stages.training_record import (
    device_name,
    lower_precision,
    memory_used,
    save_adapter,
)

logger = logging.getLogger(__name__)

Config = TypeVar("Config", bound=TrainingConfig)


def train(trainer: Any, context: StageContext) -> None:
    """Trains from the last whole checkpoint, or anew. Raises StopRequested when asked to stop."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # it prints every log on standard output
    checkpoint = last_checkpoint(context.directory)
    if checkpoint:
        logger.info("Going on from %s", checkpoint.name)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    state = trainer.state
    if context.should_stop() and state.global_step < state.max_steps:
        raise StopRequested(f"stopped at step {state.global_step} of {state.max_steps}")


@dataclass(frozen=True)
class Fitted(Generic[Config]):
    """A trainer that came to its end, and how: its config is the one that was finally used."""

    trainer: Any
    config: Config
    device: str
    record: Mapping[str, Any]


def fit(
    config: Config,
    context: StageContext,
    device: str,
    build: Callable[[Config], Any],
    estimate: Callable[[Config], int | None] = lambda _config: None,
) -> Fitted[Config]:
    """Builds a trainer and trains it; on half the batch again where memory runs out and
    `oom_retry` allows it.

    `build` makes trainer and model anew from a config; `estimate` tells the bytes that one needs.
    Raises StopRequested when asked to stop, OutOfMemoryError where there is no way on.
    """
    started, retries = time.perf_counter(), list[dict[str, Any]]()
    resumed = last_checkpoint(context.directory)
    while True:
        trainer = build(config)
        left = config.oom_retry - len(retries)
        smaller = smaller_batch(config) if left > 0 else None
        failure = _train_or_explain(trainer, context, config, estimate(config), smaller)
        if failure is None or smaller is None:
            break
        del trainer
        free_memory()
        retries.append(_say_retry(context, config, smaller, failure))
        config = smaller
    best = trainer.state.best_global_step if config.keep_best else None
    record = {
        "command": context.command,
        "seed": config.seed,
        "device": device_name(device),
        "batch": used_batch(trainer, config),
        "seconds": round(time.perf_counter() - started, 1),
        "resumed_from": resumed.name if resumed else None,
        "peak_memory": memory_used(),
        "memory_estimate": estimate(config),
        "oom_retries": retries,
        "best": {"step": best, "eval_loss": trainer.state.best_metric} if best else None,
    }
    return Fitted(trainer, config, device, record)


def smaller_batch(config: Config) -> Config | None:
    """The config with half the batch and as many rows a step; None where that can't be."""
    # With several processes the others would wait for this one's gradients for ever.
    found = halved(config.batch_size, config.accumulation) if _processes() == 1 else None
    if found is None:
        return None
    return config.model_copy(update={"batch_size": found[0], "accumulation": found[1]})


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _train_or_explain(
    trainer: Any,
    context: StageContext,
    config: TrainingConfig,
    estimate: int | None,
    smaller: TrainingConfig | None,
) -> str | None:
    """Trains. Where memory ran out, tells so if a smaller batch may be tried, else raises it."""
    try:
        train(trainer, context)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        expected = f", estimated {estimate / GIB:.1f} GiB" if estimate else ""
        said = f"out of memory at batch_size={config.batch_size} ({peak_words()}{expected})"
        if smaller is not None:
            return said
        advice = OOM_ADVICE if config.oom_retry else f"{OOM_ADVICE} Or set oom_retry=2."
        raise OutOfMemoryError(f"{said}: {error}", advice=advice) from error
    return None


def _say_retry(
    context: StageContext, config: TrainingConfig, smaller: TrainingConfig, failure: str
) -> dict[str, Any]:
    checkpoint = last_checkpoint(context.directory)
    step = int(checkpoint.name.rsplit("-", 1)[1]) if checkpoint else 0
    now = f"batch_size={smaller.batch_size}, accumulation={smaller.accumulation}"
    context.activity(f"out of memory, going on with {now}")
    data = {
        "from_step": step,
        "failed": {"batch_size": config.batch_size, "accumulation": config.accumulation},
        "used": {"batch_size": smaller.batch_size, "accumulation": smaller.accumulation},
        "reason": failure,
    }
    context.remark(f"{failure}: going on with {now} from step {step}", data)
    context.rewind(step)
    return data


def free_memory() -> None:
    """Gives back what a dead trainer held, on the device too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def used_batch(trainer: Any, config: TrainingConfig) -> dict[str, int]:
    """How many rows made a step, and how."""
    processes = int(trainer.args.world_size)
    return {
        "batch_size": config.batch_size,
        "accumulation": config.accumulation,
        "processes": processes,
        "rows_per_step": config.batch_size * config.accumulation * processes,
    }


def save_fitted(
    fitted: Fitted[Any], tokenizer: Any, template: Any, info: Mapping[str, Any], directory: Path
) -> Path:
    """Writes the adapter folder with the whole record, weights as `save_dtype` says."""
    info = {**info, "config": fitted.config.model_dump(), **fitted.record}
    folder = save_adapter(fitted.trainer, tokenizer, template, info, directory)
    if fitted.config.save_dtype != "float32":
        lower_precision(folder, fitted.config.save_dtype)
    return folder
