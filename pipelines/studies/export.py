"""A study's ratings as files: JSONL, Parquet, a Hub dataset with a card, pairs to train on.

No export holds a name: people are codes (`pipelines/studies/records.py`).
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.pair_export import SUFFIXES, export_pairs
from pipelines.preferences.results import StudyReport
from pipelines.schema import InputError
from pipelines.studies.card import study_card
from pipelines.studies.columns import arrow_schema, json_line, rating_row
from pipelines.studies.document import report_text
from pipelines.studies.pairs import write_preferred_pairs
from pipelines.studies.records import StudyRecords

Format = Literal["jsonl", "parquet", "dataset", "pairs"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet", "dataset", "pairs")


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that were written, and how many ratings or pairs are in them."""

    files: tuple[Path, ...]
    count: int
    what: Literal["rating", "pair"] = "rating"


def export_study(
    records: StudyRecords,
    report: StudyReport,
    format: str,
    target: Path,
    *,
    keep_wrong: bool = False,
) -> Exported:
    """Writes the study in this format.

    `target` is a file for jsonl and parquet, a new or empty folder for dataset, and for pairs a
    folder (a pair set, as HS-DPO takes it) or a file of TRL's form (.jsonl, .parquet); only pairs
    know `keep_wrong`. Raises InputError for another format, another ending, a place that can't be
    written or a folder that holds something, DataError without any pair.
    """
    if format not in FORMATS:
        raise InputError(f"format={format}: must be one of {', '.join(FORMATS)}")
    _check_target(format, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if format == "pairs":
            return _write_pairs(records, target, keep_wrong)
        if format == "dataset":
            files = write_dataset(records, report, target)
        else:
            {"jsonl": write_jsonl, "parquet": write_parquet}[format](records, target)
            files = [target]
    except OSError as error:
        raise InputError(
            f"to={target}: can't be written ({error.strerror or error}); must be in a folder that "
            "can"
        ) from None
    return Exported(tuple(files), len(records.shared))


def _check_target(format: str, target: Path) -> None:
    """Raises InputError where the name or what is there doesn't fit the format."""
    ending = target.suffix.lower()
    if format in ("jsonl", "parquet"):
        if target.is_dir():
            raise InputError(f"to={target}: is a folder; must be a file that ends in .{format}")
        if ending != f".{format}":
            raise InputError(f"to={target}: must end in .{format} with format={format}")
    if format == "pairs" and ending and ending not in SUFFIXES:
        raise InputError(
            f"to={target}: must be a folder, without an ending, or end in {' or '.join(SUFFIXES)}"
        )


def _write_pairs(records: StudyRecords, target: Path, keep_wrong: bool) -> Exported:
    """A pair set, or its rows in TRL's form where the target has the ending of a file."""
    if target.suffix:
        with tempfile.TemporaryDirectory(prefix="guardui-pairs-") as folder:
            write_preferred_pairs(records, Path(folder), keep_wrong=keep_wrong)
            return Exported((target,), export_pairs(folder, target), "pair")
    count = int(write_preferred_pairs(records, target, keep_wrong=keep_wrong)["rows"])
    return Exported(tuple(sorted(target.iterdir())), count, "pair")


def rows(records: StudyRecords) -> Iterator[dict[str, Any]]:
    """Each rating as a row of `study_columns.COLUMNS`, counted or not; none of people who
    withdrew, whose wish it is not to be passed on."""
    return (rating_row(one, records.facts) for one in records.shared)


def write_jsonl(records: StudyRecords, target: Path) -> None:
    """One JSON object a line."""
    with target.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(map(json_line, rows(records)))


def write_parquet(records: StudyRecords, target: Path) -> None:
    """One table with a fixed schema, so that a study without ratings has its columns too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(rows(records)), schema=arrow_schema()), target)


def write_dataset(records: StudyRecords, report: StudyReport, folder: Path) -> list[Path]:
    """A folder that `datasets.load_dataset(folder)` reads: ratings, card, report."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"folder={folder}: must be new or empty")
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    write_parquet(records, data / "ratings.parquet")
    (folder / "report.md").write_text(report_text(records, report, "markdown"), "utf-8")
    (folder / "report.json").write_text(report_text(records, report, "json"), "utf-8")
    # Last: a folder with a card is whole.
    (folder / "README.md").write_text(study_card(records, report), "utf-8")
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def packed(
    records: StudyRecords, report: StudyReport, format: Format, name: str, zipped: bool
) -> Iterator[Path]:
    """One file of an export, a folder zipped under `name`; it is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="guardui-study-") as place:
        if not zipped:
            target = Path(place) / f"{name}.{'parquet' if format == 'parquet' else 'jsonl'}"
            export_study(records, report, format, target)
            yield target
            return
        folder = Path(place) / name
        written = export_study(records, report, format, folder).files
        archived = Path(place) / f"{name}.zip"
        with zipfile.ZipFile(archived, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in written:
                archive.write(path, Path(name) / path.relative_to(folder))
        yield archived
