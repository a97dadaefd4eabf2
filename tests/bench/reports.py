"""How long a report on many evaluations takes, and what it holds: 12 moderators asked all 13
benchmarks in full, each form in the same process, the first one with everything yet to count."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.benchmark_catalogue import BENCHMARKS, PAPER
from pipelines.evaluation_report import FORMS, report
from pipelines.evaluations import (
    BenchmarkInfo,
    Evaluation,
    EvaluationInfo,
    Prediction,
    write_evaluation,
)
from pipelines.failures import peak_memory

RUNS = 12


def predictions(number: int) -> Iterator[Prediction]:
    """The better the higher its number; one row in 97 has no verdict, three rows share a prompt."""
    own = np.random.default_rng(number)
    for name in PAPER:
        task, rows = BENCHMARKS[name].task, BENCHMARKS[name].published_rows or 0
        positive = np.random.default_rng(rows).random(rows) < 0.5
        right = own.random(rows) < 0.75 + 0.01 * number
        for row in range(rows):
            gold = task.labels[not positive[row]]
            other = task.labels[bool(positive[row])]
            yield Prediction(
                name,
                task,
                f"{row}",
                f"prompt {row // 3} " * 20,
                "response " * 50,
                gold,
                None if row % 97 == 0 else (gold if right[row] else other),
                error="no answers block",
                raw="reasoning step " * 100,
                probability=float(own.random()),
                tokens=200,
                seconds=0.1,
                category="abcdef"[row % 6],
            )


def evaluation(folder: Path, number: int) -> Evaluation:
    """One moderator's folder."""
    rows = {name: BENCHMARKS[name].published_rows or 0 for name in PAPER}
    info = EvaluationInfo(
        name=f"run {number}",
        kind="adapter",
        reference=f"/run/{number}",
        mode="reason",
        benchmarks=[
            BenchmarkInfo(name=name, task=BENCHMARKS[name].task, rows=count, of_rows=count)
            for name, count in rows.items()
        ],
    )
    return write_evaluation(folder, info, predictions(number))


def main() -> None:
    """Prints a table."""
    with tempfile.TemporaryDirectory() as home:
        made = [evaluation(Path(home) / f"{number}", number) for number in range(RUNS)]
        print(f"{RUNS} evaluations of {made[0].info.rows:,} rows")
        print("| form | seconds | characters |\n|---|---|---|")
        for form in FORMS:
            began = time.perf_counter()
            text = report(made, form)
            print(f"| {form} | {time.perf_counter() - began:.1f} | {len(text):,} |")
        print(f"peak {peak_memory() / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
