"""Predictions that are stored in files, one row at a time, with every fault named.

A row is as the authors publish it: `prompt` (all that the model was given), `label` (the gold
label, or an `Answers:` block that holds the task's) and `predict` (all that it wrote); or as
GuardUI writes it: `prompt` and `response` apart, `gold` or `label`, and `raw` or `predict`.
`row_id` (or `id`), `category` and `source` are kept where they are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.benchmarks import BENCHMARKS
from pipelines.dataset_files import Faults, data_files, kind_of, read_records
from pipelines.dataset_formats import TEMPLATE, RowError, check_storable, read_label
from pipelines.schema import GuardExample, GuardTask, InputError, Label
from pipelines.scoring.reading import authors_verdict
from pipelines.template import GuardTemplate

READINGS = ("authors", "template")
_GOLD = {
    GuardTask.PROMPT_HARMFULNESS: re.compile(r"^[ \t]*request:[ \t]*(.*)$", re.I | re.M),
    GuardTask.REFUSAL: re.compile(r"^[ \t]*completion:[ \t]*(.*)$", re.I | re.M),
    GuardTask.RESPONSE_HARMFULNESS: re.compile(r"^[ \t]*response:[ \t]*(.*)$", re.I | re.M),
}


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """One row: what was asked, the gold label of the task, and all that the model wrote.

    `prompt` and `response` are the conversation without the instruction around it. `row` counts
    from 1, and `row_id` is the file's own or `file:row`.
    """

    prompt: str
    response: str | None
    gold: Label
    predict: str
    row: int
    row_id: str
    category: str = ""
    source: str = ""

    def read(self, task: GuardTask, reading: str = "authors") -> Label | None:
        """The verdict in `predict`: by the authors' rule, or with the `template`'s parser."""
        if reading == "authors":
            return authors_verdict(self.predict, task)
        example = GuardExample(self.prompt, self.response)
        return TEMPLATE.parse(self.predict, example).labels.get(task)


def read_predictions(path: Path | str, task: GuardTask) -> Iterator[StoredPrediction]:
    """The rows of a file one after the other; nothing but the row at hand is held in memory.

    Raises DataError with `file:row: field: what` lines, the first fifty: for JSON that isn't,
    bytes that aren't UTF-8, half characters, a missing or other task's label, a conversation the
    task doesn't apply to, a file without rows. It is raised where the file ends, and no row is
    given after the first fault, so read to the end before you count: a part is no result.
    """
    path = Path(path)
    check_task(path, task)
    faults, rows = Faults(), 0
    for file in data_files(path):
        for record in read_records(file, file.name, faults):
            rows += 1
            try:
                prediction = _prediction(record.values, task, record.row, record.file)
            except RowError as error:
                faults.add(record.file, record.row, error.name, error.what)
                continue
            if not faults.count:
                yield prediction
    if not rows and not faults.count:
        faults.add(path.name, None, "file", "has no rows")
    faults.raise_any(str(path))


def benchmark_of(path: Path | str, task: GuardTask) -> str | None:
    """The benchmark that a file holds by its name, or None; `WildGuardTest` is one a task."""
    stem = Path(path).stem
    part = {"prompt_harmfulness": "Prompt", "refusal": "Refusal"}.get(task.value, "Response")
    names = {name.casefold(): name for name in BENCHMARKS}
    return names.get(stem.casefold()) or names.get(f"{stem}{part}".casefold())


def check_task(path: Path | str, task: GuardTask) -> None:
    """Raises InputError where the file's name is that of another task's benchmark."""
    name = benchmark_of(path, task)
    if name is None or BENCHMARKS[name].task is task:
        return
    raise InputError(
        f"task={task}: {Path(path).name} is by its name the benchmark {name} of the task "
        f"{BENCHMARKS[name].task}; score it with that task, or rename the file"
    )


def _prediction(
    values: Mapping[str, Any], task: GuardTask, row: int, file: str
) -> StoredPrediction:
    text, predict = _text(values, "prompt"), _text(values, "predict", "raw")
    if not text.strip():
        raise RowError("prompt", "is empty")
    prompt, response = conversation_of(text, TEMPLATE)
    if isinstance(values.get("response"), str):
        response = values["response"]
    response = response if response and response.strip() else None
    if task.needs_response and response is None and prompt != text:
        raise RowError("prompt", f"{task} needs a response, and the conversation has none")
    names = {
        "row_id": str(values.get("row_id") or values.get("id") or f"{file}:{row}"),
        "category": str(values.get("category") or ""),
        "source": str(values.get("source") or values.get("benchmark") or ""),
    }
    texts = {"prompt": text, "response": response or "", "predict": predict}
    for name, content in (texts | names).items():
        check_storable(content, name)
    return StoredPrediction(prompt, response, gold_label(values, task), predict, row, **names)


def gold_label(values: Mapping[str, Any], task: GuardTask) -> Label:
    """The task's label from `label` (or `gold`): a label, or an answers block that has one.

    Raises RowError where it is missing or none of the task's.
    """
    name = "gold" if "label" not in values and "gold" in values else "label"
    value = values.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError(name, "is missing" if name not in values else "is empty")
    if isinstance(value, str) and ":" in value:
        match = _GOLD[task].search(value)
        if match is None:
            raise RowError(name, f"{value.strip()[:60]!r} has no answer to the task {task}")
        value = match[1].strip()
    if isinstance(value, str) and value.strip().casefold() in ("none", "null", "n/a"):
        raise RowError(name, f"is {value.strip()!r}: the row has no gold label of the task {task}")
    return read_label(value, task, name)


def _text(values: Mapping[str, Any], *names: str) -> str:
    name = next((name for name in names if name in values), None)
    if name is None:
        raise RowError(names[0], "is missing")
    if not isinstance(values[name], str):
        raise RowError(name, f"must be text, is {kind_of(values[name])}")
    return str(values[name])


def conversation_of(text: str, template: GuardTemplate) -> tuple[str, str | None]:
    """Takes the instruction off a model input and splits the rest into request and reply."""
    head = template.input_layout.split("{prompt}")[0]
    start = text.find("\n" + head) + 1 if not text.startswith(head) else 0
    if not text[start:].startswith(head):
        return text, None  # another layout: the whole input is the best there is to show
    try:
        return template.split_input(text[start:])
    except InputError:
        return text, None
