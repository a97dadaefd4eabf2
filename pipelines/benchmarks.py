"""The benchmarks by name, their rows, and telling whether rows come from one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pipelines.benchmark_catalogue import BENCHMARKS, PAPER, Benchmark, Hub
from pipelines.benchmark_extras import (
    XSTEST_PARTS,
    over_refusal,
    own_rows,
    quick_test,
    three_labels,
)
from pipelines.benchmark_reading import BenchmarkRows, file_of, read_whole, sampled
from pipelines.dataset_files import SUFFIXES
from pipelines.schema import InputError

__all__ = [
    "BENCHMARKS",
    "PAPER",
    "Benchmark",
    "BenchmarkRows",
    "Hub",
    "benchmark_rows",
    "benchmark_warning",
    "in_folder",
    "read_benchmark",
]

_EXTRAS = {
    "XSTestThreeLabels": three_labels,
    "OverRefusal": over_refusal,
    "BinaryQuickTest": quick_test,
}

# What the benchmarks are called elsewhere, and what their files' names have in common.
_STEMS = {re.sub(r"(Prompt|Response|Refusal|Harmful)+$", "", name).lower() for name in PAPER}
_HELD_OUT = {"test", "tests", "eval", "evaluation", "validation", "val", "heldout", "benchmark"}


def read_benchmark(
    ref: str, *, folder: str | None = None, max_rows: int = 0, seed: int = 0
) -> list[BenchmarkRows]:
    """The rows of a benchmark by name, of the folder's file where it holds one, else of the Hub;
    or of a labelled file or a folder of such files by path.

    One item a benchmark and task: XSTestThreeLabels, OverRefusal and files with several sources
    or tasks give more than one. `max_rows` takes a seeded sample of each, 0 all rows. Raises
    DataError with all faults as `file:row: field: what`, and InputError or HubError for a
    benchmark that is unknown or can't be had from here.
    """
    if ref in _EXTRAS:
        return _EXTRAS[ref](folder, max_rows, seed)
    if ref in BENCHMARKS:
        return [sampled(read_whole(BENCHMARKS[ref], folder), max_rows, seed)]
    path = Path(ref).expanduser()
    if path.exists() or path.suffix.lower() in SUFFIXES:
        return own_rows(path, max_rows, seed)
    raise InputError(
        f"benchmark={ref}: neither a benchmark's name nor a file or folder "
        f"(known: {', '.join(BENCHMARKS)})"
    )


def in_folder(name: str, folder: str) -> bool:
    """Whether the folder holds what `read_benchmark` reads of this benchmark, without the Hub.

    Raises InputError where the folder is none or holds two files of the benchmark.
    """
    benchmark = BENCHMARKS[name]
    if name == "XSTestThreeLabels":
        return all(file_of(BENCHMARKS[part], folder) for part in XSTEST_PARTS.values())
    return file_of(benchmark, folder, beside=name in _EXTRAS) is not None


def benchmark_rows(dataset: str, split: str, sources: Iterable[str]) -> list[str]:
    """The names, of the rows' sources or of the dataset and its split, that tell of a test set.

    Empty where nothing does. A name with `train` in it is a training set, as those that are
    called after the same project are.
    """
    named = sorted({source for source in sources if _is_benchmark(source)})
    if named:
        return named
    file = re.split(r"[/\\]", dataset.rstrip("/\\"))[-1]
    stem = re.sub(r"\.(jsonl?|parquet|csv)$", "", file, flags=re.I)
    return [name for name in dict.fromkeys((stem, split)) if _is_benchmark(name)]


def benchmark_warning(named: Iterable[str]) -> str:
    """What to tell a person who is about to mine these."""
    return (
        f"{', '.join(named)}: by their names these rows are of a benchmark or a test split. "
        "Mining is meant for training rows: a moderator trained on what is found here has seen "
        "that test, and its scores there count for nothing. The pair set records it."
    )


def _is_benchmark(name: str) -> bool:
    joined = re.sub(r"[^a-z0-9]", "", name.lower())
    if "train" in joined:
        return False
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    pairs = "heldout" in joined
    return pairs or bool(words & _HELD_OUT) or any(stem in joined for stem in _STEMS)
