"""What R-SFT and HS-DPO share: which rows, which trainer arguments, on which device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipelines.base_models import fast_bf16
from pipelines.holdout import Conversation, hold_out
from pipelines.schema import InputError
from pipelines.stages.base import StageContext
from pipelines.stages.training_callbacks import METRIC_NAMES as METRIC_NAMES
from pipelines.stages.training_callbacks import callbacks as callbacks
from pipelines.stages.training_callbacks import job_callback as job_callback
from pipelines.stages.training_callbacks import last_checkpoint as last_checkpoint
from pipelines.stages.training_config import MAX_LENGTH as MAX_LENGTH
from pipelines.stages.training_config import TrainingConfig as TrainingConfig
from pipelines.stages.training_config import check_training as check_training
from pipelines.stages.training_fit import Fitted as Fitted
from pipelines.stages.training_fit import fit as fit
from pipelines.stages.training_fit import save_fitted as save_fitted
from pipelines.stages.training_fit import train as train
from pipelines.stages.training_record import save_adapter as save_adapter

logger = logging.getLogger(__name__)


def pick_device(wanted: str) -> str:
    """`auto` as a real device. Raises InputError for a GPU that isn't there."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device={wanted}: no CUDA device here; use auto or cpu")
    return wanted


def fetch_progress(context: StageContext) -> Callable[[str, float], None]:
    """Shows the fetching of a base model as the job's activity."""
    return lambda what, share: context.activity(f"{what} {share:.0%}")


def uses_bf16(config: TrainingConfig, device: str) -> bool:
    """Whether to compute under bfloat16 autocast."""
    if config.precision == "auto":
        return fast_bf16(device)
    return config.precision == "bf16"


def trainer_options(config: TrainingConfig, directory: Path, device: str) -> dict[str, Any]:
    """The transformers TrainingArguments that both stages take from their config."""
    return {
        "output_dir": str(directory / "checkpoints"),
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1,
        "learning_rate": config.learning_rate,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulation,
        "lr_scheduler_type": config.scheduler,
        "warmup_steps": config.warmup,
        "optim": config.optimizer,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "bf16": uses_bf16(config, device),
        "use_cpu": device == "cpu",
        "gradient_checkpointing": config.gradient_checkpointing,
        "train_sampling_strategy": "group_by_length" if config.group_by_length else "random",
        "logging_steps": config.logging_steps,
        "logging_first_step": True,
        # A NaN must be seen, not replaced by the last good loss.
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        **checkpoint_options(config),
        "seed": config.seed,
        "report_to": "none",  # `log_to` adds its callbacks itself
        "disable_tqdm": True,
        "dataloader_pin_memory": device != "cpu",
    }


def checkpoint_options(config: TrainingConfig) -> dict[str, Any]:
    """When to save and when to measure; the weights to end with can only be ones that were saved,
    so with keep_best the two happen together."""
    steps = (config.eval_steps if config.keep_best else 0) or config.save_steps
    options: dict[str, Any] = {
        "save_strategy": "steps" if steps else "epoch",
        "save_steps": steps or 500,
        "save_total_limit": None,  # the job's callback removes old ones
    }
    if config.evaluates:
        measure = config.eval_steps or steps
        options |= {
            "eval_strategy": "steps" if measure else "epoch",
            "eval_steps": measure or None,
            "load_best_model_at_end": config.keep_best,
            "metric_for_best_model": "eval_loss",
            "greater_is_better": False,
            "prediction_loss_only": True,
        }
    return options


def kept_rows(
    rows: Sequence[dict[str, Any]], lengths: Sequence[int], limit: int
) -> list[dict[str, Any]]:
    """The rows of at most `limit` tokens. A longer one is left out: cut, it would lose its verdict.

    Raises InputError where none is left.
    """
    kept = [row for row, length in zip(rows, lengths, strict=True) if length <= limit]
    if len(kept) < len(rows):
        logger.warning(
            "%d of %d rows are over %d tokens and left out", len(rows) - len(kept), len(rows), limit
        )
    if not kept:
        raise InputError(
            f"max_length={limit}: every row is longer (the shortest has {min(lengths)} tokens)"
        )
    return kept


def partition(
    rows: Sequence[dict[str, Any]], keys: Sequence[Conversation], share: float, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows to train on, rows held out); no conversation of `keys` (one a row) is on both sides."""
    if not share:
        return list(rows), []
    held = hold_out(keys, share, seed)
    return (
        [row for row, out in zip(rows, held, strict=True) if not out],
        [row for row, out in zip(rows, held, strict=True) if out],
    )
