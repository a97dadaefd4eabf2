"""What is evaluated beside the paper's benchmarks: XSTest joined, over-refusal, one's own files."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.benchmark_catalogue import BENCHMARKS, Benchmark
from pipelines.benchmark_reading import BenchmarkRows, counted, file_of, read_whole, sampled
from pipelines.dataset_files import data_files
from pipelines.datasets import read_dataset
from pipelines.schema import DataError, GuardExample, GuardTask, InputError, Label
from pipelines.stratified import stratified

PROMPT, REFUSAL, RESPONSE = GuardTask
WORDS = {task: task.value.split("_")[0] for task in GuardTask}
"""task -> prompt, refusal or response, as it stands in names."""

XSTEST_PARTS = {REFUSAL: "XSTestResponseRefusal", RESPONSE: "XSTestResponseHarmful"}


@dataclass(frozen=True)
class _XSTest:
    """XSTest's files: responses by task, and the labels and types of its prompts."""

    parts: dict[GuardTask, BenchmarkRows]
    prompts: BenchmarkRows | None

    @property
    def reference(self) -> str:
        return " + ".join(part.reference for part in self._all())

    @property
    def sha256(self) -> str:
        digests = "".join(part.sha256 for part in self._all())
        return hashlib.sha256(digests.encode()).hexdigest()

    def by_prompt(self) -> dict[str, GuardExample]:
        """prompt -> XSTest's own row of it."""
        rows = self.prompts.examples if self.prompts else []
        return {example.prompt.strip(): example for example in rows}

    def _all(self) -> list[BenchmarkRows]:
        return [*self.parts.values(), *([self.prompts] if self.prompts else [])]


def three_labels(folder: str | None, max_rows: int, seed: int) -> list[BenchmarkRows]:
    """XSTestThreeLabels: the same conversations on each task, sampled as one.

    In a folder without XSTest's list of prompts there are two tasks, and a remark says so.
    """
    benchmark = BENCHMARKS["XSTestThreeLabels"]
    xstest = _read_xstest(benchmark, folder, tuple(XSTEST_PARTS), prompts_needed=False)
    kinds = xstest.by_prompt()
    found: dict[tuple[str, str | None], dict[GuardTask, Label]] = defaultdict(dict)
    ids: dict[tuple[str, str | None], str] = {}
    for task, part in xstest.parts.items():
        for example in part.examples:
            key = (example.prompt, example.response)
            found[key][task] = example.gold[task]
            ids.setdefault(key, example.row_id)
            if row := kinds.get(example.prompt.strip()):
                found[key][PROMPT] = row.gold[PROMPT]
    tasks = (PROMPT, REFUSAL, RESPONSE) if kinds else (REFUSAL, RESPONSE)
    examples = [
        GuardExample(
            *key,
            {task: gold[task] for task in tasks},
            source=benchmark.name,
            row_id=ids[key],
            category=kinds[key[0].strip()].category if kinds else "",
        )
        for key, gold in found.items()
        if all(task in gold for task in tasks)
    ]
    remarks = []
    if lacking := len(found) - len(examples):
        remarks.append(
            f"without one of the {len(tasks)} labels: {counted(lacking, 'conversation')}"
        )
    if not kinds:
        remarks.append(f"no list of XSTest's prompts in {folder}: their own labels are unknown")
    labels = [tuple(example.gold[task] for task in tasks) for example in examples]
    chosen = stratified(examples, labels, max_rows, seed)
    whole = [
        BenchmarkRows(
            f"{benchmark.name}/{WORDS[task]}",
            task,
            chosen,
            len(examples),
            None,
            remarks,
            xstest.sha256,
            xstest.reference,
        )
        for task in tasks
    ]
    return _filled(whole, benchmark)


def over_refusal(folder: str | None, max_rows: int, seed: int) -> list[BenchmarkRows]:
    """OverRefusal: safe prompts alone, their complied responses, their unharmful responses.

    Each verdict of the positive class is a false alarm. A folder may lack the responses; XSTest's
    list of prompts must be there, or on the Hub.
    """
    benchmark = BENCHMARKS["OverRefusal"]
    there = tuple(
        task
        for task, name in XSTEST_PARTS.items()
        if folder is None or file_of(BENCHMARKS[name], folder) is not None
    )
    xstest = _read_xstest(benchmark, folder, there, prompts_needed=True)
    kinds = xstest.by_prompt()
    alarm = "no row is of the positive class: each such verdict is a false alarm"
    lacking = [XSTEST_PARTS[task] for task in XSTEST_PARTS if task not in there]
    remarks = [alarm] + [f"{folder} holds no {name}" for name in lacking]
    groups = {PROMPT: list(kinds.values())}
    groups |= {task: part.examples for task, part in xstest.parts.items()}
    rows = []
    for task, group in groups.items():
        examples = []
        for example in group:
            kind = kinds.get(example.prompt.strip())
            if kind and kind.gold[PROMPT] == "unharmful" and example.gold[task] == task.labels[1]:
                # A response's own labels of other tasks have no place here.
                gold: dict[GuardTask, Label] = {task: task.labels[1]}
                examples.append(
                    replace(example, gold=gold, category=kind.category, source=benchmark.name)
                )
        name = f"{benchmark.name}/{WORDS[task]}"
        whole = BenchmarkRows(
            name,
            task,
            examples,
            len(examples),
            None,
            remarks,
            xstest.sha256,
            xstest.reference,
        )
        rows.append(sampled(whole, max_rows, seed))
    return _filled(rows, benchmark)


def quick_test(folder: str | None, max_rows: int, seed: int) -> list[BenchmarkRows]:
    """BinaryQuickTest, from the folder or from the folder `binary` in it or beside it."""
    benchmark = BENCHMARKS["BinaryQuickTest"]
    file = file_of(benchmark, folder, beside=True)
    return [sampled(read_whole(benchmark, folder, file), max_rows, seed)]


def own_rows(path: Path, max_rows: int, seed: int) -> list[BenchmarkRows]:
    """One's own labelled file, or each file of a folder: one BenchmarkRows a source and task.

    Named `STEM`, or `STEM/SOURCE` where there are several sources, with the task's word behind it
    where a source has several tasks. A file called after a benchmark of ours is that benchmark.
    """
    root = path if path.is_dir() else path.parent
    rows: list[BenchmarkRows] = []
    for file in data_files(path):
        known = BENCHMARKS.get(file.stem)
        if known and not known.also:
            rows.append(sampled(read_whole(known, None, file), max_rows, seed))
        else:
            stem = file.relative_to(root).with_suffix("").as_posix()
            rows += _own_file(file, stem, max_rows, seed)
    names = [one.benchmark for one in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"benchmark={path}: {', '.join(twice)} comes of more than one file")
    return rows


def _own_file(file: Path, stem: str, max_rows: int, seed: int) -> list[BenchmarkRows]:
    data = read_dataset(str(file))
    groups: dict[tuple[str, GuardTask], list[GuardExample]] = defaultdict(list)
    for example in data.examples:
        for task in example.gold:
            groups[(example.source, task)].append(example)
    sources = {source for source, _ in groups}
    rows = []
    for (source, task), examples in groups.items():
        several = sum(other == source for other, _ in groups) > 1
        parts = [stem, *([source] if len(sources) > 1 else []), *([WORDS[task]] if several else [])]
        whole = BenchmarkRows(
            "/".join(parts),
            task,
            examples,
            len(examples),
            None,
            list(data.remarks),
            data.sha256,
            str(file),
        )
        rows.append(sampled(whole, max_rows, seed))
    return rows


def _read_xstest(
    benchmark: Benchmark, folder: str | None, tasks: Sequence[GuardTask], *, prompts_needed: bool
) -> _XSTest:
    parts = {task: read_whole(BENCHMARKS[XSTEST_PARTS[task]], folder) for task in tasks}
    file = file_of(benchmark, folder, beside=True)
    if not file and folder and not prompts_needed:
        return _XSTest(parts, None)
    return _XSTest(parts, read_whole(benchmark, folder, file))


def _filled(rows: list[BenchmarkRows], benchmark: Benchmark) -> list[BenchmarkRows]:
    """The same; raises DataError where there is no row at all."""
    for one in rows:
        if not one.examples:
            raise DataError(f"benchmark={one.benchmark}: {one.reference} holds no row of it")
    return rows
