"""Ensemble mining: several moderators look for hard samples, each in the data that it saw.

As the authors of GuardReasoner (arXiv 2501.18492) really run it: beside the main model they train
three, each without one of Aegis, BeaverTails and ToxicChat; each of those datasets is mined by
the two models that saw it, WildGuard by the main model; what is found is merged, deduplicated by
input, and the main model trained on it. Here the models follow from the sources that are present.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from pipelines.jobs.steps import Step, values_of
from pipelines.schema import InputError
from pipelines.stages import get_stage
from pipelines.stages.base import StageConfig, build_config
from pipelines.stages.data import DataConfig, load

MAIN, MERGE = "main", "merge"
FEWEST_SOURCES = 3


class EnsembleOptions(StageConfig):
    """Settings of the ensemble itself."""

    remaining: str = Field(
        "",
        description="The source that the main model mines and that no variant is trained "
        "without; empty means the one with the most rows.",
    )


def ensemble_steps(values: Mapping[str, Any]) -> Sequence[Step]:
    """The jobs for the sources of the dataset that the values name.

    Raises InputError where there are fewer than three sources, or no such `remaining`.
    """
    main = Step(MAIN, "rsft", title="R-SFT on all sources")
    config = main_config(values_of(main, values))
    counts = rows_by_source(config)
    remaining = choose_remaining(counts, str(values.get("remaining", "")))
    others = sorted(source for source in counts if source != remaining)
    variants, miners = [], [_miner(MAIN, [remaining])]
    for number, source in enumerate(others, 1):
        key = f"variant-{number}"
        without = {"without_sources": [*config.without_sources, source]}
        title = f"R-SFT without {source}"
        variants.append(Step(key, "rsft", values=without, title=title))
        # A source is mined by the variants that saw it: by all but the one trained without.
        miners.append(_miner(key, [one for one in others if one != source]))
    links = {"sets": [step.key for step in miners]}
    merge = Step(MERGE, "merge", links=links, title="Merge what all of them found")
    last = Step("hsdpo", "hsdpo", links={"adapter": MAIN, "pairs": MERGE}, title="HS-DPO of main")
    return (main, *variants, *miners, merge, last)


def _miner(model: str, sources: list[str]) -> Step:
    return Step(
        f"mine-{model}",
        "mine",
        # The rows are named by `sources`; what main leaves out is not among them anyway. One that
        # finds nothing must not keep back what the others found: merging refuses to have nothing.
        values={"sources": sources, "without_sources": [], "allow_empty": True},
        links={"adapter": model},
        title=f"Mine {', '.join(sources)} with {model}",
    )


def main_config(values: Mapping[str, Any]) -> DataConfig:
    """The R-SFT config with these values, of all rows. Raises ConfigError."""
    config = build_config(get_stage("rsft"), None, {**values, "max_rows": 0})
    if not isinstance(config, DataConfig):
        raise TypeError("the stage rsft reads no rows")
    return config


def rows_by_source(config: DataConfig) -> dict[str, int]:
    """source -> its rows. Raises InputError for a dataset that isn't there yet."""
    if config.dataset.startswith("job:"):
        raise InputError(
            f"dataset={config.dataset}: has yet to be made, and the models of an ensemble follow "
            "from its sources",
            advice="Launch the ensemble when that job has succeeded.",
        )
    return dict(Counter(example.source for example in load(config, 0).examples))


def choose_remaining(counts: Mapping[str, int], wanted: str) -> str:
    """The source that the main model mines: the wanted one, else the one with the most rows."""
    present = ", ".join(f"{source} ({rows:,})" for source, rows in sorted(counts.items()))
    if len(counts) < FEWEST_SOURCES:
        raise InputError(
            f"dataset: has {len(counts)} sources, {present}; an ensemble needs at least "
            f"{FEWEST_SOURCES}: each but one is mined by models that were trained on it and "
            "without another",
            advice="Give the rows a column `source`, or mine with one model: the recipe exp19.",
        )
    if wanted and wanted not in counts:
        raise InputError(f"remaining={wanted}: no such source (there are: {present})")
    return wanted or max(sorted(counts), key=lambda source: counts[source])
