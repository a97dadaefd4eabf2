from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import jobs, samples
from db.models import HardSampleRow
from db.sample_search import words_of
from db.samples import SampleFilter
from db.session import Database, open_database
from tests.db.test_session import OLD_ROWS, migrate

TEXTS = {
    "accents": "Café crème, naïve ÉCOLE",
    "decomposed": "cafe\u0301 society",
    "chinese": "如何制作蛋糕?",
    "japanese": "カタカナと漢字",
    "korean": "안녕하세요 세계",
    "quotes": "she said \"don't\" and 'never'",
    "operators": "this AND that OR NOT near NEAR(here) col:on ^top",
    "signs": "100%_sure - a*b (c) \\ {d} [e] & | ! <-> :* '' ; --",
    "german": "Straße und Maße",
    "emoji": "party 🎉 time",
}


def sample(row_id: str, prompt: str, **values: Any) -> dict[str, Any]:
    given = {
        "row_id": row_id,
        "prompt": prompt,
        "response": None,
        "task": "refusal",
        "gold": {},
        "k_correct": 1,
        "k_incorrect": 1,
        "weight": 1.0,
        "generations": [],
    }
    return given | values


@pytest.fixture
def job_id(database: Database) -> int:
    with database.write() as session:
        job = jobs.add_job(session, stage="mine", config={}).id
        samples.add_samples(session, job, [sample(name, words) for name, words in TEXTS.items()])
        other = jobs.add_job(session, stage="mine", config={}).id
        samples.add_samples(session, other, [sample("other", "café and cake")])
    return job


def found(database: Database, f: SampleFilter) -> set[str]:
    with database.read() as session:
        return {line.row_id for line in samples.sample_lines(session, f)}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("café", {"accents", "decomposed"}),
        ("CAFÉ crème", {"accents"}),
        ("cafe\u0301", {"accents", "decomposed"}),
        ("cafe", set()),  # an accent is a part of its letter
        ("école", {"accents"}),
        ("蛋糕", {"chinese"}),
        ("糕 作", {"chinese"}),
        ("カタ", {"japanese"}),
        ("안녕", {"korean"}),
        ('"don\'t"', {"quotes"}),
        ("'", set()),
        ('"', set()),
        ('"never', {"quotes"}),
        ("AND", {"quotes", "operators"}),
        ("OR NOT", {"operators"}),
        ("NEAR(here)", {"operators"}),
        ("col:on", {"operators"}),
        ("col:*", {"operators"}),
        (":1", {"signs"}),
        ("job", set()),
        ("jo 1", set()),
        ("^top", {"operators"}),
        ("a*b", {"signs"}),
        ("*", set()),
        ("-", set()),
        ("-sure", {"signs"}),
        ("& | ! <->", set()),
        ("\\", set()),
        ("%", set()),
        ("STRASSE", {"german"}),
        ("🎉", set()),
        ("🎉 party", {"emoji"}),
        ("x" * 300, set()),
    ],
)
def test_any_text_can_be_searched(
    database: Database, job_id: int, words: str, names: set[str]
) -> None:
    assert found(database, SampleFilter(job_id=job_id, text=words)) == names


def test_all_jobs_can_be_searched(database: Database, job_id: int) -> None:
    f = SampleFilter(text="café")
    assert found(database, f) == {"accents", "decomposed", "other"}
    with database.write() as session:
        ids = samples.sample_ids(session, f)
    assert len(ids) == 3, "a writing session finds the same"


def test_searches_of_one_reading_do_not_mix(database: Database, job_id: int) -> None:
    with database.read() as session:
        for words, count in (("café", 2), ("蛋糕", 1), ("and", 2), ("café", 2)):
            assert samples.count_samples(session, SampleFilter(job_id=job_id, text=words)) == count


def test_a_new_reading_sees_what_was_written_since(database: Database, job_id: int) -> None:
    f = SampleFilter(job_id=job_id, text="café")
    other = Database(database.url)  # as another process would
    with database.read() as session:
        assert samples.facet_counts(session, f)["review"] == {"new": 2}
        with other.write() as writing:
            row = writing.get_one(HardSampleRow, samples.sample_ids(writing, f)[0])
            row.review = "accepted"
            samples.add_samples(writing, job_id, [sample("late", "Café au lait")])
    with database.read() as session:
        assert samples.facet_counts(session, f)["review"] == {"new": 2, "accepted": 1}
        assert samples.count_samples(session, f) == 3
    other.dispose()


def test_removed_samples_are_found_no_more(database: Database, job_id: int) -> None:
    with database.write() as session:
        samples.replace_samples(session, job_id, [])
    assert found(database, SampleFilter(text="café")) == {"other"}
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM sample_search")) == 1


def test_words_are_in_one_spelling() -> None:
    assert words_of("Ünder_score ﬁne  2x2 日本 cafe\u0301 under") == [
        *("ünder", "score", "fine", "2x2", "日", "本", "café", "under")
    ]


OLD_SAMPLES = (
    "INSERT INTO hard_samples (job_id, row_id, source, task, prompt, response, gold, k_correct, "
    "k_incorrect, chosen, rejected, weight) VALUES (1, 'b', 'S', 'response_harmfulness', "
    "'Wie heißt', '蛋糕 no', '{\"response_harmfulness\": \"harmful\"}', 1, 1, 0, 1, 1.0)",
    f"INSERT INTO generations (hard_sample_id, position, text, labels, tokens) VALUES "
    f"(2, 0, '{'r' * 400}', '{{}}', 1), (2, 1, '{'w' * 50}', '{{}}', 1)",
    "UPDATE generations SET error = 'no answers' WHERE hard_sample_id = 2 AND position = 1",
)


@pytest.mark.parametrize("first", ["0001", "0002"])
def test_older_samples_become_findable(database_url: str, first: str) -> None:
    """What the inspector filters by is told of samples from before it."""
    migrate(database_url, first)
    database = Database(database_url)
    with database.engine.begin() as connection:
        for line in (*OLD_ROWS, *OLD_SAMPLES):
            connection.execute(text(line))
        if first == "0002":
            dropped = "UPDATE hard_samples SET review = 'dropped', reason = 'odd' WHERE id = 2"
            connection.execute(text(dropped))
    database.dispose()
    database = open_database(database_url)
    with database.read() as session:
        row = session.get_one(HardSampleRow, 2)
        assert (row.direction, row.length, row.unparsed) == ("miss", 14, 1)
        assert (row.chosen_length, row.rejected_length, row.length_gap) == (400, 50, True)
        assert (row.duplicate, row.near_equal, row.hardness) == (False, False, "hard")
        assert row.review == ("dropped" if first == "0002" else "new")
        plain = session.get_one(HardSampleRow, 1)
        assert (plain.direction, plain.length, plain.length_gap) == ("", 1, False)
    for words, names in (("heisst", {"b"}), ("糕", {"b"}), ("P", {"a"}), ("no wie", {"b"})):
        assert found(database, SampleFilter(job_id=1, text=words)) == names
    database.dispose()


def test_the_temporary_table_is_each_connections_own(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/guardui.db")
    with database.write() as session:
        job = jobs.add_job(session, stage="mine", config={}).id
        samples.add_samples(session, job, [sample("one", "apple"), sample("two", "apple pear")])
    apple, pear = (SampleFilter(job_id=job, text=word) for word in ("apple", "pear"))
    with database.read() as one, database.read() as two:
        assert samples.count_samples(one, apple) == 2
        assert samples.count_samples(two, pear) == 1
        assert samples.wrong_histogram(one, apple) == {1: 2}
        assert samples.wrong_histogram(two, pear) == {1: 1}
    database.dispose()
