"""Hard samples as rows of the database, with what is derived of them, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from db import samples
from db.models import GenerationRow, HardSampleRow
from db.session import Database
from pipelines.inspection import derive, near_duplicates
from pipelines.jobs.outcome import insist, storable
from pipelines.schema import Generation, GuardExample, GuardTask, HardSample, Verdict

STORED_TOGETHER = 2000
# Sources and models are indexed, and PostgreSQL indexes no more than some 2,700 bytes a row.
MAX_NAME = 200


def store_samples(database: Database, job_id: int, found: Sequence[HardSample]) -> None:
    """Stores what a job found in place of what it found before; nothing of the old review stays.

    Many are written in several transactions, so that others may write in between.
    """
    first_of = _duplicates(found)
    rows = sample_values(found)

    def clear() -> None:
        with database.write() as session:
            samples.replace_samples(session, job_id, ())

    def finish() -> None:
        with database.write() as session:
            samples.mark_duplicates(session, job_id, first_of)
            if found:
                samples.refresh_statistics(session)

    insist(clear)
    while batch := list(islice(rows, STORED_TOGETHER)):

        def add(batch: list[dict[str, Any]] = batch) -> None:
            with database.write() as session:
                samples.add_samples(session, job_id, batch)

        insist(add)
    insist(finish)


def _duplicates(found: Sequence[HardSample]) -> dict[str, str]:
    """Row id -> row id of the sample that it is a near-duplicate of."""
    ids = _row_ids(found)
    texts = [f"{one.example.prompt} {one.example.response or ''}" for one in found]
    return {
        ids[place]: ids[first]
        for place, first in enumerate(near_duplicates(texts))
        if first is not None
    }


def _row_ids(found: Sequence[HardSample]) -> list[str]:
    """The samples' row ids, numbered where one occurs again."""
    ids: list[str] = []
    taken: set[str] = set()
    again: dict[str, int] = {}
    for sample in found:
        given = row_id = storable(sample.example.row_id)
        while row_id in taken:
            again[given] = again.get(given, 1) + 1
            row_id = f"{given}#{again[given]}"
        taken.add(row_id)
        ids.append(row_id)
    return ids


def sample_values(found: Sequence[HardSample]) -> Iterator[dict[str, Any]]:
    """Hard samples as `db.samples.add_samples` takes them, one at a time, with a row id that is
    unique among them."""
    for sample, row_id in zip(found, _row_ids(found), strict=True):
        example = sample.example
        yield {
            "row_id": row_id,
            "source": storable(example.source)[:MAX_NAME],
            "model": storable(sample.model)[:MAX_NAME],
            "sampling": dict(sample.sampling),
            "prompt": storable(example.prompt),
            "response": None if example.response is None else storable(example.response),
            **judged_columns(sample),
            "generations": [
                generation_values(position, generation)
                for position, generation in enumerate(sample.generations)
            ],
        }


def judged_columns(sample: HardSample, edited: Sequence[int] = ()) -> dict[str, Any]:
    """The columns that follow from gold label, verdicts and the choice of the pair.

    `edited` are the positions of generations that a person wrote.
    """
    return {
        "task": sample.task.value,
        "gold": {task.value: label for task, label in sample.example.gold.items()},
        "k_correct": sample.k_correct,
        "k_incorrect": sample.k_incorrect,
        "chosen": sample.chosen,
        "rejected": sample.rejected,
        "weight": float(sample.weight),
        **derive(sample, edited)._asdict(),
    }


def generation_values(
    position: int, generation: Generation, edited_from: int | None = None
) -> dict[str, Any]:
    """The columns of one answer; `edited_from` is the position of what a person edited."""
    verdict = generation.verdict
    return {
        "position": position,
        "text": storable(generation.text),
        "labels": {task.value: label for task, label in verdict.labels.items()},
        "error": None if verdict.error is None else storable(verdict.error),
        "correct": generation.correct,
        "tokens": verdict.tokens,
        "edited_from": edited_from,
    }


def sample_of(row: HardSampleRow) -> HardSample:
    """A stored sample, whose generations are loaded, as mining gave it; their place is their
    position. A verdict's reasoning is not stored apart, so it is the whole text."""
    example = GuardExample(
        row.prompt,
        row.response,
        {GuardTask(task): label for task, label in row.gold.items()},
        None,
        row.source,
        row.row_id,
    )
    return HardSample(
        example=example,
        task=GuardTask(row.task),
        generations=tuple(generation_of(one) for one in row.generations),
        k_correct=row.k_correct,
        k_incorrect=row.k_incorrect,
        chosen=row.chosen,
        rejected=row.rejected,
        weight=row.weight,
        model=row.model,
        sampling=row.sampling,
    )


def generation_of(row: GenerationRow) -> Generation:
    labels = {GuardTask(task): label for task, label in row.labels.items()}
    verdict = Verdict(labels, row.text, row.text, row.error, tokens=row.tokens)
    return Generation(row.text, verdict, row.correct)
