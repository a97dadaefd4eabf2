"""Merging: the hard samples of several mining runs in one set, each conversation once.

The first set that has a conversation keeps it, as in the authors' script (GuardReasoner,
arXiv 2501.18492); weights are spread before that, within each model and source. Unlike there, any
number of sets is merged, and the main model's too.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipelines.hard_samples import choose_pair, hardness, row_seed
from pipelines.job_inputs import read_all_inputs
from pipelines.merging import merge
from pipelines.mining import SET_NAME
from pipelines.pair_rows import Row
from pipelines.pair_sets import describe_pair_set, read_pairs, read_samples, read_template
from pipelines.pair_weights import read_ranges
from pipelines.pair_writing import SAMPLES, fresh_folder, write_pair_set
from pipelines.schema import HardSample, InputError
from pipelines.stages.base import ESSENTIAL, Stage, StageConfig, StageContext
from pipelines.template import GuardTemplate

logger = logging.getLogger(__name__)

NONE_ADVICE = (
    "Mine more rows, raise temperature or k of the mining jobs, or train the moderators longer."
)


class MergeConfig(StageConfig):
    """Join mined pair sets; where several have a conversation, the first one's is kept."""

    sets: list[str] = Field(
        [],
        description="Pair sets in order of precedence: NAME@vN, artifact:ID, job:ID or a folder.",
        json_schema_extra=ESSENTIAL | {"reference": "pair_set"},
    )
    gamma: float = Field(0.2, ge=0, lt=1, description="Spread of the weights around 1.")
    pairing: Literal["as_mined", "longest", "random"] = Field(
        "as_mined", description="Keep each pair as it was mined, or choose anew."
    )
    seed: int = Field(42, ge=0, description="Seed of the random pairing.")
    name: str = Field(
        "",
        max_length=100,
        pattern=SET_NAME,
        description="Name of the pair set, empty for the job's; a known name gets a new version.",
    )


def check(config: MergeConfig) -> list[str]:
    """Reads the sets that are there already; raises for what can't work."""
    if not config.sets:
        raise InputError("sets: a value is needed (NAME@vN, artifact:ID, job:ID or folders)")
    twice = [name for name, count in Counter(config.sets).items() if count > 1]
    if twice:
        raise InputError(f"sets={', '.join(twice)}: named twice")
    known = [one for one in config.sets if not one.startswith(("job:", "artifact:"))]
    same_template(known)
    for one in known:
        if not (Path(one) / SAMPLES).is_file():
            raise InputError(
                f"sets={one}: has pairs but not the samples that they are of, as an imported set; "
                "only what a job mined or merged, or was frozen of it, can be merged"
            )
    return [f"{one}: {len(pairs_of(one)):,} pairs" for one in known]


def run(config: MergeConfig, context: StageContext) -> None:
    """Merges, and hands over the samples and one pair set."""
    context.activity("reading the pair sets")
    template = same_template(config.sets)
    sets = []
    for number, ref in enumerate(config.sets, 1):
        sets.append(read_samples(ref))
        context.progress(number, len(config.sets))
    merged = merge(sets, config.gamma, [read_ranges(describe_pair_set(ref)) for ref in config.sets])
    samples = [repaired(one, config) for one in merged.samples]
    tell(merged.counts, context)
    context.hard_samples(samples)
    inputs = read_all_inputs(context.directory, "sets")
    pairs = sum(hardness(one) == "hard" for one in samples)
    if not pairs:
        raise InputError(
            f"sets={', '.join(config.sets)}: there is no hard sample in them", advice=NONE_ADVICE
        )
    if empty := [inputs.get(ref, {}).get("reference", ref) for ref in config.sets if is_empty(ref)]:
        said = f"{len(empty)} of {len(sets)} sets hold no hard sample and add nothing"
        context.remark(f"{said}: {', '.join(empty)}", {"empty": empty})
    record = {
        "stage": "merge",
        "config": config.model_dump(),
        "counts": merged.counts,
        "merged": [about(ref, inputs.get(ref, {})) for ref in config.sets],
        "empty": empty,
        "mined_benchmark": benchmarks_of(config.sets),
    }
    folder = fresh_folder(context.directory)
    info = write_pair_set(
        folder,
        samples,
        template,
        gamma=config.gamma,
        pairing="longest" if config.pairing == "as_mined" else config.pairing,
        record=record,
        ranges=merged.ranges,
        human_edited=edited_in(config.sets, samples),
    )
    details: dict[str, Any] = {
        "rows": len(samples),
        "pairs": pairs,
        "pairs_sha256": info["sha256"],
        "counts": merged.counts,
        "empty": empty,
        "mined_benchmark": record["mined_benchmark"],
    }
    if config.name:
        details["set_name"] = config.name
    context.artifact("pair_set", folder, f"{pairs} hard samples of {len(sets)} sets", details)


def is_empty(ref: str) -> bool:
    """Whether a set was frozen without a pair, as mining that found nothing may do."""
    return int(describe_pair_set(ref)["rows"]) == 0


def pairs_of(ref: str) -> Sequence[Row]:
    """The pairs of a set; none of an empty one, which `read_pairs` refuses."""
    return [] if is_empty(ref) else read_pairs(ref)


def same_template(sets: Sequence[str]) -> GuardTemplate:
    """The template of all the sets. Raises InputError, naming both, where two differ."""
    found: tuple[str, GuardTemplate] | None = None
    for ref in sets:
        template = read_template(ref) or GuardTemplate.default()
        if found and found[1] != template:
            raise InputError(
                f"sets={found[0]}, {ref}: made with different guard_template.json files; "
                "answers to one prompt can't be preferred for another"
            )
        found = found or (ref, template)
    return found[1] if found else GuardTemplate.default()


def tell(counts: Sequence[dict[str, Any]], context: StageContext) -> None:
    """Logs the counts as a table, and records them as metrics, a step a row."""
    total = {name: sum(row[name] for row in counts) for name in ("before", "after")}
    lines = [*counts, {"model": "all", "source": "", **total}]
    widths = [max(len(str(row[name])) for row in lines) for name in ("model", "source")]
    logger.info("hard samples by model and source, before and after merging:")
    for row in lines:
        model, source = row["model"].ljust(widths[0]), row["source"].ljust(widths[1])
        logger.info("%s  %s  %6d  %6d", model, source, row["before"], row["after"])
    for step, row in enumerate(counts, 1):
        context.metrics(step, {"before": row["before"], "after": row["after"]})


def repaired(sample: HardSample, config: MergeConfig) -> HardSample:
    """The sample with its pair chosen as the config says."""
    if config.pairing == "as_mined" or hardness(sample) != "hard":
        return sample
    seed = row_seed(config.seed, sample.example)
    chosen, rejected = choose_pair(sample.generations, config.pairing, seed)
    return replace(sample, chosen=chosen, rejected=rejected)


def about(ref: str, known: dict[str, Any]) -> dict[str, Any]:
    """What the merged set says of one that went into it."""
    info = describe_pair_set(ref)
    return {
        "reference": known.get("reference", ref),
        "name": known.get("name") or info["name"],
        "version": known.get("version") or info["version"],
        "sha256": info["sha256"],
        "rows": info["rows"],
    }


def benchmarks_of(sets: Sequence[str]) -> list[str]:
    """The names of benchmarks that any of the sets was mined on."""
    records = [describe_pair_set(ref)["record"] for ref in sets]
    return sorted({name for record in records for name in record.get("mined_benchmark", [])})


def edited_in(sets: Sequence[str], samples: Sequence[HardSample]) -> set[str]:
    """Row ids of the samples whose pair a person wrote in the set that they come from."""
    edited = {
        (row["prompt"], row.get("response"), row["chosen"], row["rejected"])
        for ref in sets
        for row in pairs_of(ref)
        if row.get("human_edited")
    }
    return {
        one.example.row_id
        for one in samples
        if one.chosen is not None
        and one.rejected is not None
        and (
            one.example.prompt,
            one.example.response,
            one.generations[one.chosen].text,
            one.generations[one.rejected].text,
        )
        in edited
    }


STAGE = Stage(
    name="merge",
    title="Merge hard samples",
    summary="Join what several moderators were unsure of, each conversation once.",
    config=MergeConfig,
    run=run,
    check=check,
    exclusive=False,
    order=25,
)
