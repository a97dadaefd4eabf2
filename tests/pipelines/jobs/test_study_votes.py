"""A study's records from the database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from db.session import Database
from guardui import study_acts
from pipelines.jobs.study_facts import count_items, item_at, study_facts
from pipelines.jobs.study_votes import code_of, read_study, study_votes
from pipelines.schema import NotFoundError
from pipelines.settings import Settings
from tests.rated_studies import draft, rate


def test_records_are_whole_and_told_by_arm(database: Database, home: Settings) -> None:
    study = draft(database, items=5, ratings_per_pair=2)
    study_acts.open_study(database, study)
    people = rate(database, home, study, people=("Anna", ""))
    with database.read() as session:
        records = read_study(session, study)
        assert study_votes(session, study) == list(records.votes)
        assert count_items(session, study) == 10
        seen = item_at(session, study, 3)
        assert item_at(session, study, 11) is None
        with pytest.raises(NotFoundError, match="no such study"):
            study_facts(session, study + 1)
    facts = records.facts
    assert (facts.items, facts.pairs, facts.practice, facts.attention) == (5, 5, 2, 3)
    assert facts.strata == {"both": 2, "first": 1, "second": 1, "neither": 1}
    assert facts.rated == sum(not vote.why_not for vote in records.votes)
    assert seen is not None
    assert seen.item["prompt"].startswith("Question main 0")
    assert [text.count(f"Trace {arm}") for arm, text in enumerate(seen.traces)] == [1, 1]
    assert [one.id for one in records.people] == people
    assert [(one.number, one.name) for one in records.people] == [(1, "Anna"), (2, None)]
    codes = {one.code for one in records.people}
    assert {vote.annotator for vote in records.votes} == codes
    assert code_of(1, "x") != code_of(2, "x"), "a person has another code in each study"
    for one in records.rated:
        assert one.verdicts[0]["refusal"] == "refusal"
        assert one.vote.words == tuple(len(text.split()) for text in one.traces)
