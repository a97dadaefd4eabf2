"""Small evaluations for tests: what a subject said is given as letters, a row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db import jobs
from db.session import Database
from pipelines.evaluations import (
    BenchmarkInfo,
    Evaluation,
    EvaluationInfo,
    Prediction,
    write_evaluation,
)
from pipelines.schema import GuardTask

PROMPT, REFUSAL, RESPONSE = GuardTask
TASKS = {"prompt": PROMPT, "refusal": REFUSAL, "response": RESPONSE}

# letter -> (gold is positive, verdict is positive or None)
LETTERS: Mapping[str, tuple[bool, bool | None]] = {
    "T": (True, True),
    "m": (True, False),
    "?": (True, None),
    "t": (False, False),
    "f": (False, True),
    "!": (False, None),
}
"""Right on a positive row, a miss, no verdict; right on a negative one, a false alarm, none."""


def prediction(
    benchmark: str, task: GuardTask, number: int, gold: bool, said: bool | None, **values: Any
) -> Prediction:
    """Of row `number`: whether it is positive, and whether that was said, or nothing."""
    positive, negative = task.labels
    return Prediction(
        benchmark=benchmark,
        task=task,
        row_id=f"{benchmark}:{number}",
        gold=positive if gold else negative,
        predicted=None if said is None else positive if said else negative,
        error="no answers block" if said is None else "",
        **values,
    )


def predictions(
    benchmark: str, task: GuardTask, said: str, start: int = 0, **values: Any
) -> list[Prediction]:
    """One for each letter of `said`, numbered from `start`."""
    found = []
    for number, letter in enumerate(said, start):
        gold, verdict = LETTERS[letter]
        given: dict[str, Any] = {
            "prompt": f"Question {number} of {benchmark} " + "x" * 40 * (number % 9),
            "response": "An answer" if task.needs_response else None,
            "category": "fraud" if number % 2 else "violence",
            "source": f"part {number % 3}",
            "probability": {True: 0.9, False: 0.2, None: None}[verdict],
            "raw": f"# Task 1\n## Step 1: Row {number}.",
        }
        found.append(prediction(benchmark, task, number, gold, verdict, **given | values))
    return found


def evaluated(
    folder: Path,
    benchmarks: Mapping[str, tuple[str, str, str]],
    *,
    chances: Mapping[str, Sequence[float]] | None = None,
    texts: Mapping[str, Any] | None = None,
    **told: Any,
) -> Evaluation:
    """benchmark -> (task, gold, said), a letter a row: 1 positive, 0 negative, - no verdict.

    `chances` are the probabilities of a benchmark's rows, `texts` what rows have otherwise
    (prompt, response, raw, category), `told` fields of the info.
    """
    rows, infos = [], []
    for name, (task_name, gold, said) in benchmarks.items():
        task = TASKS[task_name]
        for number, (truth, verdict) in enumerate(zip(gold, said, strict=True)):
            given: dict[str, Any] = {
                "prompt": f"Prompt {number} of {name}",
                "response": f"Response {number}" if task.needs_response else None,
                "raw": f"Trace {number}",
                "tokens": 10 + number,
                "seconds": 0.5,
                "probability": chances[name][number] if chances and name in chances else None,
            }
            positive = None if verdict == "-" else verdict == "1"
            rows.append(
                prediction(name, task, number, truth == "1", positive, **given | (texts or {}))
            )
        infos.append(BenchmarkInfo(name=name, task=task, rows=len(gold), of_rows=len(gold)))
    basis: dict[str, Any] = {"name": "ours", "kind": "adapter", "reference": "/a", "mode": "reason"}
    return write_evaluation(folder, EvaluationInfo(**{**basis, "benchmarks": infos, **told}), rows)


def evaluation(
    folder: Path,
    name: str,
    said: Mapping[tuple[str, GuardTask], str],
    *,
    kind: Any = "adapter",
    mode: Any = "reason",
    training: Mapping[str, Any] | None = None,
    start: int = 0,
    published: Mapping[str, int] | None = None,
    of_rows: Mapping[str, int] | None = None,
    remarks: Sequence[str] = (),
    **values: Any,
) -> Evaluation:
    """Written to `folder`: for each benchmark what was said of its rows, of so many (`of_rows`)."""
    rows = [
        row
        for (benchmark, task), letters in said.items()
        for row in predictions(benchmark, task, letters, start, **values)
    ]
    infos = [
        BenchmarkInfo(
            name=benchmark,
            task=task,
            rows=len(letters),
            of_rows=(of_rows or {}).get(benchmark, len(letters)),
            published_rows=(published or {}).get(benchmark),
        )
        for (benchmark, task), letters in said.items()
    ]
    info = EvaluationInfo(
        name=name,
        kind=kind,
        reference=name if kind == "baseline" else f"job:{name}",
        mode=mode,
        benchmarks=infos,
        training=dict(training or {}),
        remarks=list(remarks),
    )
    return write_evaluation(folder, info, rows)


def add_evaluation(
    database: Database,
    folder: Path,
    name: str,
    said: Mapping[tuple[str, GuardTask], str],
    **values: Any,
) -> int:
    """An evaluation with the artifact that its job would hand over; returns the artifact's id."""
    info = evaluation(folder, name, said, **values).info
    details = {
        "kind": info.kind,
        "mode": info.mode,
        "reference": info.reference,
        "rows": info.rows,
        "benchmarks": [one.name for one in info.benchmarks],
        "sample": None,
        "seed": 0,
    }
    with database.write() as session:
        return jobs.add_artifact(
            session,
            job_id=None,
            kind="evaluation",
            name=name,
            path=str(folder),
            sha256="ab" * 32,
            size=1,
            details=details,
        ).id
