"""R-SFT: supervised fine-tuning on reasoning traces, with the loss on the answer only.

Method and presets follow GuardReasoner (arXiv 2501.18492) and its authors' published scripts.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field

from pipelines import base_models, presets
from pipelines.plan import Workload, accept
from pipelines.schema import GuardTask, InputError
from pipelines.stages.base import ESSENTIAL, AdapterRef, DatasetRef, ModelRef, Stage, StageContext
from pipelines.stages.data import DataConfig, is_to_come, load
from pipelines.stages.rsft_rows import held_out, held_out_remarks, rows_to_train, text_of
from pipelines.stages.rsft_rows import tokenize as tokenize
from pipelines.stages.training import (
    MAX_LENGTH,
    TrainingConfig,
    callbacks,
    check_training,
    fetch_progress,
    fit,
    pick_device,
    save_fitted,
    trainer_options,
    uses_bf16,
)
from pipelines.stages.workloads import (
    count_tokens,
    estimated_bytes,
    prompt_overhead,
    trained_of,
    training_workload,
)
from pipelines.targets import aim, told
from pipelines.template import GuardTemplate


class RsftConfig(TrainingConfig, DataConfig):
    """Train a moderator on rows with reasoning."""

    base_model: ModelRef = Field(
        base_models.DEMO_BASE,
        min_length=1,
        description="The demo base, a Hub id, a folder with config.json and safetensors, or an "
        "exported model: artifact:ID or job:ID.",
        json_schema_extra=ESSENTIAL | {"reference": "model"},
    )
    adapter: AdapterRef = Field(
        "",
        description="Go on from this adapter instead of starting a new one.",
        json_schema_extra={"reference": "adapter"},
    )
    method: Literal["lora", "full"] = Field(
        "lora",
        description="Train a LoRA adapter (QLoRA when quantised) or every weight.",
        json_schema_extra=ESSENTIAL,
    )
    lora_r: int = Field(16, ge=1, le=1024, description="Rank of the adapter.")
    lora_alpha: int = Field(16, ge=1, le=4096, description="Scale of the adapter.")
    lora_dropout: float = Field(0.05, ge=0, lt=1, description="Dropout inside the adapter.")
    lora_targets: list[str] = Field(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        min_length=1,
        description="Modules that get an adapter.",
    )
    max_length: int = Field(
        0,
        ge=0,
        le=131_072,
        description=f"Most tokens of a row; 0 finds it in the data, up to {MAX_LENGTH:,}.",
    )
    target: Literal["reasoning", "answers"] = Field(
        "reasoning",
        description="Train whole traces, or the answers alone; the prompt then asks for no steps.",
    )
    tasks: list[GuardTask] = Field(
        [], description="Train these tasks alone, the others' answers being None; empty means all."
    )
    packing: bool = Field(False, description="Fill each sequence with several rows (GPU only).")
    eval_dataset: DatasetRef = Field(
        "", description="Rows to measure the held-out loss on, in place of holdout."
    )

    @property
    def evaluates(self) -> bool:
        return self.holdout > 0 or bool(self.eval_dataset)


def check(config: RsftConfig) -> list[str]:
    """Reads the data, looks at the adapter and at the memory; raises for what can't work."""
    remarks = accept(workload(config))
    # Last, for it asks the Hub where the model isn't here.
    if not is_to_come(config.base_model):
        base_models.check_base(config.base_model)
    return remarks


def workload(config: RsftConfig) -> Workload:
    """What the run asks of a machine. Raises for what can't work."""
    if config.method == "full" and config.quantization != "none":
        raise InputError(
            f"quantization={config.quantization}: full fine-tuning needs quantization=none"
        )
    check_training(config)
    if config.eval_dataset and config.holdout:
        raise InputError(f"holdout={config.holdout}: must be 0 where eval_dataset is set")
    if config.adapter and not is_to_come(config.adapter) and not is_to_come(config.base_model):
        base_models.check_same_base(base_models.read_adapter(config.adapter), config.base_model)
    dataset = aim(load(config, config.seed), config.target, config.tasks)
    count = [f"{len(dataset.examples):,} rows of {dataset.name}"] if dataset.examples else []
    remarks = [*count, *dataset.remarks]
    bare = sum(example.reasoning is None for example in dataset.examples)
    if bare:
        remarks.append(f"{bare:,} rows carry no reasoning and train the answers alone")
    remarks += held_out_remarks(config, dataset)
    trained = trained_of(config)
    fixed = prompt_overhead(dataset.instructions, trained.base)
    texts = [partial(text_of, one) for one in dataset.examples]
    lengths = [count + fixed for count in count_tokens(texts, trained.base)]
    return training_workload(
        config,
        trained,
        lengths,
        lengths,
        max_length=config.max_length,
        packing=config.packing,
        remarks=remarks,
    )


def run(config: RsftConfig, context: StageContext) -> None:
    """Trains and hands over an adapter folder."""
    from datasets import Dataset as Rows
    from trl import SFTConfig, SFTTrainer

    device = pick_device(config.device)
    context.activity("reading the data")
    dataset = aim(load(config, config.seed), config.target, config.tasks)
    other = held_out(config, dataset)[0] if config.eval_dataset else None
    base = base_models.resolve_base(config.base_model, progress=fetch_progress(context))
    tokenizer = base_models.load_tokenizer(base.path)
    wrapping: Any = "chat" if tokenizer.chat_template else "plain"
    template = (
        GuardTemplate.learn(dataset.instructions, wrapping)
        if dataset.instructions
        else GuardTemplate.default().model_copy(update={"wrapping": wrapping})
    )
    template = told(template, config.target, config.tasks)
    rows, held, limit = rows_to_train(config, dataset, other, template, tokenizer)

    def build(config: RsftConfig) -> Any:
        context.activity("loading the model")
        model, peft_config = load_model(config, base, device)
        return SFTTrainer(
            model=model,
            args=SFTConfig(
                **trainer_options(config, context.directory, device),
                max_length=limit,
                packing=config.packing,
                completion_only_loss=True,
            ),
            train_dataset=Rows.from_list(rows),
            eval_dataset=Rows.from_list(held) if held else None,
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=callbacks(config, context),
        )

    def estimate(config: RsftConfig) -> int | None:
        longest = limit if config.packing else max(len(row["input_ids"]) for row in rows)
        return estimated_bytes(config, trained_of(config), longest, device)

    fitted = fit(config, context, device, build, estimate)
    context.activity("saving the adapter")
    info = {
        "stage": "rsft",
        "base_model": base.name,
        "base_model_id": base.hub_id,
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "rows": len(rows)},
        "held_out": len(held),
        "eval_dataset": {"name": other.name, "sha256": other.sha256} if other else None,
        "max_length": limit,
        "parent": before(config, base) or None,
    }
    folder = save_fitted(fitted, tokenizer, template, info, context.directory)
    details = {"base_model": base.name, "method": config.method, "rows": len(rows)}
    context.artifact("adapter", folder, f"R-SFT of {base.name}", details)


def before(config: RsftConfig, base: base_models.BaseModel) -> dict[str, Any]:
    """The record of what the training goes on from; empty for a bare base."""
    if config.adapter:
        return base_models.read_adapter(config.adapter).info
    return base_models.read_json(base.path / "training_info.json")


def load_model(config: RsftConfig, base: base_models.BaseModel, device: str) -> tuple[Any, Any]:
    """The model to train and the PEFT config of a new adapter (None where there is none)."""
    from peft import LoraConfig, prepare_model_for_kbit_training

    # Frozen weights need no more than bf16; weights that are trained keep float32 beneath autocast.
    frozen = config.method == "lora" and device != "cpu" and uses_bf16(config, device)
    options: dict[str, Any] = {
        "device": device,
        "dtype": "bfloat16" if frozen else "float32",
        "quantization": config.quantization,
    }
    if config.adapter:
        adapter = base_models.read_adapter(config.adapter)
        base_models.check_same_base(adapter, config.base_model)
        return base_models.load_adapter(adapter, trainable=True, **options), None
    model = base_models.load_model(base.path, **options)
    if config.method == "full":
        return model, None
    if config.quantization != "none":
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=config.gradient_checkpointing
        )
    return model, LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.lora_targets,
        task_type="CAUSAL_LM",
    )


STAGE = Stage(
    name="rsft",
    title="R-SFT",
    summary="Teach a base model to reason before its verdicts.",
    config=RsftConfig,
    run=run,
    check=check,
    workload=workload,
    order=10,
    presets=presets.RSFT,
)
