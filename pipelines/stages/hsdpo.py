"""HS-DPO: preference training on hard samples, each pair weighted by how hard it is.

Method and presets follow GuardReasoner (arXiv 2501.18492) and its authors' published scripts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from pipelines import base_models, presets
from pipelines.hard_samples import Weighting
from pipelines.job_inputs import read_input
from pipelines.pair_sets import describe_pair_set, read_pairs
from pipelines.pair_weights import pair_weights, read_ranges
from pipelines.plan import Workload, accept
from pipelines.schema import GuardExample, InputError
from pipelines.stages.base import ESSENTIAL, AdapterRef, PairSetRef, Stage, StageContext
from pipelines.stages.training import (
    MAX_LENGTH,
    TrainingConfig,
    callbacks,
    check_training,
    fetch_progress,
    fit,
    kept_rows,
    partition,
    pick_device,
    save_fitted,
    trainer_options,
    uses_bf16,
)
from pipelines.stages.workloads import (
    Trained,
    estimated_bytes,
    preference_workload,
    training_workload,
)
from pipelines.template import GuardTemplate

logger = logging.getLogger(__name__)


class PreferenceConfig(TrainingConfig):
    """Fields of the stages that train on preference pairs."""

    adapter: AdapterRef = Field(
        "",
        description="The R-SFT adapter: artifact:ID, job:ID, a folder or a Hub id.",
        json_schema_extra=ESSENTIAL | {"reference": "adapter"},
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
    max_length: int = Field(
        MAX_LENGTH, ge=64, le=131_072, description="Most tokens of a pair's longer side."
    )


class HsdpoConfig(PreferenceConfig):
    """Train an R-SFT moderator to prefer its right answers on hard samples."""

    pairs: PairSetRef = Field(
        "",
        description="The pair set: NAME@vN, artifact:ID, job:ID or a folder.",
        json_schema_extra=ESSENTIAL | {"reference": "pair_set"},
    )
    gamma: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Spread of the pairs' weights around 1.",
        json_schema_extra=ESSENTIAL,
    )
    weighting: Weighting = Field(
        "paper",
        description="paper: by the range within each model and source; pooled: by the range of "
        "all pairs; uniform: all 1; stored: as the set has them, whatever gamma says.",
    )


def check(config: HsdpoConfig) -> list[str]:
    """Looks at the adapter, the pairs and the memory; raises for what can't work."""
    return accept(workload(config))


def workload(config: HsdpoConfig) -> Workload:
    """What the run asks of a machine. Raises for what can't work."""
    for name, value in (("adapter", config.adapter), ("pairs", config.pairs)):
        if not value:
            raise InputError(f"{name}: a value is needed (artifact:ID, job:ID or a folder)")
    check_training(config)
    trained = Trained.of_adapter(config.adapter)
    if config.pairs.startswith(("job:", "artifact:")):
        return training_workload(config, trained, [], [], max_length=config.max_length, pairs=True)
    pairs, about = read_pairs(config.pairs), describe_pair_set(config.pairs)
    pair_weights(pairs, config.weighting, config.gamma, read_ranges(about))
    remarks = [f"{len(pairs):,} pairs"]
    if named := about["record"].get("mined_benchmark"):
        remarks.append(f"The pairs were mined on rows of a benchmark: {', '.join(named)}.")
    return preference_workload(config, trained, pairs, remarks)


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


def pair_set_record(pairs: str, about: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Name, version and hash of the pair set that a job trains on, as the adapter records it."""
    known = read_input(directory, "pairs")
    return {
        "name": known.get("name") or about["name"] or Path(pairs).name,
        "version": known.get("version") or about["version"],
        "sha256": about["sha256"],
    }


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


def lengths(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Tokens of each pair with its longer side."""
    return [
        len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        for row in rows
    ]


def run(config: HsdpoConfig, context: StageContext) -> None:
    """Trains on the pairs and hands over a new adapter folder."""
    context.activity("reading the pairs")
    pairs = read_pairs(config.pairs)
    adapter = base_models.read_adapter(config.adapter)
    template = check_template(adapter, config.pairs)
    about = describe_pair_set(config.pairs)
    weights = pair_weights(pairs, config.weighting, config.gamma, read_ranges(about))
    record = {
        "stage": "hsdpo",
        "dataset": pair_set_record(config.pairs, about, context.directory),
    }
    folder, rows = train_on_pairs(config, context, pairs, weights, adapter, template, record)
    details = {"base_model": adapter.base_model, "pairs": rows}
    context.artifact("adapter", folder, f"HS-DPO of {adapter.base_model}", details)


def train_on_pairs(
    config: PreferenceConfig,
    context: StageContext,
    pairs: Sequence[dict[str, Any]],
    weights: Sequence[float],
    adapter: base_models.Adapter,
    template: GuardTemplate,
    record: Mapping[str, Any],
) -> tuple[Path, int]:
    """(the new adapter's folder, the pairs trained on), from the last checkpoint on if there is
    one. The adapter's record takes `stage` from `record`, and `dataset` with the rows added."""
    from datasets import Dataset as Rows
    from trl import DPOConfig

    from pipelines.hsdpo_trainer import HSDPOTrainer, WeightedPreferenceCollator

    device = pick_device(config.device)
    tokenizer = base_models.load_tokenizer(adapter.path)
    rows, held = partition(
        tokenize(pairs, weights, template, tokenizer),
        [(pair["prompt"], pair.get("response")) for pair in pairs],
        config.holdout,
        config.seed,
    )
    rows = kept_rows(rows, lengths(rows), config.max_length)
    held = kept_rows(held, lengths(held), config.max_length) if held else []
    options: dict[str, Any] = {
        "device": device,
        "dtype": "bfloat16"
        if device != "cpu" and uses_bf16(config, device) and not adapter.full
        else "float32",
        "quantization": config.quantization,
        "progress": fetch_progress(context),
    }

    def build(config: PreferenceConfig) -> Any:
        context.activity("loading the model")
        return HSDPOTrainer(
            rho=config.rho,
            model=base_models.load_adapter(adapter, trainable=True, **options),
            ref_model=base_models.load_adapter(adapter, **options) if adapter.full else None,
            args=DPOConfig(
                **trainer_options(config, context.directory, device),
                beta=config.beta,
                max_length=config.max_length,
            ),
            train_dataset=Rows.from_list(rows),
            eval_dataset=Rows.from_list(held) if held else None,
            data_collator=WeightedPreferenceCollator(
                pad_token_id=tokenizer.pad_token_id, max_length=config.max_length
            ),
            processing_class=tokenizer,
            callbacks=callbacks(config, context),
        )

    def estimate(config: PreferenceConfig) -> int | None:
        trained = Trained.of_adapter(str(adapter.path))
        return estimated_bytes(config, trained, max(lengths(rows)), device, pairs=True)

    fitted = fit(config, context, device, build, estimate)
    context.activity("saving the adapter")
    info = {
        **record,
        "base_model": adapter.base_model,
        "base_model_id": adapter.info.get("base_model_id"),
        "dataset": record["dataset"] | {"rows": len(rows)},
        "held_out": len(held),
        "parent": adapter.info,
    }
    return save_fitted(fitted, tokenizer, template, info, context.directory), len(rows)


STAGE = Stage(
    name="hsdpo",
    title="HS-DPO",
    summary="Teach the moderator to prefer its right answers where it was unsure.",
    config=HsdpoConfig,
    run=run,
    check=check,
    workload=workload,
    order=30,
    presets=presets.HSDPO,
)
