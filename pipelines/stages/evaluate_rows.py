"""The rows that an evaluation is about: of benchmarks, of hard samples, of stored answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pipelines.asking import NO_LABEL, row_ids
from pipelines.benchmark_reading import sampled
from pipelines.benchmarks import BENCHMARKS, BenchmarkRows, read_benchmark
from pipelines.dataset_files import data_files, sha256_of
from pipelines.evaluations import BenchmarkInfo, Prediction
from pipelines.gate_lines import TASKS
from pipelines.hard_samples import hardness
from pipelines.pair_sets import describe_pair_set, read_samples
from pipelines.schema import GuardExample, GuardTask, InputError
from pipelines.stages.data import is_to_come
from pipelines.stored_predictions import StoredPrediction, benchmark_of, read_predictions
from pipelines.subjects import Subject

HARD = "HardSamples"


class Wanted(Protocol):
    """Which rows a config names; fields as in the stage's own."""

    benchmarks: list[str]
    folder: str
    hard_samples: str
    max_rows: int
    seed: int
    prediction_task: GuardTask | None


@dataclass(frozen=True)
class Asked:
    """The rows of one benchmark as they are asked, each with an id that other subjects' rows of
    the same conversation have too."""

    info: BenchmarkInfo
    examples: Sequence[GuardExample]

    @property
    def benchmark(self) -> str:
        return self.info.name

    @property
    def task(self) -> GuardTask:
        return self.info.task


@dataclass(frozen=True)
class StoredAnswers:
    """A subject's stored answers, file by file: the rows and what was said of each."""

    subject: Subject
    asked: Sequence[Asked]
    answers: Sequence[Sequence[StoredPrediction]]

    @property
    def rows(self) -> int:
        return sum(len(one.examples) for one in self.asked)

    def predictions(self) -> Iterator[Prediction]:
        """Read by the authors' rule, as the published scores were."""
        for asked, answers in zip(self.asked, self.answers, strict=True):
            for example, answer in zip(asked.examples, answers, strict=True):
                label = answer.read(asked.task)
                yield Prediction(
                    benchmark=asked.benchmark,
                    task=asked.task,
                    row_id=example.row_id,
                    prompt=answer.prompt,
                    response=answer.response,
                    gold=answer.gold,
                    predicted=label,
                    error="" if label else NO_LABEL,
                    raw=answer.predict,
                    category=answer.category,
                    source=answer.source,
                )


def read_benchmarks(config: Wanted) -> list[Asked]:
    """All rows that are asked. Raises InputError for a name that is given twice, and what reading
    a benchmark raises; rows that a job has yet to make are none so far."""
    found = [
        part
        for ref in config.benchmarks
        if not is_to_come(ref)
        for part in read_benchmark(
            ref, folder=config.folder or None, max_rows=config.max_rows, seed=config.seed
        )
    ]
    if config.hard_samples and not is_to_come(config.hard_samples):
        found += [
            sampled(one, config.max_rows, config.seed)
            for one in hard_benchmarks(config.hard_samples)
        ]
    names = [one.benchmark for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"benchmarks={', '.join(twice)}: named twice")
    return [as_asked(one, config) for one in found]


def as_asked(rows: BenchmarkRows, config: Wanted) -> Asked:
    """A benchmark's rows with ids that other subjects' rows have too."""
    sample = len(rows.examples) if len(rows.examples) < rows.of_rows else None
    info = BenchmarkInfo(
        name=rows.benchmark,
        task=rows.task,
        rows=len(rows.examples),
        of_rows=rows.of_rows,
        published_rows=rows.published_rows,
        sample=sample,
        seed=config.seed,
        remarks=rows.remarks,
        sha256=rows.sha256,
        reference=rows.reference,
    )
    return Asked(info, with_ids(rows.examples, rows.task))


def with_ids(examples: Sequence[GuardExample], task: GuardTask) -> list[GuardExample]:
    """The same rows with ids by their conversations and labels."""
    return [
        replace(example, row_id=row_id)
        for example, row_id in zip(examples, row_ids(examples, task), strict=True)
    ]


def hard_benchmarks(ref: str) -> list[BenchmarkRows]:
    """The hard samples of a pair set, as a benchmark a task; `HardSamples/prompt` and so on.

    They were chosen because a moderator was unsure of them in one draw. A second look at them is
    better for that alone, so only two moderators that are both asked anew can be compared.
    """
    samples = [one for one in read_samples(ref) if hardness(one) == "hard"]
    sha256 = str(describe_pair_set(ref)["sha256"])
    found = []
    for word, task in TASKS.items():
        examples = [one.example for one in samples if one.task is task]
        examples = [replace(one, gold={task: one.gold[task]}) for one in examples]
        if examples:
            rows, name = len(examples), f"{HARD}/{word}"
            remarks = ["chosen for being hard for one moderator: compare moderators, no more"]
            found.append(BenchmarkRows(name, task, examples, rows, None, remarks, sha256, ref))
    if not found:
        raise InputError(f"hard_samples={ref}: the set has no hard sample")
    return found


def read_stored(subject: Subject, config: Wanted) -> StoredAnswers:
    """All answers of a file, or of a folder's files.

    Raises DataError with every fault, and InputError for a file that is neither named after a
    benchmark nor told of by `prediction_task`, and for one that holds a benchmark again.
    """
    asked: list[Asked] = []
    answers: list[list[StoredPrediction]] = []
    for file in data_files(Path(subject.reference).expanduser()):
        name, task = _stored_task(file, config)
        rows = list(read_predictions(file, task))
        examples = [
            GuardExample(
                one.prompt,
                one.response,
                {task: one.gold},
                source=one.source,
                category=one.category,
            )
            for one in rows
        ]
        if name in (one.benchmark for one in asked):
            raise InputError(f"predictions={file}: {name} is in {subject.reference} twice")
        published = BENCHMARKS[name].published_rows if name in BENCHMARKS else None
        remarks = []
        if published and published != len(rows):
            remarks.append(f"{len(rows):,} rows, where the paper counts {published:,}")
        info = BenchmarkInfo(
            name=name,
            task=task,
            rows=len(rows),
            of_rows=len(rows),
            published_rows=published,
            remarks=remarks,
            sha256=sha256_of([file]),
            reference=str(file),
        )
        asked.append(Asked(info, with_ids(examples, task)))
        answers.append(rows)
    return StoredAnswers(subject, asked, answers)


def _stored_task(file: Path, config: Wanted) -> tuple[str, GuardTask]:
    for task in GuardTask:
        name = benchmark_of(file, task)
        if name and BENCHMARKS[name].task is task:
            return name, task
    if config.prediction_task is None:
        raise InputError(
            f"predictions={file}: not named after a benchmark (such as SafeRLHF.jsonl), so its "
            f"task isn't known; set prediction_task to one of {', '.join(GuardTask)}"
        )
    return file.stem, config.prediction_task
