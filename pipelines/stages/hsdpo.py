"""HS-DPO: preference training on hard samples, each pair weighted by how hard it is.

Method and presets follow GuardReasoner (arXiv 2501.18492) and its authors' published scripts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from pipelines import base_models
from pipelines.demo_base import sha256
from pipelines.hard_samples import spread
from pipelines.schema import DataError, GuardExample, InputError, NotFoundError
from pipelines.stages.base import ESSENTIAL, AdapterRef, PairSetRef, Stage, StageContext
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

logger = logging.getLogger(__name__)

PAIR_FIELDS = {"prompt": str, "chosen": str, "rejected": str, "k_correct": int, "k_incorrect": int}


class HsdpoConfig(TrainingConfig):
    """Train an R-SFT moderator to prefer its right answers on hard samples."""

    adapter: AdapterRef = Field(
        "",
        description="The R-SFT adapter: artifact:ID, job:ID, a folder or a Hub id.",
        json_schema_extra=ESSENTIAL | {"reference": "adapter"},
    )
    pairs: PairSetRef = Field(
        "",
        description="The mined pair set: artifact:ID, job:ID or a folder.",
        json_schema_extra=ESSENTIAL | {"reference": "pair_set"},
    )
    epochs: float = Field(
        2.0, gt=0, le=1000, description="Passes over the pairs.", json_schema_extra=ESSENTIAL
    )
    learning_rate: float = Field(
        5e-6, gt=0, le=0.01, description="Peak learning rate.", json_schema_extra=ESSENTIAL
    )
    beta: float = Field(
        0.01,
        gt=0,
        le=10,
        description="How closely the result stays with the R-SFT model.",
        json_schema_extra=ESSENTIAL,
    )
    rho: float = Field(2.0, ge=0, le=100, description="Weight of the SFT term.")
    gamma: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Spread of the pairs' weights around 1.",
        json_schema_extra=ESSENTIAL,
    )
    max_length: int = Field(
        MAX_LENGTH, ge=64, le=131_072, description="Most tokens of a pair's longer side."
    )


def read_pairs(ref: str) -> list[dict[str, Any]]:
    """The rows of a pair set's folder. Raises DataError with every fault."""
    path = Path(ref).expanduser() / "pairs.jsonl"
    if not path.is_file():
        raise NotFoundError(f"pairs={ref}: no such pair set (there is no {path})")
    rows, faults = [], []
    # Not splitlines(): JSON may hold the other line separators of Unicode.
    for number, line in enumerate(path.read_text("utf-8").rstrip("\n").split("\n"), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            faults.append(f"{path.name}:{number}: not JSON ({error})")
            continue
        if not isinstance(row, dict):
            faults.append(f"{path.name}:{number}: not a JSON object")
            continue
        faults += [
            f"{path.name}:{number}: {name}: {row.get(name)!r} is not a {kind.__name__}"
            for name, kind in PAIR_FIELDS.items()
            if not isinstance(row.get(name), kind)
        ]
        rows.append(row)
    if faults or not rows:
        raise DataError(f"pairs={ref}: {len(faults)} faults in {len(rows)} rows", faults)
    return rows


def check(config: HsdpoConfig) -> list[str]:
    """Looks at the adapter and the pairs; raises for what can't work."""
    for name, value in (("adapter", config.adapter), ("pairs", config.pairs)):
        if not value:
            raise InputError(f"{name}: a value is needed (artifact:ID, job:ID or a folder)")
    later = ("job:", "artifact:")
    if not config.adapter.startswith(later):
        base_models.read_adapter(config.adapter)
    if config.pairs.startswith(later):
        return []
    return [f"{len(read_pairs(config.pairs)):,} pairs"]


def check_template(adapter: base_models.Adapter, pairs: str) -> GuardTemplate:
    """The adapter's template. Raises InputError where the pairs were made with another."""
    template = GuardTemplate.load(adapter.path) if adapter.has_template else GuardTemplate.default()
    folder = Path(pairs)
    if (folder / "guard_template.json").is_file() and GuardTemplate.load(folder) != template:
        raise InputError(
            f"pairs={pairs}: they were made with another guard_template.json than "
            f"adapter={adapter.path} was trained with"
        )
    return template


def tokenize(
    pairs: Sequence[dict[str, Any]],
    weights: Sequence[float],
    template: GuardTemplate,
    tokenizer: Any,
) -> list[dict[str, Any]]:
    """Rows of token ids for prompt, chosen and rejected, with the pair's weight."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    return [
        {
            "prompt_ids": ids(
                template.prompt_text(GuardExample(row["prompt"], row.get("response")), tokenizer)
            ),
            "chosen_ids": ids(row["chosen"].strip() + tokenizer.eos_token),
            "rejected_ids": ids(row["rejected"].strip() + tokenizer.eos_token),
            "weight": weight,
        }
        for row, weight in zip(pairs, weights, strict=True)
    ]


def run(config: HsdpoConfig, context: StageContext) -> None:
    """Trains on the pairs and hands over a new adapter folder."""
    from datasets import Dataset as Rows
    from trl import DPOConfig

    from pipelines.hsdpo_trainer import HSDPOTrainer, WeightedPreferenceCollator

    device = pick_device(config.device)
    context.activity("reading the pairs")
    pairs = read_pairs(config.pairs)
    adapter = base_models.read_adapter(config.adapter)
    template = check_template(adapter, config.pairs)
    tokenizer = base_models.load_tokenizer(adapter.path)
    weights = spread([row["k_incorrect"] - row["k_correct"] for row in pairs], config.gamma)
    rows = tokenize(pairs, weights, template, tokenizer)
    lengths = [
        len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        for row in rows
    ]
    rows = kept_rows(rows, lengths, config.max_length)
    context.activity("loading the model")
    options: dict[str, Any] = {
        "device": device,
        "dtype": "bfloat16"
        if device != "cpu" and uses_bf16(config, device) and not adapter.full
        else "float32",
        "quantization": config.quantization,
        "progress": fetch_progress(context),
    }
    trainer = HSDPOTrainer(
        rho=config.rho,
        model=base_models.load_adapter(adapter, trainable=True, **options),
        ref_model=base_models.load_adapter(adapter, **options) if adapter.full else None,
        args=DPOConfig(
            **trainer_options(config, context.directory, device),
            beta=config.beta,
            max_length=config.max_length,
        ),
        train_dataset=Rows.from_list(rows),
        data_collator=WeightedPreferenceCollator(
            pad_token_id=tokenizer.pad_token_id, max_length=config.max_length
        ),
        processing_class=tokenizer,
        callbacks=[job_callback(context)],
    )
    train(trainer, context)
    context.activity("saving the adapter")
    info = {
        "stage": "hsdpo",
        "base_model": adapter.base_model,
        "base_model_id": adapter.info.get("base_model_id"),
        "dataset": {
            "name": "mined pairs",
            "sha256": sha256(Path(config.pairs) / "pairs.jsonl"),
            "rows": len(rows),
        },
        "parent": adapter.info,
        "config": config.model_dump(),
    }
    folder = save_adapter(trainer, tokenizer, template, info, context.directory)
    details = {"base_model": adapter.base_model, "pairs": len(rows)}
    context.artifact("adapter", folder, f"HS-DPO of {adapter.base_model}", details)


STAGE = Stage(
    name="hsdpo",
    title="HS-DPO",
    summary="Teach the moderator to prefer its right answers where it was unsure.",
    config=HsdpoConfig,
    run=run,
    check=check,
    order=30,
    presets={
        "smollm2-demo": {
            "epochs": 2,
            "batch_size": 1,
            "accumulation": 2,
            "learning_rate": 5e-5,
            "save_steps": 10,
        },
        "paper": {
            "batch_size": 2,
            "accumulation": 128,
            "gamma": 0.2,
            "learning_rate": 5e-6,
            "epochs": 2,
            "beta": 0.01,
            "rho": 2.0,
            "precision": "bf16",
            "gradient_checkpointing": True,
        },
        "single-gpu": {
            "batch_size": 4,
            "accumulation": 64,
            "gamma": 0.5,
            "learning_rate": 5e-6,
            "epochs": 2,
            "beta": 0.01,
            "rho": 2.0,
            "precision": "bf16",
            "gradient_checkpointing": True,
        },
    },
)
