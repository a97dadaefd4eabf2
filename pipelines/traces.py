"""What a synthesis leaves on disk: the rows to train on, and what was not kept, to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipelines.attempts import AttemptLog, read_attempts
from pipelines.teaching import REASONS, fits_layout
from pipelines.template import GuardTemplate
from pipelines.widening import WideRow


def answer(rows: Sequence[WideRow], template: GuardTemplate, log: AttemptLog) -> bool:
    """Puts the answers without reasoning into the log, for rows whose labels are all known."""
    for row in rows:
        if row.unknown:
            log.reasons["unlabelled"] += 1
        elif not fits_layout(row.example, template):
            log.reasons["layout"] += 1
        else:
            log.outputs[row.example.row_id] = template.format_answer("", row.example.gold)
    return True


def training_row(
    row: WideRow, template: GuardTemplate, output: str, teacher: str
) -> dict[str, Any]:
    """The row in GuardReasonerTrain's columns, with where it comes from."""
    example = row.example
    return {
        "id": example.row_id,
        "instruction": template.instruction,
        "input": template.render(example)[len(template.instruction) + 1 :],
        "output": output,
        "source": example.source,
        "row_id": example.row_id,
        "teacher": teacher,
        "widened": row.widened,
    }


def write_traces(
    path: Path, kept: Sequence[WideRow], template: GuardTemplate, log: AttemptLog, teacher: str
) -> None:
    """The kept rows as JSON lines, which `datasets.read_dataset` reads."""
    outputs = log.outputs
    _write(path, (training_row(r, template, outputs[r.example.row_id], teacher) for r in kept))


def write_rejects(path: Path, rows: Sequence[WideRow], log: AttemptLog) -> None:
    """Every attempt that was not kept, with the reason and beside its conversation."""
    examples = {row.example.row_id: row.example for row in rows}
    _write(
        path,
        (
            {
                "row_id": attempt.row_id,
                "reason": attempt.reason,
                "meaning": REASONS[attempt.reason],
                "detail": attempt.detail,
                "gold": {task.value: label for task, label in example.gold.items()},
                "prompt": example.prompt,
                "response": example.response,
                "text": attempt.text,
            }
            for attempt in read_attempts(log.path)
            if attempt.reason and (example := examples.get(attempt.row_id)) is not None
        ),
    )


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
