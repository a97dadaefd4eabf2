"""A benchmark's rows, from a file in a folder or from the Hub, checked and sampled.

A file is in the authors' form (`instruction`, `input`, `output` with the gold label or an
`Answers:` block) or in the dataset's own columns.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.benchmark_catalogue import PAPER, Benchmark
from pipelines.dataset_files import (
    SUFFIXES,
    Faults,
    Record,
    hub_records,
    read_records,
    sha256_of,
)
from pipelines.dataset_formats import RowError, check_storable, to_example
from pipelines.datasets import row_id_of
from pipelines.schema import DataError, GuardExample, GuardTask, HubError, InputError
from pipelines.stratified import stratified

logger = logging.getLogger(__name__)

BESIDE = ("annotations", "binary")
_AUTHORS = {"input", "output", "instruction"}


@dataclass(frozen=True)
class BenchmarkRows:
    """The rows of one benchmark on one task: each example's `gold` has that task's label.

    `of_rows` is the number before sampling. `remarks` say what a reader of its scores should
    know: another number of rows than the published one, rows left out, repeated conversations.
    `reference` is the file, or where on the Hub; `sha256` is of the whole of it. Row ids are the
    rows' own, else `NAME:row` with the row's number in the file, as it was before sampling.
    """

    benchmark: str
    task: GuardTask
    examples: list[GuardExample]
    of_rows: int
    published_rows: int | None
    remarks: list[str]
    sha256: str
    reference: str


def file_of(benchmark: Benchmark, folder: str | None, *, beside: bool = False) -> Path | None:
    """The benchmark's file in the folder, or None; `beside` looks in BESIDE's folders too, below
    it and next to it. Raises InputError where the folder is none, or holds two such files."""
    if folder is None:
        return None
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"folder={folder}: there is no such folder")
    places = [root, *(place / name for place in (root, root.parent) for name in BESIDE if beside)]
    stems = (benchmark.name, *benchmark.files)
    for place in places:
        found = [
            place / f"{stem}{suffix}"
            for stem in stems
            for suffix in SUFFIXES
            if (place / f"{stem}{suffix}").is_file()
        ]
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise InputError(f"folder={folder}: holds {names}; {benchmark.name} must be one file")
        if found:
            return found[0]
    return None


def read_whole(benchmark: Benchmark, folder: str | None, file: Path | None = None) -> BenchmarkRows:
    """All rows of a benchmark: of `file`, else of the folder's, else from the Hub.

    Raises DataError with all faults (`file:row: field: what`) and for a benchmark without rows,
    HubError or InputError where it can't be had.
    """
    path = file or file_of(benchmark, folder)
    faults, digest = Faults(), hashlib.sha256()
    if path:
        records: Iterable[Record] = read_records(path, path.name, faults)
        examples, left_out = _examples(benchmark, records, faults, benchmark.name)
        reference = str(path)
    else:
        rows = _from_hub(benchmark, folder)
        for record in rows:
            digest.update(json.dumps(record.values, sort_keys=True, default=str).encode())
        records = benchmark.arrange(rows, faults) if benchmark.arrange else rows
        examples, left_out = _examples(benchmark, records, faults, "")
        reference = f"hub:{benchmark.hub}"
    faults.raise_any(f"{benchmark.name} ({reference})")
    if not examples:
        raise DataError(f"benchmark={benchmark.name}: {reference} holds no row of it")
    remarks = [*_count_remarks(benchmark, len(examples), left_out), *_remarks(benchmark, examples)]
    for remark in remarks:
        logger.info("%s: %s", benchmark.name, remark)
    return BenchmarkRows(
        benchmark.name,
        benchmark.task,
        examples,
        len(examples),
        benchmark.published_rows,
        remarks,
        sha256_of([path]) if path else digest.hexdigest(),
        reference,
    )


def sampled(rows: BenchmarkRows, max_rows: int, seed: int) -> BenchmarkRows:
    """The same with at most so many rows, 0 for all; the shares of labels and kinds are kept."""
    labels = [example.gold[rows.task] for example in rows.examples]
    return replace(rows, examples=stratified(rows.examples, labels, max_rows, seed))


def _from_hub(benchmark: Benchmark, folder: str | None) -> list[Record]:
    names = " or ".join(f"{stem}.json" for stem in (benchmark.name, *benchmark.files))
    missing = f", and {folder} holds no {names}" if folder else ""
    hub = benchmark.hub
    if hub is None:
        raise InputError(
            f"benchmark={benchmark.name}: no dataset on the Hub holds it{missing}",
            advice=f"Give a folder that holds {names} (also .jsonl, .csv, .parquet).",
        )
    try:
        return list(hub_records(hub.dataset, hub.split, hub.config, hub.revision))
    except HubError as error:
        raise HubError(
            f"benchmark={benchmark.name}: {hub} can't be read{missing} ({error})",
            advice=f"Give a folder that holds {names}, or check the network and HF_TOKEN and, on "
            f"the Hub, the conditions of {hub.dataset}.",
        ) from error


def _examples(
    benchmark: Benchmark, records: Iterable[Record], faults: Faults, name: str
) -> tuple[list[GuardExample], int]:
    """(examples, number of rows left out); what is wrong goes to `faults`."""
    examples: list[GuardExample] = []
    seen: set[str] = set()
    left_out = 0
    for record in records:
        try:
            example = read_row(benchmark, record.values)
        except RowError as error:
            faults.add(record.file, record.row, error.name, error.what)
            continue
        if example is None:
            left_out += 1
            continue
        row_id = row_id_of(replace(record, file=name or record.file), seen)
        examples.append(replace(example, row_id=row_id, source=example.source or benchmark.name))
    return examples, left_out


def read_row(benchmark: Benchmark, values: Mapping[str, Any]) -> GuardExample | None:
    """The row's example with a label of the benchmark's task, None for a row that falls out.

    Raises RowError for a row without that label, or with one of another task.
    """
    task = benchmark.task
    if "predict" in values:
        raise RowError("predict", "a stored prediction, where a benchmark's row should be")
    if not _AUTHORS & set(values):
        example = benchmark.to_example(values)
    else:
        example, _ = to_example(values, benchmark.name, "", task)
        if task not in example.gold:
            if benchmark.partial:
                return None
            found = ", ".join(example.gold)
            raise RowError("output", f"has no label of {task} (it has one of {found})")
    if example is None:
        return None
    if not example.applicable(task):
        raise RowError("response", f"{task} needs a response, and the row has none")
    texts = {"prompt": example.prompt, "response": example.response, "category": example.category}
    for name, text in texts.items():
        check_storable(text or "", name)
    return example


def _count_remarks(benchmark: Benchmark, rows: int, left_out: int) -> list[str]:
    remarks = []
    published = benchmark.published_rows
    if published is not None and rows != published:
        by = "the paper's averages count" if benchmark.name in PAPER else "there should be"
        remarks.append(f"{counted(rows, 'row')}, where {by} {published:,}")
    if left_out:
        remarks.append(f"rows left out, without this label or not of the benchmark: {left_out:,}")
    return remarks


def _remarks(benchmark: Benchmark, examples: list[GuardExample]) -> list[str]:
    """What the labels and the repetitions mean for a score."""
    task, remarks = benchmark.task, []
    labels: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for example in examples:
        labels[(example.prompt, example.response)].add(example.gold[task])
    if repeated := len(examples) - len(labels):
        both = sum(len(found) > 1 for found in labels.values())
        more = f", {counted(both, 'conversation')} with both labels" if both else ""
        again = "row repeats" if repeated == 1 else "rows repeat"
        remarks.append(f"{repeated:,} {again} a conversation{more}")
    found = {example.gold[task] for example in examples}
    if len(found) == 1:
        remarks.append(f"every row is {found.pop()}: one answer to everything is right on all")
    return remarks


def counted(number: int, thing: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
