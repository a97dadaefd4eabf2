"""Hard samples and pairs as JSON rows, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.schema import (
    DataError,
    Generation,
    GuardExample,
    GuardTask,
    HardSample,
    Verdict,
)

Row = dict[str, Any]

PAIR_FIELDS = (
    *("row_id", "source", "model", "task", "prompt", "response", "gold", "chosen", "rejected"),
    *("chosen_index", "rejected_index", "k_correct", "k_incorrect", "weight", "sampling"),
    "human_edited",
)
"""The fields of a pair, in the order in which they are written."""

NEEDED = {"prompt": str, "chosen": str, "rejected": str, "k_correct": int, "k_incorrect": int}
"""What no pair can be trained without, older and handmade ones too."""


def pair_row(sample: HardSample, human_edited: bool = False) -> Row:
    """A hard sample with a pair as a row. Raises ValueError for one without."""
    if sample.chosen is None or sample.rejected is None:
        raise ValueError(f"row_id={sample.example.row_id}: the sample has no pair")
    example = sample.example
    return {
        "row_id": example.row_id,
        "source": example.source,
        "model": sample.model,
        "task": sample.task.value,
        "prompt": example.prompt,
        "response": example.response,
        "gold": {task.value: label for task, label in example.gold.items()},
        "chosen": sample.generations[sample.chosen].text,
        "rejected": sample.generations[sample.rejected].text,
        "chosen_index": sample.chosen,
        "rejected_index": sample.rejected,
        "k_correct": sample.k_correct,
        "k_incorrect": sample.k_incorrect,
        "weight": float(sample.weight),
        "sampling": sample.sampling,
        "human_edited": human_edited,
    }


def pair_faults(row: object, place: str) -> list[str]:
    """What keeps a row from being a pair, one `place: field: what` line a fault."""
    if not isinstance(row, dict):
        return [f"{place}: not a JSON object"]
    return [
        f"{place}: {name}: {row.get(name)!r} is not a {kind.__name__}"
        for name, kind in NEEDED.items()
        if not isinstance(row.get(name), kind)
    ]


def sample_row(sample: HardSample) -> Row:
    """A hard sample whole, with its generations."""
    example = sample.example
    return {
        "row_id": example.row_id,
        "source": example.source,
        "model": sample.model,
        "task": sample.task.value,
        "prompt": example.prompt,
        "response": example.response,
        "gold": {task.value: label for task, label in example.gold.items()},
        "target": example.reasoning,
        "chosen": sample.chosen,
        "rejected": sample.rejected,
        "k_correct": sample.k_correct,
        "k_incorrect": sample.k_incorrect,
        "weight": float(sample.weight),
        "sampling": sample.sampling,
        "generations": [_generation_row(one) for one in sample.generations],
    }


def sample_from(row: Mapping[str, Any]) -> HardSample:
    """What `sample_row` wrote. Raises KeyError, TypeError or ValueError for another row."""
    gold = {GuardTask(task): label for task, label in row["gold"].items()}
    example = GuardExample(
        row["prompt"], row["response"], gold, row["target"], row["source"], row["row_id"]
    )
    return HardSample(
        example=example,
        task=GuardTask(row["task"]),
        generations=tuple(_generation_from(one) for one in row["generations"]),
        k_correct=row["k_correct"],
        k_incorrect=row["k_incorrect"],
        chosen=row["chosen"],
        rejected=row["rejected"],
        weight=row["weight"],
        model=row["model"],
        sampling=row["sampling"],
    )


def _generation_row(generation: Generation) -> Row:
    verdict = generation.verdict
    # The reasoning is nearly always how the text begins; its length then tells all of it.
    begins = verdict.raw.startswith(verdict.reasoning)
    return {
        "text": generation.text,
        "raw": None if verdict.raw == generation.text else verdict.raw,
        "reasoning": len(verdict.reasoning) if begins else verdict.reasoning,
        "labels": {task.value: label for task, label in verdict.labels.items()},
        "error": verdict.error,
        "probabilities": {task.value: p for task, p in verdict.probabilities.items()},
        "tokens": verdict.tokens,
        "correct": generation.correct,
    }


def _generation_from(row: Mapping[str, Any]) -> Generation:
    raw = row["text"] if row["raw"] is None else row["raw"]
    told = row["reasoning"]
    verdict = Verdict(
        labels={GuardTask(task): label for task, label in row["labels"].items()},
        reasoning=told if isinstance(told, str) else raw[:told],
        raw=raw,
        error=row["error"],
        probabilities={GuardTask(task): p for task, p in row["probabilities"].items()},
        tokens=row["tokens"],
    )
    return Generation(row["text"], verdict, row["correct"])


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line, all of Unicode as it is."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def json_lines(text: str, name: str, faults: list[str]) -> Iterator[tuple[str, object]]:
    """(`file:line`, value) of each line; what is not JSON goes to `faults`."""
    # Not splitlines(): JSON may hold the other line separators of Unicode.
    for number, line in enumerate(text.rstrip("\n").split("\n"), 1):
        place = f"{name}:{number}"
        try:
            yield place, json.loads(line)
        except ValueError as error:
            faults.append(f"{place}: not JSON ({error})")


def read_sample_rows(text: str, name: str) -> list[HardSample]:
    """The samples of a file. Raises DataError with every fault."""
    faults: list[str] = []
    found = []
    for place, value in json_lines(text, name, faults) if text.strip() else ():
        try:
            found.append(sample_from(value))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            faults.append(f"{place}: not a hard sample ({type(error).__name__}: {error})")
    if faults:
        raise DataError(f"{name}: {len(faults)} faults; the first: {faults[0]}", faults)
    return found
