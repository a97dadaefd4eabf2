"""Files and Hub datasets as numbered rows, with every fault of theirs collected.

Nothing here knows what a row means; `dataset_formats` does.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.schema import DataError, HubError

SUFFIXES = (".json", ".jsonl", ".parquet", ".csv")
SHOWN_FAULTS = 50
_WHOLE = ("data", "rows", "examples")


@dataclass(frozen=True, slots=True)
class Record:
    """One row. `row` counts from 1: the line for JSONL and CSV, else the place in the file."""

    file: str
    row: int
    values: dict[str, Any]
    split: str = ""


@dataclass(slots=True)
class Faults:
    """Gathers `file:row: field: what` lines; keeps the first fifty and counts the others."""

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, file: str, row: int | None, name: str, what: str) -> None:
        self.count += 1
        if len(self.lines) < SHOWN_FAULTS:
            place = f"{file}:{row}" if row else file
            self.lines.append(f"{place}: {name}: {what}")

    def raise_any(self, dataset: str) -> None:
        """Raises one DataError with all that was gathered, or nothing."""
        if not self.count:
            return
        more = self.count - len(self.lines)
        lines = [*self.lines, f"and {more:,} more"] if more else self.lines
        head = f"dataset={dataset}: {self.count:,} fault{'s' if self.count > 1 else ''}"
        raise DataError(f"{head}; the first: {lines[0]}", lines)


def data_files(path: Path) -> list[Path]:
    """The file itself, or the data files below a folder in a fixed order."""
    if path.is_dir():
        found = [
            file
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in SUFFIXES
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        if not found:
            raise DataError(f"dataset={path}: the folder has no {', '.join(SUFFIXES)} file")
        return found
    if not path.exists():
        raise DataError(f"dataset={path}: there is no such file or folder")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"dataset={path}: {path.suffix or 'no suffix'} is not read "
            f"(allowed: {', '.join(SUFFIXES)})"
        )
    return [path]


def sha256_of(paths: Iterable[Path]) -> str:
    """Digest of the files' bytes, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def read_records(path: Path, name: str, faults: Faults) -> Iterator[Record]:
    """The rows of one file, which faults call `name`."""
    readers = {".json": _json, ".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    try:
        yield from readers[path.suffix.lower()](path, name, faults)
    except OSError as error:
        faults.add(name, None, "file", f"cannot be read ({error.strerror or error})")


def _lines(path: Path, name: str, faults: Faults) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                faults.add(name, number, "line", _not_utf8(error))


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte 0x{error.object[error.start]:02x} at position {error.start + 1})"


def _jsonl(path: Path, name: str, faults: Faults) -> Iterator[Record]:
    for number, line in _lines(path, name, faults):
        if not line.strip():
            continue
        try:
            row = json.loads(line.rstrip())
        except (json.JSONDecodeError, RecursionError) as error:
            faults.add(name, number, "line", _not_json(error))
            continue
        yield from _record(name, number, row, "", faults)


def _not_json(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}, column {error.colno})"
    return "not JSON that can be read (nested too deeply)"


def _record(name: str, number: int, row: Any, split: str, faults: Faults) -> Iterator[Record]:
    if isinstance(row, dict):
        yield Record(name, number, row, split)
    else:
        faults.add(name, number, "row", f"must be an object, is {kind_of(row)}")


def kind_of(value: object) -> str:
    """A JSON value's type in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    for types, word in (((int, float), "a number"), (str, "text"), (list, "a list")):
        if isinstance(value, types):
            return word
    return "an object" if isinstance(value, dict) else type(value).__name__


def _json(path: Path, name: str, faults: Faults) -> Iterator[Record]:
    raw = path.read_bytes()
    try:
        content = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        faults.add(name, line, "file", f"not UTF-8 (byte 0x{raw[error.start]:02x})")
        return
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # one object a line, under the wrong suffix
            yield from _jsonl(path, name, faults)
        else:
            faults.add(name, error.lineno, "file", _not_json(error))
        return
    except RecursionError as error:
        faults.add(name, None, "file", _not_json(error))
        return
    parts = content if isinstance(content, dict) else {"data": content}
    if not parts or not all(isinstance(rows, list) for rows in parts.values()):
        faults.add(name, None, "file", "must hold a list of rows, or an object of such lists")
        return
    number = 0
    for part, rows in parts.items():
        for row in rows:
            number += 1
            yield from _record(name, number, row, "" if part in _WHOLE else part, faults)


def _csv(path: Path, name: str, faults: Faults) -> Iterator[Record]:
    csv.field_size_limit(1 << 30)  # the module's own limit, 128 KiB, is less than a long answer
    reader = csv.reader((line for _, line in _lines(path, name, faults)), strict=True)
    line = 1
    try:
        header = [cell.strip() for cell in next(reader, [])]
        twice = sorted({cell for cell in header if header.count(cell) > 1})
        if twice:
            faults.add(name, 1, "header", f"names {', '.join(twice)} more than once")
            return
        line = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(header):
                what = f"has {len(cells)} cells where the header has {len(header)}"
                faults.add(name, line, "row", what)
            elif cells:
                yield Record(name, line, dict(zip(header, cells, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        faults.add(name, line, "row", f"not CSV ({error})")


def _parquet(path: Path, name: str, faults: Faults) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    number += 1
                    yield Record(name, number, row)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        faults.add(name, number + 1 if number else None, "file", f"not Parquet ({error})")


def hub_records(
    ref: str, split: str | None, config: str | None = None, revision: str | None = None
) -> Iterator[Record]:
    """The rows of a Hub dataset (of one configuration, at one revision), all its splits or one.

    Raises HubError.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HTTPError

    wanted = f"split {split}" if split else "all splits"
    try:
        # No dataset brings code of its own: datasets 4 and later never run any.
        which = {"name": config, "revision": revision}
        given = {name: value for name, value in which.items() if value}
        loaded = load_dataset(ref, split=split, **given)
    except (DatasetsError, HTTPError, OSError, RuntimeError, ValueError) as e:
        reason = re.sub(r"\s+", " ", str(e))[:200] or type(e).__name__
        raise HubError(
            f"dataset={ref}: the Hub did not give it (tried {wanted}): {reason}",
            advice="Check the name, the network and, for a private or gated dataset, HF_TOKEN.",
        ) from e
    for part, rows in {split: loaded}.items() if split else loaded.items():
        for number, row in enumerate(rows, 1):
            yield Record(f"{ref}/{part}", number, dict(row), str(part))
