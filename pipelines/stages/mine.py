"""Mining: k answers to each training conversation; where they disagree, a hard sample.

The rule and its settings are the authors' (GuardReasoner, arXiv 2501.18492).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from pipelines import base_models
from pipelines.classify import Moderator, classify, open_moderator, with_tokens
from pipelines.datasets import Dataset
from pipelines.engines.base import Sampling
from pipelines.hard_samples import find_hard_sample, weigh
from pipelines.schema import GuardExample, HardSample, InputError, StopRequested, Verdict
from pipelines.settings import get_settings
from pipelines.stages.base import ESSENTIAL, AdapterRef, Stage, StageContext
from pipelines.stages.data import DataConfig, load
from pipelines.stages.training import fetch_progress, pick_device

logger = logging.getLogger(__name__)


class MineConfig(DataConfig):
    """Find the conversations on which a moderator is sometimes right and sometimes wrong."""

    adapter: AdapterRef = Field(
        "",
        description="The moderator to mine with: artifact:ID, job:ID, a folder or a Hub id.",
        json_schema_extra=ESSENTIAL | {"reference": "adapter"},
    )
    k: int = Field(
        4,
        ge=2,
        le=64,
        description="Answers drawn for each conversation.",
        json_schema_extra=ESSENTIAL,
    )
    temperature: float = Field(0.7, gt=0, le=2, description="Spread of the answers.")
    top_p: float = Field(0.95, gt=0, le=1, description="Share of the probability drawn from.")
    max_new_tokens: int = Field(2048, ge=16, le=32_768, description="Longest answer, in tokens.")
    gamma: float = Field(0.2, ge=0, lt=1, description="Spread of the weights around 1.")
    batch_size: int = Field(8, ge=1, le=4096, description="Conversations generated together.")
    seed: int = Field(42, ge=0, description="Seed of the sample and of the answers.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )


def check(config: MineConfig) -> list[str]:
    """Looks at the adapter and the data; raises for what can't work."""
    if not config.adapter:
        raise InputError("adapter: a value is needed (artifact:ID, job:ID, a folder or a Hub id)")
    if not config.adapter.startswith(("job:", "artifact:")):
        base_models.read_adapter(config.adapter)
    dataset = load_gold(config)
    return [f"{len(dataset.examples):,} rows, {len(dataset.examples) * config.k:,} answers"]


def load_gold(config: MineConfig) -> Dataset:
    """The rows to mine. Raises InputError where none has a gold label."""
    dataset = load(config, config.seed)
    if not any(example.gold for example in dataset.examples):
        raise InputError(f"dataset={config.dataset}: no row has a gold label to mine against")
    return dataset


def run(config: MineConfig, context: StageContext) -> None:
    """Generates, finds the hard samples, and hands over a pair set."""
    device = pick_device(config.device)
    context.activity("reading the data")
    examples = once_each(load_gold(config).examples)
    moderator = open_moderator(
        config.adapter, get_settings(), device=device, progress=fetch_progress(context)
    )
    done = context.directory / "generations.jsonl"
    verdicts = read_generations(done, moderator, examples)
    context.progress(len(verdicts), len(examples))
    failures = sum(bool(one.error) for answers in verdicts.values() for one in answers)
    for batch in batches([e for e in examples if e.row_id not in verdicts], config.batch_size):
        context.activity(
            f"answering {len(batch)} conversations {config.k} times, {len(verdicts)} are done"
        )
        sampling = Sampling(
            config.temperature,
            config.top_p,
            config.max_new_tokens,
            config.k,
            # A resumed run draws what the uninterrupted one would have drawn.
            seed=config.seed + len(verdicts),
        )
        answers = classify(
            batch,
            moderator.engine,
            moderator.template,
            moderator.tokenizer,
            sampling,
            context.should_stop,
        )
        if context.should_stop():
            raise StopRequested(f"stopped after {len(verdicts)} of {len(examples)} conversations")
        keep(done, batch, answers)
        verdicts |= {e.row_id: given for e, given in zip(batch, answers, strict=True)}
        failures += sum(bool(one.error) for given in answers for one in given)
        found = samples_of(examples, verdicts, config.gamma)
        context.progress(len(verdicts), len(examples))
        context.metrics(
            len(verdicts),
            {
                "hard_samples": len(found),
                "parse_failure_rate": failures / (len(verdicts) * config.k),
                "tokens": sum(one.tokens for given in verdicts.values() for one in given),
            },
        )
    hand_over(config, context, samples_of(examples, verdicts, config.gamma), moderator, verdicts)


def once_each(examples: Sequence[GuardExample]) -> list[GuardExample]:
    """One example a conversation: several traces of one prompt are mined once, golds joined."""
    first: dict[tuple[str, str | None], GuardExample] = {}
    for example in examples:
        key = (example.prompt, example.response)
        if key in first:
            example = GuardExample(
                example.prompt,
                example.response,
                {**example.gold, **first[key].gold},
                first[key].reasoning,
                first[key].source,
                first[key].row_id,
            )
        first[key] = example
    return list(first.values())


def samples_of(
    examples: Sequence[GuardExample], verdicts: dict[str, list[Verdict]], gamma: float
) -> list[HardSample]:
    found = (
        find_hard_sample(example, verdicts[example.row_id])
        for example in examples
        if example.row_id in verdicts
    )
    return weigh([sample for sample in found if sample], gamma)


def batches(examples: list[GuardExample], size: int) -> Iterator[list[GuardExample]]:
    """Batches of like length, so that little is padding; the longest first, to fail early."""
    ordered = sorted(examples, key=lambda e: len(e.prompt) + len(e.response or ""), reverse=True)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def keep(path: Path, batch: Sequence[GuardExample], answers: Sequence[Sequence[Verdict]]) -> None:
    """Appends a finished batch, so that a resumed job doesn't draw it again."""
    with path.open("a", encoding="utf-8") as file:
        for example, given in zip(batch, answers, strict=True):
            row = {
                "row_id": example.row_id,
                "answers": [{"text": one.raw, "tokens": one.tokens} for one in given],
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_generations(
    path: Path, moderator: Moderator, examples: Sequence[GuardExample]
) -> dict[str, list[Verdict]]:
    """row id -> verdicts of the batches that an earlier attempt finished."""
    if not path.is_file():
        return {}
    by_id = {example.row_id: example for example in examples}
    found: dict[str, list[Verdict]] = {}
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn:  # the attempt was killed in the middle of this line
        path.write_bytes(whole + b"\n" if whole else b"")
    for line in whole.decode("utf-8").split("\n") if whole else ():
        row = json.loads(line)
        if row["row_id"] in by_id:
            example = by_id[row["row_id"]]
            found[row["row_id"]] = [
                with_tokens(moderator.template.parse(one["text"], example), one["tokens"])
                for one in row["answers"]
            ]
    return found


def pair_row(sample: HardSample) -> dict[str, Any]:
    """A hard sample as a row of a pair set."""
    example = sample.example
    return {
        "row_id": example.row_id,
        "source": example.source,
        "task": sample.task.value,
        "prompt": example.prompt,
        "response": example.response,
        "gold": {task.value: label for task, label in example.gold.items()},
        "chosen": sample.generations[sample.chosen].text,
        "rejected": sample.generations[sample.rejected].text,
        "k_correct": sample.k_correct,
        "k_incorrect": sample.k_incorrect,
        "weight": sample.weight,
    }


def hand_over(
    config: MineConfig,
    context: StageContext,
    samples: list[HardSample],
    moderator: Moderator,
    verdicts: dict[str, list[Verdict]],
) -> None:
    """Stores the samples and writes the pair set. Raises InputError where nothing was found."""
    context.hard_samples(samples)
    if not samples:
        raise InputError(
            f"none of the {len(verdicts)} conversations is a hard sample: each task was right "
            "every time, wrong every time, or not parsed",
            advice="Mine more rows, raise temperature or k, or train the moderator longer.",
        )
    folder = context.directory / "pairs"
    folder.mkdir(exist_ok=True)
    with (folder / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for sample in samples:
            file.write(json.dumps(pair_row(sample), ensure_ascii=False) + "\n")
    moderator.template.save(folder)
    counts = {"rows": len(verdicts), "pairs": len(samples)}
    record = {"config": config.model_dump(), **counts}
    (folder / "mining_info.json").write_text(json.dumps(record, indent=2), "utf-8")
    context.artifact("pair_set", folder, f"{len(samples)} hard samples", counts)


STAGE = Stage(
    name="mine",
    title="Mine hard samples",
    summary="Find what the moderator is unsure of, by asking it several times.",
    config=MineConfig,
    run=run,
    check=check,
    order=20,
    presets={
        "smollm2-demo": {"max_rows": 24, "batch_size": 4, "max_new_tokens": 512},
        "paper": {
            "k": 4,
            "temperature": 0.7,
            "top_p": 0.95,
            "max_new_tokens": 2048,
            "gamma": 0.2,
            "batch_size": 256,
        },
    },
)
