"""Mining: k answers to each training conversation; where they disagree, a hard sample.

The rule and its settings are the authors' (GuardReasoner, arXiv 2501.18492).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import Field

from pipelines import presets
from pipelines.benchmarks import benchmark_rows, benchmark_warning
from pipelines.classify import Moderator, classify, open_moderator, with_tokens
from pipelines.datasets import Dataset
from pipelines.engines.base import Sampling
from pipelines.hard_samples import Pairing, weigh
from pipelines.mining import SET_NAME, Draw, Mining, model_of
from pipelines.pair_writing import fresh_folder, write_pair_set
from pipelines.plan import Workload, accept
from pipelines.schema import GuardExample, HardSample, InputError, StopRequested, Verdict
from pipelines.settings import get_settings
from pipelines.stages.base import ESSENTIAL, AdapterRef, Stage, StageContext
from pipelines.stages.data import DataConfig, is_to_come, load
from pipelines.stages.training import fetch_progress, pick_device
from pipelines.stages.workloads import Trained, generation_workload
from pipelines.template import GuardTemplate
from pipelines.token_counts import count_tokens, prompt_overhead

logger = logging.getLogger(__name__)

WHY_NONE = "each task was right every time, wrong every time, or not parsed"
NONE_ADVICE = "Mine more rows, raise temperature or k, or train the moderator longer."


class DrawConfig(DataConfig):
    """Fields of the stages that draw several answers to each conversation."""

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
    seed: int = Field(42, ge=0, description="Seed of the sample and of the answers.")


class MineConfig(DrawConfig):
    """Find the conversations on which a moderator is sometimes right and sometimes wrong."""

    pairing: Pairing = Field(
        "longest", description="Which right and wrong answer make a pair; the authors' is longest."
    )
    gamma: float = Field(0.2, ge=0, lt=1, description="Spread of the weights around 1.")
    batch_size: int = Field(8, ge=1, le=4096, description="Conversations generated together.")
    name: str = Field(
        "",
        max_length=100,
        pattern=SET_NAME,
        description="Name of the pair set, empty for the job's; a known name gets a new version.",
    )
    allow_empty: bool = Field(
        False, description="Hand over an empty pair set where no hard sample is found, don't fail."
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )
    ignore_memory: bool = Field(
        False, description="Run it even where the estimate says that memory won't do."
    )


def check(config: MineConfig) -> list[str]:
    """Looks at the adapter, the data and the memory; raises for what can't work."""
    return accept(workload(config))


def workload(config: MineConfig) -> Workload:
    """What the run asks of a machine. Raises for what can't work."""
    if not config.adapter:
        raise InputError("adapter: a value is needed (artifact:ID, job:ID, a folder or a Hub id)")
    trained = Trained.of_adapter(config.adapter)
    examples = load_gold(config).examples
    remarks = [f"{len(examples):,} rows, {len(examples) * config.k:,} answers"]
    if is_to_come(config.dataset):
        remarks = [f"{config.k:,} answers to each row that {config.dataset} will make"]
    if named := named_benchmarks(config, examples):
        remarks.append(benchmark_warning(named))
    fixed = prompt_overhead((), trained.base)
    once = once_each(examples)
    texts = [partial("{}\n{}".format, one.prompt, one.response or "") for one in once]
    prompts = [count + fixed for count in count_tokens(texts, trained.base)]
    return generation_workload(config, trained.base, prompts, remarks=remarks)


def load_gold(config: DrawConfig) -> Dataset:
    """The rows to mine. Raises InputError where none has a gold label."""
    dataset = load(config, config.seed)
    if dataset.examples and not any(example.gold for example in dataset.examples):
        raise InputError(f"dataset={config.dataset}: no row has a gold label to mine against")
    return dataset


def named_benchmarks(config: DrawConfig, examples: Sequence[GuardExample]) -> list[str]:
    """Names that tell that the rows are of a benchmark; empty where nothing does."""
    return benchmark_rows(config.dataset, config.split, {example.source for example in examples})


def run(config: MineConfig, context: StageContext) -> None:
    """Generates, finds the hard samples, and hands over a pair set."""
    device = pick_device(config.device)
    context.activity("reading the data")
    dataset = load_gold(config)
    if named := named_benchmarks(config, dataset.examples):
        logger.warning("%s", benchmark_warning(named))
    examples = once_each(dataset.examples)
    moderator = open_moderator(
        config.adapter, get_settings(), device=device, progress=fetch_progress(context)
    )
    mining = Mining(config, model_of(config.adapter))
    done = context.directory / "generations.jsonl"
    for example, draw in read_generations(done, moderator, examples, config.seed):
        mining.add(example, draw)
    context.progress(len(mining.drawn), len(examples))
    waiting = [example for example in examples if example.row_id not in mining.drawn]
    for batch in batches(waiting, config.batch_size):
        # A resumed run draws what the uninterrupted one would have drawn.
        seed = config.seed + len(mining.drawn)
        given = answer_batch(config, moderator, batch, seed, len(mining.drawn), context)
        if context.should_stop():
            raise StopRequested(
                f"stopped after {len(mining.drawn)} of {len(examples)} conversations"
            )
        draws = [Draw(verdicts, seed) for verdicts in given]
        keep(done, batch, draws)
        for example, draw in zip(batch, draws, strict=True):
            mining.add(example, draw)
        context.progress(len(mining.drawn), len(examples))
        context.metrics(len(mining.drawn), mining.metrics())
    found = [mining.found[e.row_id] for e in examples if e.row_id in mining.found]
    hand_over(config, context, found, mining, moderator.template, dataset)


def answer_batch(
    config: DrawConfig,
    moderator: Moderator,
    batch: Sequence[GuardExample],
    seed: int,
    done: int,
    context: StageContext,
) -> list[list[Verdict]]:
    """k verdicts for each conversation of the batch; says how far the batch has come."""
    what = f"answering {len(batch)} conversations {config.k} times, {done} are done"
    context.activity(what)

    def tell(ended: int, total: int) -> None:
        context.activity(f"{what}; {ended} of {total} answers of this batch are whole")

    return classify(
        batch,
        moderator.engine,
        moderator.template,
        moderator.tokenizer,
        Sampling(config.temperature, config.top_p, config.max_new_tokens, config.k, seed=seed),
        context.should_stop,
        tell,
    )


def once_each(examples: Sequence[GuardExample]) -> list[GuardExample]:
    """One example a conversation: several rows of one are mined once, as the first of them.

    Golds are joined, the first row's label where two differ; it is the first one's source that
    the sample has.
    """
    first: dict[tuple[str, str | None], GuardExample] = {}
    for example in examples:
        known = first.setdefault((example.prompt, example.response), example)
        if known is not example:
            joined = {**example.gold, **known.gold}
            first[example.prompt, example.response] = replace(known, gold=joined)
    return list(first.values())


def batches(examples: list[GuardExample], size: int) -> Iterator[list[GuardExample]]:
    """Batches of like length, so that little is padding; the longest first, to fail early."""
    ordered = sorted(examples, key=lambda e: len(e.prompt) + len(e.response or ""), reverse=True)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def keep(path: Path, batch: Sequence[GuardExample], draws: Sequence[Draw]) -> None:
    """Appends a finished batch, so that a resumed job doesn't draw it again."""
    with path.open("a", encoding="utf-8") as file:
        for example, draw in zip(batch, draws, strict=True):
            row = {
                "row_id": example.row_id,
                "seed": draw.seed,
                "answers": [{"text": one.raw, "tokens": one.tokens} for one in draw.verdicts],
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_generations(
    path: Path, moderator: Moderator, examples: Sequence[GuardExample], seed: int
) -> Iterator[tuple[GuardExample, Draw]]:
    """What an earlier attempt drew; `seed` is for files of a version that didn't note it."""
    if not path.is_file():
        return
    by_id = {example.row_id: example for example in examples}
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn:  # the attempt was killed in the middle of this line
        path.write_bytes(whole + b"\n" if whole else b"")
    for line in whole.decode("utf-8").split("\n") if whole else ():
        row = json.loads(line)
        if row["row_id"] in by_id:
            example = by_id[row["row_id"]]
            verdicts = [
                with_tokens(moderator.template.parse(one["text"], example), one["tokens"])
                for one in row["answers"]
            ]
            yield example, Draw(verdicts, row.get("seed", seed))


def hand_over(
    config: MineConfig,
    context: StageContext,
    found: Sequence[HardSample],
    mining: Mining,
    template: GuardTemplate,
    dataset: Dataset,
) -> None:
    """Stores the samples and writes the pair set. Raises InputError where nothing was found."""
    samples = weigh(found, config.gamma)
    context.hard_samples(samples)
    if not mining.hard:
        said = f"none of the {len(mining.drawn)} conversations is a hard sample: {WHY_NONE}"
        if not config.allow_empty:
            raise InputError(said, advice=NONE_ADVICE)
        context.remark(f"{said}; the pair set is empty", {"rows": len(mining.drawn)})
    benchmarks = named_benchmarks(config, dataset.examples)
    counts = {"rows": len(mining.drawn), "pairs": mining.hard}
    record = {
        "stage": "mine",
        "config": config.model_dump(),
        **counts,
        "all_wrong": len(samples) - mining.hard,
        "model": mining.model.record(),
        "dataset": {"name": dataset.name, "sha256": dataset.sha256},
        "mined_benchmark": benchmarks,
    }
    folder = fresh_folder(context.directory)
    info = write_pair_set(
        folder,
        samples,
        template,
        gamma=config.gamma,
        pairing=config.pairing,
        record=record,
    )
    details = {
        **counts,
        "pairs_sha256": info["sha256"],
        "all_wrong": record["all_wrong"],
        "mined_benchmark": benchmarks,
    }
    if config.name:
        details["set_name"] = config.name
    context.artifact("pair_set", folder, f"{mining.hard} hard samples", details)


STAGE = Stage(
    name="mine",
    title="Mine hard samples",
    summary="Find what the moderator is unsure of, by asking it several times.",
    config=MineConfig,
    run=run,
    check=check,
    workload=workload,
    order=20,
    presets=presets.MINE,
)
