"""Reasoning-quality DPO: k answers to each conversation, scored; the better over the worse.

How a trace is scored: `pipelines/reasoning_quality.py`, or a judge model by the same definitions.
Which two of the answers make a pair: `pipelines/quality_pairs.py`.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines import base_models, presets
from pipelines.benchmarks import benchmark_warning
from pipelines.classify import Moderator, open_moderator
from pipelines.mining import Draw, Model, model_of, sampling_record
from pipelines.pair_sets import describe_pair_set, read_pairs
from pipelines.pair_writing import INFO, write_pair_set
from pipelines.quality_pairs import Scored, to_sample, weigh_gaps
from pipelines.quality_scoring import grader, in_words, score_answers, summary
from pipelines.schema import GuardExample, HardSample, InputError, StopRequested
from pipelines.settings import get_settings
from pipelines.stages.base import Stage, StageContext
from pipelines.stages.hsdpo import train_on_pairs
from pipelines.stages.mine import (
    answer_batch,
    batches,
    keep,
    load_gold,
    named_benchmarks,
    read_generations,
)
from pipelines.stages.quality_config import QualityConfig, check, with_gold, workload
from pipelines.stages.training import fetch_progress, pick_device
from pipelines.template import GuardTemplate

logger = logging.getLogger(__name__)

PAIRS, GENERATIONS, SCORES = "pairs", "generations.jsonl", "scores.jsonl"


def run(config: QualityConfig, context: StageContext) -> None:
    """Makes the pairs, unless an earlier attempt has, and trains on them."""
    folder = context.directory / PAIRS
    if not (folder / INFO).exists():
        make_pairs(config, context, folder)
        _free_device()
    about = describe_pair_set(str(folder))
    pairs = read_pairs(str(folder))
    details = {"pairs_sha256": about["sha256"], **about["record"]["counts"]}
    details["mined_benchmark"] = about["record"]["mined_benchmark"]
    if config.name:
        details["set_name"] = config.name
    context.artifact("pair_set", folder, f"{len(pairs)} pairs by reasoning quality", details)
    adapter = base_models.read_adapter(config.adapter)
    name = config.name or "pairs by reasoning quality"
    record = {
        "stage": "quality",
        "dataset": {
            "name": name,
            "version": None,
            "sha256": about["sha256"],
            "rows_sha256": about["record"]["dataset"]["sha256"],
        },
    }
    template = GuardTemplate.load(folder)
    weights = [row["weight"] for row in pairs]
    made, rows = train_on_pairs(config, context, pairs, weights, adapter, template, record)
    details = {"base_model": adapter.base_model, "pairs": rows}
    context.artifact("adapter", made, f"Reasoning-quality DPO of {adapter.base_model}", details)


def make_pairs(config: QualityConfig, context: StageContext, folder: Path) -> None:
    """Draws and scores what isn't yet, then freezes the pair set. Raises InputError for none."""
    context.activity("reading the data")
    dataset = load_gold(config)
    benchmarks = named_benchmarks(config, dataset.examples)
    if benchmarks:
        logger.warning("%s", benchmark_warning(benchmarks))
    examples = with_gold(dataset.examples)
    moderator = open_moderator(
        config.adapter,
        get_settings(),
        device=pick_device(config.device),
        progress=fetch_progress(context),
    )
    draws = draw(config, context, moderator, examples)
    scored = score(config, context, examples, draws)
    model = model_of(config.adapter)
    samples = pair_up(config, scored, draws, model)
    counts = summary(scored, samples)
    logger.info("%s", in_words(counts))
    # At step 0, for the training's steps begin at 1 and are forgotten where they are done again.
    context.metrics(0, counts)
    if not samples:
        raise InputError(
            f"none of the {len(examples)} conversations has a right answer that scored "
            f"{config.min_gap:g} more than another one",
            advice="Take more rows, raise temperature or k, lower min_gap, or train the moderator "
            "longer.",
        )
    context.remark(in_words(counts), counts)
    context.hard_samples(samples)
    about = {
        "stage": "quality",
        "config": config.model_dump(),
        "counts": counts,
        "model": model.record(),
        "dataset": {"name": dataset.name, "sha256": dataset.sha256},
        "mined_benchmark": benchmarks,
    }
    gamma = config.gamma if config.pair_weights == "gap" else 0.0
    write_pair_set(
        folder,
        samples,
        moderator.template,
        weighting="stored",
        gamma=gamma,
        record=about,
        name=config.name or None,
    )


def score(
    config: QualityConfig,
    context: StageContext,
    examples: Sequence[GuardExample],
    draws: Mapping[str, Draw],
) -> list[Scored]:
    """The answers with their scores, in the order of the examples."""

    def tell(done: int, total: int) -> None:
        context.activity(f"scoring, {done} of {total} conversations are done")
        _stop_if_asked(context, f"{done} of {total} conversations are scored")

    with grader(config, context.should_stop) as grade:
        return score_answers(
            [(example, draws[example.row_id].verdicts) for example in examples],
            grade,
            context.directory / SCORES,
            at_once=config.answers_at_once,
            on_scored=tell,
        )


def pair_up(
    config: QualityConfig, scored: Sequence[Scored], draws: Mapping[str, Draw], model: Model
) -> list[HardSample]:
    """The conversations that make a pair, weighed. `sampling` tells scores and scorer."""
    scorer = config.judge_model if config.scorer == "judge" else config.scorer
    found = (
        to_sample(
            one,
            config.min_gap,
            model.name,
            sampling_record(config, draws[one.example.row_id].seed, model) | {"scorer": scorer},
        )
        for one in scored
    )
    return weigh_gaps([one for one in found if one], config.pair_weights, config.gamma)


def draw(
    config: QualityConfig,
    context: StageContext,
    moderator: Moderator,
    examples: list[GuardExample],
) -> dict[str, Draw]:
    """row id -> its k answers; those of an earlier attempt are not drawn again."""
    done = context.directory / GENERATIONS
    draws = {
        example.row_id: drawn
        for example, drawn in read_generations(done, moderator, examples, config.seed)
    }
    context.progress(len(draws), len(examples))
    waiting = [example for example in examples if example.row_id not in draws]
    for batch in batches(waiting, config.answers_at_once):
        # A resumed run draws what the uninterrupted one would have drawn.
        seed = config.seed + len(draws)
        given = answer_batch(config, moderator, batch, seed, len(draws), context)
        _stop_if_asked(context, f"{len(draws)} of {len(examples)} conversations are answered")
        new = [Draw(verdicts, seed) for verdicts in given]
        keep(done, batch, new)
        draws |= {example.row_id: one for example, one in zip(batch, new, strict=True)}
        context.progress(len(draws), len(examples))
    _stop_if_asked(context, "all conversations are answered")
    return draws


def _stop_if_asked(context: StageContext, done: str) -> None:
    if context.should_stop():
        raise StopRequested(f"stopped: {done}")


def _free_device() -> None:
    """Gives the moderator's memory back: the training loads the model anew."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


STAGE = Stage(
    name="quality",
    title="Reasoning-quality DPO",
    summary="Teach the moderator to prefer its better reasoning, scored answer by answer.",
    config=QualityConfig,
    run=run,
    check=check,
    order=35,
    presets=presets.QUALITY,
    workload=workload,
)
