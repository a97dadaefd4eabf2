from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from db import jobs, samples
from db.models import GenerationRow, HardSampleRow
from db.session import Database


def row(row_id: str, **values: Any) -> HardSampleRow:
    given = {
        "row_id": row_id,
        "task": "refusal",
        "source": "WildGuard",
        "prompt": f"prompt {row_id}",
        "gold": {"refusal": "compliance"},
        "k_correct": 3,
        "k_incorrect": 1,
        "chosen": 1,
        "rejected": 0,
        "weight": 1.0,
    }
    made = HardSampleRow(**{**given, **values})
    made.generations = [
        GenerationRow(position=place, text=f"text {place}", labels={"refusal": None}, correct=None)
        for place in (1, 0)
    ]
    return made


@pytest.fixture
def job_id(database: Database) -> int:
    """A job with four samples, and another with one."""
    with database.write() as session:
        first = jobs.add_job(session, stage="mine", config={}).id
        second = jobs.add_job(session, stage="mine", config={}).id
        rows = [
            row("a", weight=0.8, prompt="How to 100%_sure"),
            row("b", weight=0.9, response="I CANNOT help"),
            row("c", weight=1.1, task="prompt_harmfulness", source="Aegis"),
            row("d", weight=1.2, source="Aegis"),
        ]
        assert samples.replace_samples(session, first, rows) == 4
        samples.replace_samples(session, second, [row("a")])
    return first


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "abcd"),
        ({"task": "refusal"}, "abd"),
        ({"source": "Aegis"}, "cd"),
        ({"text": "cannot HELP"}, "b"),
        ({"text": "100%_"}, "a"),
        ({"text": "sure how"}, "a"),
        ({"text": "00"}, ""),
        ({"text": "%"}, ""),
        ({"min_weight": 0.9}, "bcd"),
        ({"max_weight": 1.1}, "abc"),
        ({"min_weight": 0.85, "max_weight": 1.15, "task": "refusal"}, "b"),
        ({"task": "", "source": "", "text": ""}, "abcd"),
    ],
)
def test_filters(database: Database, job_id: int, filters: dict[str, Any], found: str) -> None:
    with database.read() as session:
        page, total = samples.list_samples(session, job_id=job_id, **filters)
    assert "".join(one.row_id for one in page) == found
    assert total == len(found)


def test_pages(database: Database, job_id: int) -> None:
    with database.read() as session:
        page, total = samples.list_samples(session, job_id=job_id, limit=2, offset=1)
        everything, all_of_them = samples.list_samples(session)
    assert ([one.row_id for one in page], total) == (["b", "c"], 4)
    assert all_of_them == 5
    assert everything[0].job_id > job_id, "the newest job's samples come first"


def test_a_sample_with_its_generations(database: Database, job_id: int) -> None:
    with database.read() as session:
        page, _ = samples.list_samples(session, job_id=job_id, limit=1)
        found = samples.get_sample(session, page[0].id)
        assert samples.get_sample(session, 404) is None
    assert found is not None
    assert [(one.position, one.text) for one in found.generations] == [(0, "text 0"), (1, "text 1")]
    assert found.generations[0].labels == {"refusal": None}


def test_replacing_leaves_other_jobs_alone(database: Database, job_id: int) -> None:
    with database.write() as session:
        samples.replace_samples(session, job_id, [row("z")])
    with database.read() as session:
        page, total = samples.list_samples(session)
        generations = session.query(GenerationRow).count()
    assert (sorted(one.row_id for one in page), total, generations) == (["a", "z"], 2, 4)


def test_sources(database: Database, job_id: int) -> None:
    with database.read() as session:
        assert samples.sources(session) == ["Aegis", "WildGuard"]
        assert samples.sources(session, job_id + 1) == ["WildGuard"]


def test_a_row_is_a_sample_once_a_job(database: Database, job_id: int) -> None:
    def twice() -> None:
        with database.write() as session:
            samples.replace_samples(session, job_id, [row("x"), row("x")])

    with pytest.raises(IntegrityError):
        twice()
    with database.read() as session:
        assert samples.list_samples(session, job_id=job_id)[1] == 4
