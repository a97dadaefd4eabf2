"""A home with as many hard samples as wanted, to look at the inspector and to time it.

    PYTHONPATH=. python tests/bench/inspector_home.py HOME [--samples N] [--real FOLDER]
    GUARDUI_HOME=HOME python app.py

With the folder of real data (predictions of published models and traces) the first samples have
real texts: several models' answers to one conversation stand for the k answers of one. The rest
is made of words that mean nothing, as in `tests/bench/inspector_data.py`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from db import jobs
from db.models import now
from db.session import Database, open_database
from pipelines.hard_samples import find_all_wrong, find_hard_sample, weigh
from pipelines.jobs.sample_rows import store_samples
from pipelines.schema import GuardExample, GuardTask, HardSample, Label
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from pipelines.template import GuardTemplate
from tests.bench.inspector_data import make_samples

TASKS = {"Prompt": GuardTask.PROMPT_HARMFULNESS, "Refusal": GuardTask.REFUSAL}
SAMPLING = {"k": 4, "temperature": 0.7, "top_p": 0.95, "seed": 42, "max_new_tokens": 2048}
Conversation = tuple[str, str | None]


def task_of(benchmark: str) -> GuardTask:
    """The one task that a benchmark has gold labels for, by its name."""
    if benchmark.startswith(("Aegis", "SimpleSafety")):
        return GuardTask.PROMPT_HARMFULNESS
    found = [task for ending, task in TASKS.items() if benchmark.endswith(ending)]
    return found[0] if found else GuardTask.RESPONSE_HARMFULNESS


def real_answers(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(benchmark, input, gold label, answer) of every prediction and trace."""
    for file in sorted((folder / "predictions").glob("*/*.jsonl")):
        for line in file.read_text("utf-8").split("\n"):
            if line.strip():
                row = json.loads(line)
                yield file.stem, row["prompt"], row["label"], row["predict"]
    traces = folder / "traces" / "train.jsonl"
    for line in traces.read_text("utf-8").split("\n"):
        if line.strip():
            row = json.loads(line)
            yield row["benchmark"], row["input"], row["gold"], row["output"]


def real_samples(folder: Path) -> list[HardSample]:
    """The conversations that the published models disagree on, or are all wrong about."""
    template = GuardTemplate.default()
    head = template.input_layout.split("{prompt}")[0]
    answers: dict[Conversation, dict[str, None]] = defaultdict(dict)
    gold: dict[Conversation, dict[GuardTask, Label]] = defaultdict(dict)
    source: dict[Conversation, str] = {}
    for benchmark, text, label, answer in real_answers(folder):
        talk = template.split_input(text[text.index(head) :])
        answers[talk][answer] = None
        gold[talk][task_of(benchmark)] = label
        source.setdefault(talk, benchmark)
    found = []
    for number, (talk, texts) in enumerate(answers.items()):
        example = GuardExample(*talk, gold[talk], None, source[talk], f"{source[talk]}:{number}")
        verdicts = [template.parse(text, example) for text in list(texts)[:6]]
        model = f"artifact:{1 + number % 3}"
        sample = find_hard_sample(example, verdicts, model=model, sampling=SAMPLING)
        sample = sample or find_all_wrong(example, verdicts, model=model, sampling=SAMPLING)
        if sample:
            found.append(sample)
    return weigh(found, 0.2)


def fill(database: Database, count: int, folder: Path | None) -> int:
    """Stores a finished mining job with so many samples; its id."""
    found = real_samples(folder) if folder else []
    random.Random(0).shuffle(found)
    found = found[:count]
    found += make_samples(count - len(found)) if len(found) < count else []
    config = build_config(get_stage("mine"), "smollm2-demo", {"adapter": "artifact:1"})
    with database.write() as session:
        job = jobs.add_job(session, stage="mine", config=config.model_dump(mode="json"))
        job.state, job.step, job.total_steps = "succeeded", 1, 1
        job.started_at = job.finished_at = now()
    store_samples(database, job.id, found)
    return job.id


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--real", type=Path)
    given = parser.parse_args()
    database = open_database(f"sqlite:///{given.home / 'guardui.db'}")
    job = fill(database, given.samples, given.real)
    print(f"job {job}: {given.samples:,} samples in {given.home}")


if __name__ == "__main__":
    main()
