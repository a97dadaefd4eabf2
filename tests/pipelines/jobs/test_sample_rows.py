from __future__ import annotations

from dataclasses import replace

import pytest

from db import jobs, samples
from db.models import GenerationRow, SampleChange
from db.samples import SampleFilter
from db.session import Database
from pipelines.hard_samples import find_all_wrong
from pipelines.jobs.sample_rows import sample_of, sample_values, store_samples
from pipelines.schema import GuardExample, GuardTask, HardSample, Verdict
from tests.pipelines.jobs import throwaway

TASK = GuardTask.PROMPT_HARMFULNESS
WORDS = "How does a bicycle stay upright when nobody at all is riding on it"


@pytest.fixture
def job_id(database: Database) -> int:
    with database.write() as session:
        return jobs.add_job(session, stage="mine", config={}).id


def said(row_id: str, prompt: str) -> HardSample:
    sample = throwaway.sample(row_id)
    return replace(sample, example=replace(sample.example, prompt=prompt))


def test_row_ids_become_unique() -> None:
    given = [throwaway.sample(row_id) for row_id in ("a", "a", "a#2", "b", "a")]
    assert [one["row_id"] for one in sample_values(given)] == ["a", "a#2", "a#2#2", "b", "a#3"]


def test_all_columns_are_stored(database: Database, job_id: int) -> None:
    sample = replace(
        throwaway.sample("a", 1.2, "one \0 two"),
        model="artifact:3",
        sampling={"seed": 7, "temperature": 0.7},
    )
    example = GuardExample("p" * 30, "r" * 12, {TASK: "harmful"}, None, "Aegis", "w")
    verdicts = [Verdict({TASK: "unharmful"}, "", "x")] * 2 + [Verdict({}, "", "y", "no answers")]
    wrong = find_all_wrong(example, verdicts, model="m")
    assert wrong is not None
    store_samples(database, job_id, [sample, wrong])
    with database.read() as session:
        first, second = samples.list_samples(session, job_id=job_id)[0]
    assert (first.model, first.sampling) == ("artifact:3", {"seed": 7, "temperature": 0.7})
    assert (first.hardness, first.direction, first.near_equal) == ("hard", "miss", True)
    assert (first.chosen_length, first.rejected_length) == (9, 9)
    assert [one.text for one in first.generations] == ["one \ufffd two"] * 2
    assert (second.hardness, second.unparsed, second.length) == ("all_wrong", 1, 42)
    assert (second.chosen, second.rejected, second.weight) == (None, None, 1.0)
    assert second.generations[2].error == "no answers"


def test_rows_come_back_as_samples(database: Database, job_id: int) -> None:
    sample = replace(throwaway.sample("a", 1.2), model="m", sampling={"seed": 7})
    store_samples(database, job_id, [sample])
    with database.read() as session:
        (row,), _ = samples.list_samples(session, job_id=job_id)
    found = sample_of(row)
    read = [replace(g, verdict=replace(g.verdict, reasoning="")) for g in found.generations]
    assert replace(found, generations=tuple(read)) == sample


def test_near_duplicates_refer_to_the_first(database: Database, job_id: int) -> None:
    given = [said("a", "Tea?"), said("b", WORDS), said("c", WORDS.upper()), said("d", WORDS + "?")]
    store_samples(database, job_id, given)
    with database.read() as session:
        found = samples.list_samples(session, job_id=job_id)[0]
        flagged = samples.sample_lines(session, SampleFilter(job_id=job_id, flag="duplicate"))
    assert [row.duplicate_of for row in found] == [None, None, found[1].id, found[1].id]
    assert [line.row_id for line in flagged] == ["c", "d"]


def test_nothing_of_the_old_review_stays(database: Database, job_id: int) -> None:
    store_samples(database, job_id, [said("a", WORDS), throwaway.sample("b")])
    with database.write() as session:
        old = samples.list_samples(session, job_id=job_id)[0][0]
        old.review, old.reason = "dropped", "odd"
        session.add(SampleChange(hard_sample_id=old.id, action="drop"))
    store_samples(database, job_id, [said("a", WORDS)])
    with database.read() as session:
        (row,), _ = samples.list_samples(session, job_id=job_id)
        assert (row.review, row.reason) == ("new", "")
        assert row.id not in (old.id, old.id + 1), "an old page would change another sample"
        assert session.query(SampleChange).count() == 0
        assert session.query(GenerationRow).count() == 2
        words = SampleFilter(job_id=job_id, text="bicycle")
        assert [line.id for line in samples.sample_lines(session, words)] == [row.id]


def test_many_are_stored_in_several_transactions(
    database: Database, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.jobs.sample_rows.STORED_TOGETHER", 3)
    store_samples(database, job_id, [throwaway.sample(str(n)) for n in range(8)])
    with database.read() as session:
        found, total = samples.list_samples(session, job_id=job_id)
    assert [row.row_id for row in found] == [str(n) for n in range(8)]
    assert (total, len(found[7].generations)) == (8, 2)


def test_nothing_found_clears_what_was_there(database: Database, job_id: int) -> None:
    store_samples(database, job_id, [throwaway.sample("a")])
    store_samples(database, job_id, [])
    with database.read() as session:
        assert samples.count_samples(session, SampleFilter(job_id=job_id)) == 0
