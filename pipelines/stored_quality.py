"""The reasoning score of predictions that are stored in a file."""

from __future__ import annotations

from pathlib import Path

from pipelines.dataset_files import Faults, data_files, read_records
from pipelines.dataset_formats import RowError, read_label
from pipelines.quality_pairs import Scored
from pipelines.reasoning_quality import score_trace
from pipelines.schema import GuardExample, GuardTask
from pipelines.stored_predictions import conversation_of
from pipelines.template import GuardTemplate


def score_file(path: Path, task: GuardTask | None = None) -> list[Scored]:
    """Rows of `prompt` (what the model was given) and `predict` -> each with its quality.

    With a task, `label` is the gold label. Raises DataError with every `file:row: field: what`.
    """
    template, faults, found = GuardTemplate.default(), Faults(), []
    for file in data_files(path):
        for record in read_records(file, file.name, faults):
            try:
                example = _example(record.values, f"{file.name}:{record.row}", template, task)
            except RowError as error:
                faults.add(record.file, record.row, error.name, error.what)
                continue
            verdict = template.parse(record.values["predict"], example)
            found.append(Scored(example, [verdict], [score_trace(verdict, example)]))
    if not found and not faults.count:
        faults.add(path.name, None, "file", "has no rows")
    faults.raise_any(str(path))
    return found


def _example(
    row: dict[str, object], row_id: str, template: GuardTemplate, task: GuardTask | None
) -> GuardExample:
    for name in ("prompt", "predict"):
        if not isinstance(row.get(name), str):
            raise RowError(name, "must be a text")
    prompt, response = conversation_of(str(row["prompt"]), template)
    gold = {} if task is None else {task: read_label(row.get("label"), task, "label")}
    return GuardExample(prompt, response, gold, row_id=row_id)
