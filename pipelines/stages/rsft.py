"""R-SFT: supervised fine-tuning on reasoning traces, with the loss on the answer only.

Method and presets follow GuardReasoner (arXiv 2501.18492) and its authors' published scripts.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipelines import base_models, memory
from pipelines.datasets import Dataset
from pipelines.schema import InputError
from pipelines.stages.base import ESSENTIAL, AdapterRef, Stage, StageContext
from pipelines.stages.data import DataConfig, load
from pipelines.stages.training import (
    MAX_LENGTH,
    TrainingConfig,
    fetch_progress,
    job_callback,
    kept_rows,
    pick_device,
    save_adapter,
    train,
    trainer_options,
    uses_bf16,
)
from pipelines.template import GuardTemplate


class RsftConfig(TrainingConfig, DataConfig):
    """Train a moderator on rows with reasoning."""

    base_model: str = Field(
        base_models.DEMO_BASE,
        min_length=1,
        description="The demo base, a Hub id, or a folder with config.json and safetensors.",
        json_schema_extra=ESSENTIAL,
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
    packing: bool = Field(False, description="Fill each sequence with several rows (GPU only).")


def check(config: RsftConfig) -> list[str]:
    """Reads the data and looks at the adapter; raises for what can't work."""
    if config.method == "full" and config.quantization != "none":
        raise InputError(
            f"quantization={config.quantization}: full fine-tuning needs quantization=none"
        )
    base_models.check_base(config.base_model)
    if config.adapter and not config.adapter.startswith(("job:", "artifact:")):
        base_models.check_same_base(base_models.read_adapter(config.adapter), config.base_model)
    dataset = load(config, config.seed)
    remarks = [f"{len(dataset.examples):,} rows of {dataset.name}", *dataset.remarks]
    if needed := memory_needed(config, dataset):
        remarks.append(memory.remark(needed, config.device))
    bare = sum(example.reasoning is None for example in dataset.examples)
    if bare:
        remarks.append(f"{bare:,} rows carry no reasoning and train the answers alone")
    return remarks


def memory_needed(config: RsftConfig, dataset: Dataset) -> int | None:
    """Estimated peak bytes; None where the base model isn't on this machine yet."""
    folder = base_models.cached_base(config.base_model)
    if folder is None:
        return None
    size = memory.model_size(folder)
    longest = max(
        len(e.prompt) + len(e.response or "") + len(e.reasoning or "") for e in dataset.examples
    )
    # A token has about 3.5 characters; the instruction takes some 150 tokens.
    length = min(round(longest / 3.5) + 150, config.max_length or MAX_LENGTH)
    full = config.method == "full"
    stored = "float32" if full or config.quantization == "none" else config.quantization
    return memory.training_bytes(
        size,
        trained=size.parameters
        if full
        else memory.lora_parameters(size, config.lora_r, len(config.lora_targets)),
        stored=stored,
        rows=config.batch_size,
        length=length,
        checkpointing=config.gradient_checkpointing,
    )


def tokenize(dataset: Dataset, template: GuardTemplate, tokenizer: Any) -> list[dict[str, Any]]:
    """Rows with `input_ids` (T,) and `completion_mask` (T,), 1 where the loss counts."""
    rows = []
    for example in dataset.examples:
        target = example.reasoning or template.format_answer("", example.gold)
        prompt = tokenizer(template.prompt_text(example, tokenizer), add_special_tokens=False)
        answer = tokenizer(target.strip() + tokenizer.eos_token, add_special_tokens=False)
        ids, more = prompt["input_ids"], answer["input_ids"]
        rows.append({"input_ids": ids + more, "completion_mask": [0] * len(ids) + [1] * len(more)})
    return rows


def run(config: RsftConfig, context: StageContext) -> None:
    """Trains and hands over an adapter folder."""
    from datasets import Dataset as Rows
    from trl import SFTConfig, SFTTrainer

    device = pick_device(config.device)
    context.activity("reading the data")
    dataset = load(config, config.seed)
    base = base_models.resolve_base(config.base_model, progress=fetch_progress(context))
    tokenizer = base_models.load_tokenizer(base.path)
    wrapping: Any = "chat" if tokenizer.chat_template else "plain"
    template = (
        GuardTemplate.learn(dataset.instructions, wrapping)
        if dataset.instructions
        else GuardTemplate.default().model_copy(update={"wrapping": wrapping})
    )
    rows = tokenize(dataset, template, tokenizer)
    lengths = [len(row["input_ids"]) for row in rows]
    limit = config.max_length or min(max(lengths), MAX_LENGTH)
    rows = kept_rows(rows, lengths, limit)
    context.activity("loading the model")
    model, peft_config = load_model(config, base, device)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **trainer_options(config, context.directory, device),
            max_length=limit,
            packing=config.packing,
            completion_only_loss=True,
        ),
        train_dataset=Rows.from_list(rows),
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=[job_callback(context)],
    )
    train(trainer, context)
    context.activity("saving the adapter")
    info = {
        "stage": "rsft",
        "base_model": base.name,
        "base_model_id": base.hub_id,
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "rows": len(rows)},
        "max_length": limit,
        "config": config.model_dump(),
    }
    folder = save_adapter(trainer, tokenizer, template, info, context.directory)
    details = {"base_model": base.name, "method": config.method, "rows": len(rows)}
    context.artifact("adapter", folder, f"R-SFT of {base.name}", details)


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


EXP19 = {
    "base_model": "meta-llama/Llama-3.2-3B-Instruct",
    "quantization": "nf4",
    "lora_r": 16,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "batch_size": 2,
    "accumulation": 64,
    "learning_rate": 5e-5,
    "epochs": 3,
    "optimizer": "paged_adamw_32bit",
    "precision": "bf16",
    "gradient_checkpointing": True,
}
PAPER = {
    "method": "full",
    "epochs": 3,
    "learning_rate": 5e-5,
    "scheduler": "cosine",
    "warmup": 0.0,
    "batch_size": 4,
    "accumulation": 96,  # 384 rows a step, as in the paper
    "max_length": 2048,
    "precision": "bf16",
    "gradient_checkpointing": True,
}

STAGE = Stage(
    name="rsft",
    title="R-SFT",
    summary="Teach a base model to reason before its verdicts.",
    config=RsftConfig,
    run=run,
    check=check,
    order=10,
    presets={
        "smollm2-demo": {
            "base_model": base_models.DEMO_BASE,
            "max_rows": 96,
            "max_length": 768,
            "epochs": 2,
            "batch_size": 4,
            "accumulation": 1,
            "learning_rate": 2e-3,
            "lora_r": 16,
            "lora_alpha": 32,
            "lora_dropout": 0.0,
            "group_by_length": True,
            "save_steps": 20,
        },
        "exp19": EXP19,
        "exp18": {**EXP19, "epochs": 1},
        "sample-efficiency": {**EXP19, "max_rows": 500, "epochs": 50},
        "paper-1b": {**PAPER, "base_model": "meta-llama/Llama-3.2-1B"},
        "paper-3b": {**PAPER, "base_model": "meta-llama/Llama-3.2-3B"},
        "paper-8b": {**PAPER, "base_model": "meta-llama/Llama-3.1-8B"},
    },
)
