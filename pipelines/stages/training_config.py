"""Fields that every training stage has, and what can be told of them before a launch."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field

from pipelines.rising import PATIENCE, WINDOW
from pipelines.schema import InputError
from pipelines.stages.base import ESSENTIAL, StageConfig

MAX_LENGTH = 2048


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
    keep_checkpoints: int = Field(
        2, ge=1, le=1000, description="Checkpoints kept, the newest; with keep_best the best too."
    )
    save_dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="How the trained weights are saved. bfloat16 halves the file, but rounds by "
        "as much as a step of HS-DPO changes.",
    )
    holdout: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of the conversations kept out of the training, to measure the loss on.",
    )
    eval_steps: int = Field(
        0,
        ge=0,
        description="Steps between two measurements of the held-out loss; 0: at checkpoints.",
    )
    keep_best: bool = Field(
        False,
        description="Take the weights with the lowest held-out loss; each measurement then writes "
        "a checkpoint.",
    )
    stop_if_rising: bool = Field(
        True,
        description=f"Stop where the median of the last {WINDOW} losses stays far above its best "
        f"(1.5 times it plus 0.5, or 2.5 times the first loss plus 1) for {PATIENCE} records.",
    )
    oom_retry: int = Field(
        0,
        ge=0,
        le=8,
        description="Where memory runs out, go on with half the batch_size and twice the "
        "accumulation, so often at most (one process only).",
    )
    log_to: list[Literal["tensorboard", "trackio"]] = Field(
        [], description="Write the curves for these too, into the job's folder."
    )
    seed: int = Field(42, ge=0, description="Seed of the order, the sampling and new weights.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )
    ignore_memory: bool = Field(
        False,
        description="Run it even where the estimate says that memory won't do, or with a "
        "quantised base where there is no GPU.",
    )

    @property
    def evaluates(self) -> bool:
        """Whether there are rows to measure the held-out loss on."""
        return self.holdout > 0


def check_training(config: TrainingConfig) -> None:
    """Raises InputError for fields that don't go together, or a library that isn't installed."""
    if not config.evaluates:
        for name in ("keep_best", "eval_steps"):
            if value := config.model_dump()[name]:
                raise InputError(f"{name}={value}: needs held-out rows, set holdout as well")
    for name in config.log_to:
        if find_spec(name) is None:
            raise InputError(
                f"log_to={name}: {name} is not installed",
                advice='Install it with: pip install "guardui[tracking]"',
            )


def halved(batch_size: int, accumulation: int) -> tuple[int, int] | None:
    """A batch of at most half the rows, accumulated to the same number of rows a step.

    None for a batch of one row. `halved(5, 2)` is (2, 5), `halved(7, 1)` is (1, 7).
    """
    rows = batch_size * accumulation
    smaller = next((size for size in range(batch_size // 2, 0, -1) if rows % size == 0), None)
    return None if smaller is None else (smaller, rows // smaller)
