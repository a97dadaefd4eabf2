"""What R-SFT and HS-DPO share: config fields, trainer arguments, callbacks, saving."""

from __future__ import annotations

import json
import logging
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipelines.base_models import fast_bf16
from pipelines.schema import DivergedError, InputError, StopRequested
from pipelines.stages.base import ESSENTIAL, StageConfig, StageContext

logger = logging.getLogger(__name__)

WHOLE = "COMPLETE"
MAX_LENGTH = 2048

# Trainer's names on the left, the names that GuardUI records and shows on the right.
METRIC_NAMES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "epoch": "epoch",
    "num_input_tokens_seen": "tokens",
    "mean_token_accuracy": "token_accuracy",
    "entropy": "entropy",
    "loss/dpo": "loss_dpo",
    "loss/sft": "loss_sft",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
}


class TrainingConfig(StageConfig):
    """Fields of every training stage."""

    epochs: float = Field(
        3.0, gt=0, le=1000, description="Passes over the data.", json_schema_extra=ESSENTIAL
    )
    learning_rate: float = Field(
        5e-5, gt=0, le=0.01, description="Peak learning rate.", json_schema_extra=ESSENTIAL
    )
    batch_size: int = Field(
        2, ge=1, le=1024, description="Rows a device takes at once.", json_schema_extra=ESSENTIAL
    )
    accumulation: int = Field(
        1, ge=1, le=4096, description="Batches whose gradients make one step."
    )
    max_steps: int = Field(0, ge=0, description="Stop after so many steps; 0 means no limit.")
    scheduler: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="How the learning rate falls."
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Share of the steps in which the learning rate rises."
    )
    optimizer: Literal["adamw_torch", "paged_adamw_32bit", "adamw_8bit"] = Field(
        "adamw_torch", description="The last two need a GPU and bitsandbytes."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="Decoupled weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="Arithmetic; auto is bf16 where the device is faster with it."
    )
    quantization: Literal["none", "nf4", "int8"] = Field(
        "none", description="How the frozen base weights are stored."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations twice to hold fewer in memory."
    )
    group_by_length: bool = Field(
        False, description="Put rows of like length in one batch, so that less is padding."
    )
    logging_steps: int = Field(1, ge=1, description="Steps between two records of the metrics.")
    save_steps: int = Field(
        0, ge=0, description="Steps between two checkpoints; 0 means one an epoch."
    )
    seed: int = Field(42, ge=0, description="Seed of the order, the sampling and new weights.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )


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
        "save_strategy": "steps" if config.save_steps else "epoch",
        "save_steps": config.save_steps or 500,
        "save_total_limit": 2,
        "seed": config.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": device != "cpu",
    }


def job_callback(context: StageContext) -> Any:
    """A trainer callback that reports to the job, stops it when asked, and marks checkpoints."""
    import torch
    from transformers import TrainerCallback

    class JobCallback(TrainerCallback):
        def __init__(self) -> None:
            self.tokens, self.time = 0.0, time.perf_counter()

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            context.activity("training")
            context.progress(state.global_step, state.max_steps)
            self.tokens, self.time = float(state.num_input_tokens_seen), time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                context.progress(state.global_step, state.max_steps)
            if all_ranks(context.should_stop()) and state.global_step < state.max_steps:
                control.should_save = True
                control.should_training_stop = True

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            if not state.is_world_process_zero or "loss" not in logs:
                return
            values = {
                ours: float(logs[theirs]) for theirs, ours in METRIC_NAMES.items() if theirs in logs
            }
            now = time.perf_counter()
            # One process sees its own share of the tokens only.
            tokens = float(state.num_input_tokens_seen)
            values["tokens_per_second"] = (tokens - self.tokens) / max(now - self.time, 1e-9)
            self.tokens, self.time = tokens, now
            context.metrics(state.global_step, values)
            if not math.isfinite(values["loss"]):
                raise DivergedError(
                    f"loss={values['loss']} at step {state.global_step}: the training diverged",
                    advice="Lower learning_rate or max_grad_norm, or use precision=fp32.",
                )

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                # Written last, so its existence means that the checkpoint is whole.
                (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()

    def all_ranks(flag: bool) -> bool:
        """True on every rank as soon as one says so; else some would wait for the others."""
        if not torch.distributed.is_available() or not torch.distributed.is_initialized():
            return flag
        device = "cuda" if torch.cuda.is_available() else "cpu"
        votes = torch.tensor([int(flag)], device=device)
        torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
        return bool(votes.item())

    return JobCallback()


def last_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    whole = [path.parent for path in (directory / "checkpoints").glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


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


def save_adapter(
    trainer: Any, tokenizer: Any, template: Any, info: Mapping[str, Any], directory: Path
) -> Path:
    """Writes the adapter folder: weights, tokenizer, template and record. Returns its path."""
    folder = directory / "adapter"
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "peft_config"):
        # The reference copy that DPO trains against is not part of the result.
        model.save_pretrained(folder, selected_adapters=["default"])
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    template.save(folder)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    record = {
        **info,
        "metrics": {
            "steps": trainer.state.global_step,
            "epochs": trainer.state.epoch,
            "tokens": trainer.state.num_input_tokens_seen,
            "first_loss": losses[0] if losses else None,
            "final_loss": losses[-1] if losses else None,
        },
        "versions": {
            name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")
        }
        | {"python": platform.python_version()},
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (folder / "training_info.json").write_text(json.dumps(record, indent=2), "utf-8")
    return folder
