"""The rows that a study draws from: those its arms have answered, benchmarks, hard samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from pipelines.evaluations import Evaluation
from pipelines.schema import GuardExample, InputError
from pipelines.stages.evaluate_rows import Asked, read_benchmarks, read_stored
from pipelines.stages.study_config import StudyConfig
from pipelines.stratified import stratified
from pipelines.studies.arms import Arm, Key, key_of


def held_by(arm: Arm, config: StudyConfig) -> list[Asked]:
    """The rows that an arm has answered before; none for one that has yet to."""
    if arm.answers:
        return _evaluated(arm.answers)
    if arm.subject.kind == "predictions":
        return list(read_stored(arm.subject, config).asked)
    return []


def _evaluated(evaluation: Evaluation) -> list[Asked]:
    examples: dict[str, list[GuardExample]] = defaultdict(list)
    for row in evaluation.rows(range(evaluation.info.rows)):
        examples[row.benchmark].append(
            GuardExample(
                row.prompt,
                row.response,
                {row.task: row.gold},
                source=row.source,
                row_id=row.row_id,
                category=row.category,
            )
        )
    return [Asked(info, examples[info.name]) for info in evaluation.info.benchmarks]


def read_pool(config: StudyConfig, held: Sequence[Sequence[Asked]]) -> list[Asked]:
    """All rows that items may come from, benchmark by benchmark.

    A benchmark that an arm has answered is taken as the arm has it; others are read. Where none
    is named it is those that all of `held` have. Raises InputError where that is none, and what
    reading benchmarks raises.
    """
    held = [one for one in held if one]
    own = {part.benchmark: part for one in reversed(held) for part in one}
    names = config.benchmarks
    if not names and not config.hard_samples:
        names = [
            name
            for name in (part.benchmark for part in (held[0] if held else ()))
            if all(name in (part.benchmark for part in one) for one in held)
        ]
        if held and not names:
            raise InputError(
                f"benchmarks: the arms have none in common (they have: {', '.join(sorted(own))})"
            )
        if not names:
            raise InputError(
                "benchmarks: a value is needed (a benchmark's name, or a labelled file), or "
                "hard_samples"
            )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"benchmarks={', '.join(twice)}: named twice")
    elsewhere = [name for name in names if name not in own]
    pool = [_sampled(own[name], config) for name in names if name in own]
    if elsewhere or config.hard_samples:
        pool += read_benchmarks(config.model_copy(update={"benchmarks": elsewhere}))
    return [_named(part) for part in pool]


def _sampled(rows: Asked, config: StudyConfig) -> Asked:
    labels = [example.gold[rows.task] for example in rows.examples]
    drawn = stratified(list(rows.examples), labels, config.max_rows, config.seed)
    return only(replace(rows, examples=drawn), {key_of(one) for one in drawn})


def _named(rows: Asked) -> Asked:
    """Rows that name no source are the benchmark's own."""
    named = [replace(one, source=one.source or rows.benchmark) for one in rows.examples]
    return replace(rows, examples=named)


def only(rows: Asked, keys: Collection[Key]) -> Asked:
    """The rows of these conversations."""
    kept = [example for example in rows.examples if key_of(example) in keys]
    return Asked(rows.info.model_copy(update={"rows": len(kept)}), kept)
