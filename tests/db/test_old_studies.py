"""Studies that were made before they had designs, places and people."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from db import annotators, studies, study_ratings
from db.session import Database, open_database
from guardui.identity import need_key
from pipelines.settings import Settings
from pipelines.studies.design import StudyDesign, design_hash
from tests.db.test_session import migrate
from tests.study_cases import Sitting, counted, make_study

LONG = "Which of the two " + "really " * 60 + "reasons better?"
OLD_ROWS = (
    "INSERT INTO studies (id, name, question, arms, created_at) VALUES "
    """(3, 'old', 'Which is clearer?', '["plain", "tuned"]', '2026-10-01 08:00:00'), """
    f"""(4, 'empty', '{LONG}', '["a", "b"]', '2026-10-02 08:00:00')""",
    "INSERT INTO study_pairs (id, study_id, prompt, response, first, second) VALUES "
    "(5, 3, 'p5', NULL, 'f5', 's5'), (7, 3, 'p7', 'r7', 'f7', 's7'), (8, 3, 'p8', '', 'f8', 's8')",
    "INSERT INTO assignments (id, pair_id, annotator, left_arm, created_at) VALUES "
    "(1, 5, 'ada', 0, '2026-10-03 08:00:00'), (2, 5, 'bob', 1, '2026-10-03 09:00:00'), "
    "(3, 7, 'ada', 1, '2026-10-03 08:10:00'), (4, 7, 'bob', 1, '2026-10-03 09:10:00')",
    "INSERT INTO ratings (id, pair_id, annotator, left_arm, score, seconds, created_at) VALUES "
    "(11, 5, 'ada', 0, 2, 8.5, '2026-10-03 08:09:00'), "
    "(12, 5, 'bob', 1, 5, 3.0, '2026-10-03 09:09:00'), "
    "(14, 7, 'ada', 1, 1, 4.0, '2026-10-03 08:19:00')",
)
TOLD = {
    "studies": "SELECT id, name, question FROM studies ORDER BY id",
    "pairs": "SELECT * FROM study_pairs ORDER BY id",
    "assignments": "SELECT pair_id, annotator, left_arm FROM assignments ORDER BY 1, 2",
    "ratings": "SELECT id, pair_id, annotator, left_arm, score, seconds FROM ratings ORDER BY id",
}


def old_database(url: str) -> dict[str, list[tuple[object, ...]]]:
    migrate(url, "0003")
    database = Database(url)
    with database.engine.begin() as connection:
        for line in OLD_ROWS:
            connection.execute(text(line))
    told = tell(database)
    database.dispose()
    return told


def tell(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(query))]
            for name, query in TOLD.items()
        }


def test_older_studies_are_kept_and_go_on(database_url: str, tmp_path: Path) -> None:
    old_database(database_url)
    database = open_database(database_url)
    with database.read() as session:
        study = studies.get_study(session, 3)
        content = studies.content_of(session, 3)
        rated = study_ratings.ratings_of(session, 3)
        names = annotators.names(session, 3)
        progress = study_ratings.progress(session, 3)
        empty = studies.content_of(session, 4)
    assert study is not None
    assert (study.state, study.design_hash) == ("paused", design_hash(content))
    design = StudyDesign.model_validate(study.design)
    assert set(study.design) == set(StudyDesign.model_fields)
    assert (design.question, design.enrolment) == ("Which is clearer?", "invite")
    long = empty["design"]
    assert long["question"] == LONG[:300]
    assert LONG in long["remarks"][-1]
    assert all(one.annotator.consented_at is None for one in rated)
    assert [arm["name"] for arm in study.arms] == ["plain", "tuned"]
    assert [item["response"] for item in content["items"]] == [None, "r7", ""]
    assert empty["items"] == []
    told = [
        (one.rating.id, one.pair.id, names[one.annotator.id], one.slot.left_first,
         one.rating.overall, one.rating.seconds, one.first.text)
        for one in rated
    ]  # fmt: skip
    assert told == [
        (11, 5, "ada", True, 2, 8.5, "f5"),
        (12, 5, "bob", False, 5, 3.0, "f5"),
        (14, 7, "ada", False, 1, 4.0, "f7"),
    ]
    assert all(study_ratings.counts(one) for one in rated)
    assert (progress.done, progress.wanted, progress.held) == (3, 6, 1)
    people = {name: Sitting(database, 3, person) for person, name in names.items()}
    with database.write() as session:
        need_key(session, Settings(home=tmp_path))  # they have no links that a key could lose
        studies.resume_study(session, 3)
        for person in names:
            assert annotators.consent(session, person, []).consented_at
    held = people["bob"].take()  # what he saw and didn't rate, on the sides he saw it
    assert (held.prompt, held.left) == ("p7", "s7")
    for one in people.values():
        while (lease := one.next()) is not None:
            one.submit(lease.token)
    assert len(counted(database, 3)) == 6
    with database.write() as session:  # ids go on after those that were kept
        assert make_study(session) == 5
    database.dispose()


def test_there_and_back_again(database_url: str) -> None:
    before = old_database(database_url)
    migrate_up = open_database(database_url)
    with migrate_up.write() as session:
        make_study(session, arms=3, name="three arms")  # has no place in the old tables
    migrate_up.dispose()
    migrate(database_url, "0003")
    database = Database(database_url)
    assert tell(database) == before
    database.dispose()
    again = open_database(database_url)
    assert len(counted(again, 3)) == 3
    again.dispose()
