"""What a subject said of the rows of benchmarks, as a folder that is whole or not there.

A subject is a moderator, a bare base model, a baseline, or a file of stored predictions. Its folder
holds `predictions.parquet`, a row each, and `evaluation.json`, written last: where that is missing
the evaluation never ended, and nothing reads the rest as if it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.predictions import COLUMNS_ON_SHOW, SCHEMA, Prediction, from_row, to_row
from pipelines.schema import DataError, GuardTask, InputError

if TYPE_CHECKING:
    import numpy as np

INFO, ROWS = "evaluation.json", "predictions.parquet"
BATCH = 2_000
MAY_LACK = ("response", "probability")
SubjectKind = Literal["adapter", "base", "predictions", "baseline"]


class BenchmarkInfo(BaseModel):
    """Which rows of a benchmark were looked at. `published_rows`: how many its paper counts, None
    where it has none; `sample`: how many were drawn of `of_rows`, with `seed`, None for all."""

    model_config = ConfigDict(extra="forbid")

    name: str
    task: GuardTask
    rows: int
    of_rows: int
    published_rows: int | None = None
    sample: int | None = None
    seed: int = 0
    remarks: list[str] = []
    sha256: str = ""
    reference: str = ""


class EvaluationInfo(BaseModel):
    """A subject and how it was asked. `mode`: it reasoned (`reason`), scored its answer slots
    (`fast`), or its answers were stored or computed before (`stored`, `computed`)."""

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: SubjectKind
    reference: str
    mode: Literal["reason", "fast", "stored", "computed"]
    reading: Literal["template", "authors", "none"] = "template"
    benchmarks: list[BenchmarkInfo]
    rows: int = 0
    seconds: float = 0.0
    sampling: dict[str, Any] = {}
    model_sha256: str = ""
    training: dict[str, Any] = {}
    job: int | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    remarks: list[str] = []
    version: int = Field(1, ge=1, le=1)


@dataclass(frozen=True)
class Columns:
    """One benchmark of an evaluation as columns of length N, in the order of its rows.

    `gold` is True for the positive class; `predicted` is 1 for it, 0 for the other and -1 where
    there is no verdict; `probability` is NaN where there is none. Rows with the same prompt share
    their number in `group`: they stand or fall together, so they are resampled together. `place`
    is where `Evaluation.rows` finds the whole row. Texts (`row_ids`, `category`, `source`) are
    arrays of objects.
    """

    benchmark: str
    task: GuardTask
    gold: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    group: np.ndarray
    row_ids: np.ndarray
    category: np.ndarray
    source: np.ndarray
    length: np.ndarray
    tokens: np.ndarray
    seconds: np.ndarray
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.gold)


class Evaluation:
    """A finished evaluation: columns are read at once, texts only of rows that are asked for."""

    def __init__(self, folder: Path, info: EvaluationInfo) -> None:
        self.folder, self.info = folder, info

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises InputError where there is no finished evaluation, DataError where it is broken."""
        file = folder / INFO
        try:
            info = EvaluationInfo.model_validate_json(file.read_text("utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"evaluation={folder}: no finished evaluation ({INFO} is missing); one that was "
                "stopped goes on from what it has when its job is resumed"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"evaluation={file}: can't be read ({error})") from None
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "file"
            raise DataError(f"evaluation={file}: {where}: {fault['msg']}") from None
        if not (folder / ROWS).is_file():
            raise DataError(f"evaluation={folder}: {ROWS} is missing")
        return cls(folder, info)

    def columns(self) -> dict[str, Columns]:
        """Benchmark -> its columns, in the order in which they were asked."""
        return self._columns

    @cached_property
    def _columns(self) -> dict[str, Columns]:
        import numpy as np

        held = self._on_show()
        rows = len(held["gold"])
        if rows != self.info.rows:
            raise DataError(
                f"evaluation={self.folder}: {rows:,} rows, where {INFO} tells of {self.info.rows:,}"
            )
        found = {}
        for one in self.info.benchmarks:
            place = np.flatnonzero(held["benchmark"] == one.name)
            if len(place) != one.rows:
                raise DataError(
                    f"evaluation={self.folder}: benchmark={one.name}: {len(place):,} rows, where "
                    f"{INFO} tells of {one.rows:,}"
                )
            part = {name: values[place] for name, values in held.items()}
            found[one.name] = Columns(
                benchmark=one.name,
                task=one.task,
                gold=part["gold"].astype(bool),
                predicted=part["predicted"].astype(np.int8),
                probability=part["probability"].astype(np.float64),
                group=part["prompt_key"].astype(np.int64),
                row_ids=part["row_id"],
                category=part["category"],
                source=part["source"],
                length=part["length"].astype(np.int64),
                tokens=part["tokens"].astype(np.int64),
                seconds=part["seconds"].astype(np.float64),
                place=place,
            )
        return found

    def _on_show(self) -> dict[str, np.ndarray]:
        """The columns without long texts. Texts are objects, each different one held once: a
        fixed width would give every row the room of the longest."""
        texts = [name for name in COLUMNS_ON_SHOW if SCHEMA[name] == "string"]
        with self._opened(texts) as file:
            table = file.read(columns=list(COLUMNS_ON_SHOW))
            self._check_filled(table)
            return {
                name: _texts(column) if name in texts else column.to_numpy()
                for name, column in zip(table.column_names, table.columns, strict=True)
            }

    def rows(self, places: Sequence[int]) -> list[Prediction]:
        """The whole rows at these places, in the order in which they are asked for.

        Only the row groups that hold them are read, one at a time. Raises InputError for a place
        that isn't there.
        """
        if not places:
            return []
        wanted, first = sorted({int(place) for place in places}), 0
        found: dict[int, Prediction] = {}
        with self._opened() as file:
            rows = file.metadata.num_rows
            if wrong := [place for place in wanted if not 0 <= place < rows]:
                raise InputError(f"place={wrong[0]}: must be from 0 to {rows - 1}")
            for number in range(file.num_row_groups):
                end = first + file.metadata.row_group(number).num_rows
                here = [place for place in wanted if first <= place < end]
                part: Any = file.read_row_group(number) if here else None
                for place in here:
                    # A slice is a view; `take` would import pandas for its list of places.
                    row = part.slice(place - first, 1)
                    self._check_filled(row, place)
                    found[place] = from_row(row.to_pylist()[0])
                first = end
        return [found[int(place)] for place in places]

    @contextmanager
    def _opened(self, dictionaries: Sequence[str] = ()) -> Iterator[Any]:
        """The table, open; what can't be read of it, now or later, is a DataError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / ROWS
        try:
            names = pq.read_schema(path).names
            if missing := [name for name in SCHEMA if name not in names]:
                raise DataError(f"evaluation={path}: the column {missing[0]} is missing")
            with pq.ParquetFile(path, read_dictionary=list(dictionaries)) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"evaluation={path}: can't be read ({error})") from None

    def _check_filled(self, table: Any, first: int = 0) -> None:
        """Raises DataError for a null, which would else be read as some value."""
        for name in table.column_names:
            column = table.column(name)
            if name not in MAY_LACK and column.null_count:
                row = first + column.is_null().to_pylist().index(True) + 1
                raise DataError(f"evaluation={self.folder / ROWS}: row {row}: {name} is null")


def _texts(column: Any) -> np.ndarray:
    """A dictionary-encoded column without nulls -> its texts (N,), as objects."""
    import numpy as np

    whole = column.unify_dictionaries().combine_chunks()
    different = np.array(["", *whole.dictionary.to_pylist()], dtype=object)
    return different[whole.indices.to_numpy() + 1]


def read_evaluation(folder: str | Path) -> Evaluation:
    """The finished evaluation of a folder. Raises InputError or DataError."""
    return Evaluation.read(Path(folder).expanduser())


def write_evaluation(
    folder: Path, info: EvaluationInfo, predictions: Iterable[Prediction]
) -> Evaluation:
    """Writes both files; the predictions may be a generator, of which few are held at once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    (folder / INFO).unlink(missing_ok=True)
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in SCHEMA.items()])
    rows, left = 0, iter(predictions)
    with pq.ParquetWriter(folder / ROWS, schema, compression="zstd") as writer:
        while batch := list(islice(left, BATCH)):
            writer.write_table(pa.Table.from_pylist([*map(to_row, batch)], schema=schema))
            rows += len(batch)
    told = sum(one.rows for one in info.benchmarks)
    if rows != told:
        raise DataError(
            f"evaluation={info.name}: {rows:,} predictions for {told:,} rows of its benchmarks"
        )
    info = info.model_copy(update={"rows": rows})
    part = folder / f"{INFO}.part"
    part.write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
    # Last, and at once: that it is there means that the rest is whole.
    part.replace(folder / INFO)
    return Evaluation(folder, info)
