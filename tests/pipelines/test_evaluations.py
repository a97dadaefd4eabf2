"""A finished evaluation: both files or none, columns and whole rows."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.comparing.error_groups import error_groups
from pipelines.comparing.measuring import drawn
from pipelines.evaluations import (
    BATCH,
    INFO,
    ROWS,
    BenchmarkInfo,
    Evaluation,
    EvaluationInfo,
    Prediction,
    read_evaluation,
    write_evaluation,
)
from pipelines.metrics import by
from pipelines.predictions import prompt_key
from pipelines.schema import DataError, GuardTask, InputError
from pipelines.scoring.significance import common_rows

PROMPT, REFUSAL = GuardTask.PROMPT_HARMFULNESS, GuardTask.REFUSAL
ROW = Prediction(
    "Aegis", PROMPT, "Aegis.json:1", "How?", None, "harmful", "unharmful", raw="Answers", tokens=7
)
REPLY = Prediction(
    "XSTest",
    REFUSAL,
    "x:1",
    "Why?",
    "No.",
    "refusal",
    None,
    error="no answers",
    probability=0.25,
    seconds=1.5,
    category="homonyms",
    source="gpt",
)


def info(*benchmarks: tuple[str, GuardTask, int]) -> EvaluationInfo:
    rows = [BenchmarkInfo(name=n, task=t, rows=r, of_rows=r) for n, t, r in benchmarks]
    return EvaluationInfo(name="m", kind="adapter", reference="/a", mode="reason", benchmarks=rows)


def written(folder: Path) -> list[Prediction]:
    rows = [ROW, replace(ROW, row_id="Aegis.json:2", prompt=" how? "), REPLY]
    write_evaluation(folder, info(("Aegis", PROMPT, 2), ("XSTest", REFUSAL, 1)), iter(rows))
    return rows


def test_what_was_written_is_read(tmp_path: Path) -> None:
    rows = written(tmp_path)
    found = read_evaluation(tmp_path)
    assert found.info.rows == 3
    assert found.rows([2, 0]) == [rows[2], rows[0]]
    assert found.rows([]) == []
    aegis, xstest = found.columns()["Aegis"], found.columns()["XSTest"]
    assert list(found.columns()) == ["Aegis", "XSTest"]
    assert aegis.gold.tolist() == [True, True]
    assert aegis.predicted.tolist() == [0, 0]
    assert xstest.predicted.tolist() == [-1]
    assert np.isnan(aegis.probability).all()
    assert xstest.probability.tolist() == [0.25]
    assert xstest.place.tolist() == [2]
    assert (xstest.category.tolist(), xstest.source.tolist()) == (["homonyms"], ["gpt"])
    assert xstest.length.tolist() == [len("Why?No.")]


def test_prompts_that_differ_in_case_and_blanks_are_one_group(tmp_path: Path) -> None:
    written(tmp_path)
    group = read_evaluation(tmp_path).columns()["Aegis"].group
    assert group[0] == group[1] == prompt_key("HOW?")
    assert prompt_key("How") != prompt_key("How?")


def test_an_unfinished_evaluation_is_none(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / INFO).unlink()
    with pytest.raises(InputError, match="no finished evaluation"):
        read_evaluation(tmp_path)


def test_predictions_must_be_as_many_as_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 predictions for 2 rows"):
        write_evaluation(tmp_path, info(("Aegis", PROMPT, 2)), [ROW])
    assert not (tmp_path / INFO).exists()


def test_writing_again_does_not_leave_the_old_record(tmp_path: Path) -> None:
    written(tmp_path)

    def broken() -> object:
        yield ROW
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_evaluation(tmp_path, info(("Aegis", PROMPT, 2)), broken())
    with pytest.raises(InputError):
        read_evaluation(tmp_path)


def test_a_gold_of_another_task_is_named(tmp_path: Path) -> None:
    wrong = replace(ROW, gold="refusal")
    with pytest.raises(DataError, match="label=refusal: must be harmful or"):
        write_evaluation(tmp_path, info(("Aegis", PROMPT, 1)), [wrong])


@pytest.mark.parametrize("content", [b"{", b'{"name": 1}', b"\xff"])
def test_a_broken_record_is_named(tmp_path: Path, content: bytes) -> None:
    written(tmp_path)
    (tmp_path / INFO).write_bytes(content)
    with pytest.raises(DataError, match=INFO):
        read_evaluation(tmp_path)


def test_a_broken_or_missing_table_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / ROWS).write_bytes(b"PAR1")
    with pytest.raises(DataError, match="can't be read"):
        read_evaluation(tmp_path).columns()
    (tmp_path / ROWS).unlink()
    with pytest.raises(DataError, match="is missing"):
        read_evaluation(tmp_path)


def long_one(folder: Path, rows: int, **first: str) -> Evaluation:
    """Many rows of one benchmark; `first` are texts of the first row alone."""
    told = (
        replace(ROW, **({"row_id": f"r{n}", "category": "abc"[n % 3]} | (first if n == 0 else {})))
        for n in range(rows)
    )
    return write_evaluation(folder, info(("Aegis", PROMPT, rows)), told)


def test_rows_are_read_from_the_groups_that_hold_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = long_one(tmp_path, 2 * BATCH + 5)
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group

    def watched(file: pq.ParquetFile, number: int, **named: object) -> pa.Table:
        read.append(number)
        return whole(file, number, **named)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    monkeypatch.setattr(pq, "read_table", lambda *_, **__: pytest.fail("the whole table"))
    places = [2 * BATCH + 4, 7, BATCH * 2, 7, 0]
    assert [one.row_id for one in found.rows(places)] == [f"r{n}" for n in places]
    assert read == [0, 2]
    for wrong in (-1, 2 * BATCH + 5):
        with pytest.raises(InputError, match=f"place={wrong}: must be from 0 to 4004"):
            found.rows([0, wrong])


@pytest.mark.parametrize("name", ["gold", "predicted", "benchmark", "row_id", "category", "tokens"])
def test_no_value_is_no_negative_one(tmp_path: Path, name: str) -> None:
    written(tmp_path)
    table = pq.read_table(tmp_path / ROWS)
    place = table.schema.get_field_index(name)
    values = [*table.column(name).to_pylist()[:1], None, table.column(name)[2].as_py()]
    emptied = pa.array(values, table.schema.field(name).type)
    pq.write_table(table.set_column(place, name, emptied), tmp_path / ROWS)
    found = read_evaluation(tmp_path)
    with pytest.raises(DataError, match=f"row 2: {name} is null"):
        found.columns()
    with pytest.raises(DataError, match=f"row 2: {name} is null"):
        found.rows([1])
    assert found.rows([0])[0].row_id == ROW.row_id


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    pq.write_table(pq.read_table(tmp_path / ROWS).drop_columns(["category"]), tmp_path / ROWS)
    found = read_evaluation(tmp_path)
    for read in (found.columns, lambda: found.rows([0])):
        with pytest.raises(DataError, match="the column category is missing"):
            read()


def test_each_benchmark_has_the_rows_that_it_tells_of(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, row_id="Aegis.json:2"), REPLY]
    write_evaluation(tmp_path, info(("Aegis", PROMPT, 1), ("XSTest", REFUSAL, 2)), rows)
    with pytest.raises(DataError, match=r"benchmark=Aegis: 2 rows, where .* tells of 1"):
        read_evaluation(tmp_path).columns()


def test_one_long_text_does_not_widen_every_row(tmp_path: Path) -> None:
    rows, long = 20_000, "c" * 3_000
    found = long_one(tmp_path, rows, category=long, source=long)
    tracemalloc.start()
    one = found.columns()["Aegis"]
    groups = by(one.category, one.gold, one.predicted)
    assert drawn(one)
    assert len(common_rows(one, one, ["r1", "r5"])[0]) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A fixed width of 3,000 letters would take 240 MB.
    assert peak < 40e6
    assert (one.category[0], one.category[1], one.source[1]) == (long, "b", "")
    assert {name: part.rows for name, part in groups.items()} == {
        "b": 6_667,
        "a": 6_666,
        "c": 6_666,
        long: 1,
    }
    assert np.unique(one.category).tolist() == ["a", "b", "c", long]
    named = {group.name: group.rows for group in error_groups(found, "category", "Aegis")}
    assert named[long] == 1
