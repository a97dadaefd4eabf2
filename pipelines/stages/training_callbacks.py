"""What watches a training: records its numbers, stops it, keeps its checkpoints in order."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pipelines.rising import RisingLoss
from pipelines.schema import DivergedError, RisingLossError
from pipelines.stages.base import StageContext
from pipelines.stages.training_config import TrainingConfig

logger = logging.getLogger(__name__)

WHOLE = "COMPLETE"
DIVERGED_ADVICE = "Lower learning_rate or max_grad_norm, or use precision=fp32."
RISING_ADVICE = (
    "Lower learning_rate, raise warmup, or make a step larger (accumulation). If the curve is as "
    "it should be, set stop_if_rising=false."
)

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
HELD_OUT_NAMES = {
    f"eval_{theirs}": f"eval_{METRIC_NAMES[theirs]}"
    for theirs in (
        "loss", "mean_token_accuracy", "loss/dpo", "loss/sft", "rewards/margins",
        "rewards/accuracies",
    )
}  # fmt: skip


def callbacks(config: TrainingConfig, context: StageContext) -> list[Any]:
    """All that a trainer is given: those of `log_to` first, so that they see a last NaN too."""
    build = {"tensorboard": _tensorboard, "trackio": _trackio}
    return [*(build[name](context) for name in config.log_to), job_callback(context, config)]


def job_callback(context: StageContext, config: TrainingConfig) -> Any:
    """A trainer callback that reports to the job, stops it when asked or when the loss goes
    wrong, and marks and removes checkpoints."""
    from transformers import TrainerCallback

    class JobCallback(TrainerCallback):
        def __init__(self) -> None:
            self.tokens, self.time = 0.0, time.perf_counter()
            self.rising = RisingLoss()
            self.stopping = False

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            context.activity("training")
            context.progress(state.global_step, state.max_steps)
            self.tokens, self.time = float(state.num_input_tokens_seen), time.perf_counter()
            for entry in state.log_history:  # of the checkpoint that it goes on from
                if "loss" in entry:
                    self.rising.see(entry["loss"])

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                context.progress(state.global_step, state.max_steps)
            last = state.global_step >= state.max_steps
            if last and args.eval_strategy == "steps":
                control.should_evaluate = True
            if all_ranks(context.should_stop()) and not last:
                control.should_save = control.should_training_stop = self.stopping = True

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if self.stopping:  # somebody waits, and the checkpoint is written already
                control.should_save = control.should_evaluate = False

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            if "eval_loss" in logs:
                self.time += float(logs.get("eval_runtime", 0))  # no training time
                self.record(state, logs, HELD_OUT_NAMES)
            if "loss" in logs:
                self.record(state, logs, METRIC_NAMES)
                # Each rank sees the same loss, so all of them end here together.
                look_at(float(logs["loss"]), state.global_step, self.rising)

        def record(self, state: Any, logs: Mapping[str, Any], names: Mapping[str, str]) -> None:
            if not state.is_world_process_zero:
                return
            values = {ours: float(logs[theirs]) for theirs, ours in names.items() if theirs in logs}
            if "loss" in logs:
                now = time.perf_counter()
                # One process sees its own share of the tokens only.
                tokens = float(state.num_input_tokens_seen)
                values["tokens_per_second"] = (tokens - self.tokens) / max(now - self.time, 1e-9)
                self.tokens, self.time = tokens, now
            context.metrics(state.global_step, values)

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                folder = Path(args.output_dir)
                # Written last, so its existence means that the checkpoint is whole.
                (folder / f"checkpoint-{state.global_step}" / WHOLE).touch()
                remove_old(folder, config.keep_checkpoints, state.best_model_checkpoint)

    def look_at(loss: float, step: int, rising: RisingLoss) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"loss={loss} at step {step}: the training diverged", advice=DIVERGED_ADVICE
            )
        said = rising.see(loss)
        if said and config.stop_if_rising:
            raise RisingLossError(f"loss={loss:.4g} at step {step}: {said}", advice=RISING_ADVICE)

    return JobCallback()


def all_ranks(flag: bool) -> bool:
    """True on every rank as soon as one says so; else some would wait for the others."""
    import torch

    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return flag
    device = "cuda" if torch.cuda.is_available() else "cpu"
    votes = torch.tensor([int(flag)], device=device)
    torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
    return bool(votes.item())


def whole_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder that were written to their end, the oldest first."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]
    return sorted(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]))


def last_checkpoint(directory: Path) -> Path | None:
    """The newest whole checkpoint of a job's folder."""
    return next(reversed(whole_checkpoints(directory / "checkpoints")), None)


def remove_old(folder: Path, keep: int, best: str | None) -> None:
    """Leaves the newest `keep` whole checkpoints and the best. The library's own removal comes
    before the new one is marked as whole: a crash between the two would leave none."""
    for path in whole_checkpoints(folder)[:-keep]:
        if best is None or path.name != Path(best).name:
            (path / WHOLE).unlink()
            shutil.rmtree(path)


def _tensorboard(context: StageContext) -> Any:
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(log_dir=str(context.directory / "tensorboard")))


def _trackio(context: StageContext) -> Any:
    # Trackio reads it once, when it is imported.
    os.environ["TRACKIO_DIR"] = str(context.directory / "trackio")
    from transformers.integrations import TrackioCallback

    class Quiet(TrackioCallback):
        """What it prints belongs into the log: standard output may be somebody's JSON."""

        def on_train_begin(self, args: Any, *rest: Any, **kwargs: Any) -> None:
            args.project, args.run_name = "guardui", f"job-{context.directory.name}"
            with redirect_stdout(sys.stderr):
                super().on_train_begin(args, *rest, **kwargs)

        def on_train_end(self, *rest: Any, **kwargs: Any) -> None:
            with redirect_stdout(sys.stderr):
                super().on_train_end(*rest, **kwargs)

    return Quiet()
