"""What a study is passed on as: rows, tables, a dataset with its card, pairs; and back again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from sqlalchemy import text

from db.session import open_database
from guardui import study_acts
from guardui.render_study_people import people_table
from guardui.study_reports import records_of, report_of
from pipelines.pair_export import import_pairs
from pipelines.pair_sets import describe_pair_set, read_pairs, read_template
from pipelines.pair_weights import pair_weights
from pipelines.preferences.results import StudyReport
from pipelines.schema import DataError, InputError
from pipelines.settings import Settings
from pipelines.studies.columns import COLUMNS
from pipelines.studies.document import report_json, report_text
from pipelines.studies.export import export_study, write_jsonl
from pipelines.studies.pairs import preferred_pairs, template_of
from pipelines.studies.records import StudyRecords
from pipelines.studies.words import CHANGED
from pipelines.template import GuardTemplate
from tests.rated_studies import NASTY, draft, rate

Study = tuple[StudyRecords, StudyReport]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A closed study that four people rated, one of whom withdrew."""
    home = tmp_path_factory.mktemp("exported")
    settings = Settings(home=home, database_url=f"sqlite:///{home / 'guardui.db'}")
    database = open_database(settings.database_url)
    made = draft(database)
    study_acts.open_study(database, made)
    people = rate(database, settings, made)
    study_acts.withdraw(database, made, people[-1], erase=False)
    study_acts.close_study(database, made, "done")
    records = records_of(database, made)
    yield records, report_of(records)
    database.dispose()


def test_votes_are_told_by_arm(study: Study) -> None:
    records, _ = study
    for one in records.rated:
        vote = one.vote
        assert one.traces[0].count("Trace 0") == 1
        assert one.traces[1].count("Trace 1") == 1
        if vote.kind == "attention":
            assert vote.score == 5, "the expected arm was preferred on either side"
        for first, second in vote.criteria.values():
            assert vote.score == 3 or (first > second) == (vote.score > 3)
        for mark in vote.marks:
            assert mark == {"arm": vote.left_arm, "step": 1, "mark": "key"}
        changed = len(one.revisions) > 1
        assert (vote.last_score is not None) == changed
        assert one.revisions[0].score == vote.score
    sides = {(one.vote.left_arm, one.vote.score > 3) for one in records.rated}
    assert len(sides) == 4, "both arms stood left and right, and won there"
    reasons = {one.vote.why_not for one in records.rated}
    assert reasons == {"", "practice", "attention item", "withdrawn"}
    counted = sum(not one.vote.why_not for one in records.rated)
    assert counted == records.facts.rated


def test_what_was_rated_unread_and_what_was_changed_is_said(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'guardui.db'}")
    database = open_database(settings.database_url)
    made = draft(database, items=4)
    study_acts.open_study(database, made)
    person, _ = rate(database, settings, made, people=("Anna", ""))
    records = records_of(database, made)
    assert not records.facts.changed
    assert CHANGED not in report_text(records, report_of(records), "markdown")
    with database.engine.begin() as connection:
        mine = f"annotator_id = {person}"
        connection.execute(text(f"UPDATE study_slots SET shown_at = NULL WHERE {mine}"))
        connection.execute(text("UPDATE study_traces SET text = text || ' ' WHERE arm = 0"))
    records = records_of(database, made)
    assert records.facts.changed
    for form in ("markdown", "html"):
        assert "is not what was frozen" in report_text(records, report_of(records), form)
    anna, other = records.people
    assert (anna.unread, other.unread) == (anna.ratings + anna.practice, 0)
    assert f"{anna.unread} rated without opening" in people_table([anna], {})
    assert "without opening" not in people_table([other], {})
    write_jsonl(records, tmp_path / "rows.jsonl")
    rows = list(map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines()))
    assert {(row["person"], row["revealed"]) for row in rows} == {
        (anna.code, False),
        (other.code, True),
    }
    database.dispose()


def test_jsonl_and_parquet_have_the_same_rows(study: Study, tmp_path: Path) -> None:
    records, report = study
    export_study(records, report, "jsonl", tmp_path / "ratings.jsonl")
    export_study(records, report, "parquet", tmp_path / "ratings.parquet")
    lines = (tmp_path / "ratings.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    table = pq.read_table(tmp_path / "ratings.parquet").to_pylist()
    assert rows == table
    assert len(rows) == len(records.shared) < len(records.rated)
    assert list(rows[0]) == list(COLUMNS)
    main = [row for row in rows if row["kind"] == "main"]
    assert {row["first_arm"] for row in main} == {"tuned"}
    others = [row for row in rows if row["kind"] != "main"]
    assert {row["first_arm"] for row in others} == {"first"}, "they are no arm's"
    assert any(len(row["revisions"]) == 2 for row in rows)
    assert {row["preferred"] for row in main} <= {"tuned", "plain", "tie"}
    everything = "".join(lines)
    assert "Anna" not in everything
    assert json.loads(lines[0])["prompt"].endswith(NASTY)
    gone = records.people[-1]
    assert gone.state == "withdrawn"
    assert {row["person"] for row in rows} == {one.code for one in records.people} - {gone.code}


def test_a_dataset_is_read_with_its_card(study: Study, tmp_path: Path) -> None:
    from datasets import load_dataset

    records, report = study
    folder = tmp_path / "dataset"
    made = export_study(records, report, "dataset", folder)
    names = {str(path.relative_to(folder)) for path in made.files}
    withdrawn = len(records.rated) - len(records.shared)
    assert names == {"README.md", "data/ratings.parquet", "report.md", "report.json"}
    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert "license" not in front
    assert [one["name"] for one in front["dataset_info"]["features"]] == list(COLUMNS)
    for words in ("Content warning", str(records.facts.design_hash), "AC1", "No licence"):
        assert words in card
    assert "Anna" not in card
    assert "/home/me" not in (folder / "report.json").read_text()
    found = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert made.count == found.num_rows == len(records.shared)
    assert f"Ratings of people who withdrew are left out: {withdrawn:,}." in card
    assert "reason: done" in card
    assert records.people[-1].code not in {row["person"] for row in found}
    assert found[0]["revisions"][0]["number"] == 1
    with pytest.raises(InputError, match="must be new or empty"):
        export_study(records, report, "dataset", folder)


def test_pairs_go_to_training_and_ties_stay(study: Study, tmp_path: Path) -> None:
    records, report = study
    kept = preferred_pairs(records, keep_wrong=True)
    rows = list(kept.rows)
    made = export_study(records, report, "pairs", tmp_path / "pairs", keep_wrong=True)
    assert (made.count, made.what) == (len(rows), "pair")
    read = read_pairs(str(tmp_path / "pairs"))
    assert read == rows
    assert read_template(str(tmp_path / "pairs")) is not None
    record = describe_pair_set(str(tmp_path / "pairs"))["record"]
    assert record["study"] == records.facts.name
    assert record["left_out"] == kept.left_out
    assert record["ratings_withdrawn"] == len(records.rated) - len(records.shared)
    by_pair: dict[tuple[str, str], list[int]] = {}
    for one in records.rated:
        if not one.vote.why_not:
            by_pair.setdefault((one.row_id, one.traces[0]), []).append(one.vote.score)
    means = {key: sum(scores) / len(scores) for key, scores in by_pair.items()}
    assert len(rows) + sum(kept.left_out.values()) == len(means)
    assert len(rows) == sum(mean != 3 for mean in means.values())
    for row in rows:
        first = "Trace 0" in row["chosen"]
        mean = means[row["row_id"], row["chosen"] if first else row["rejected"]]
        assert (mean > 3) == first
        assert row["weight"] == pytest.approx(0.8 + 0.4 * abs(mean - 3) / 2)
        assert row["chosen_index"] == (0 if first else 1)
    assert pair_weights(read, "stored", 0.5) == [row["weight"] for row in rows]
    assert set(pair_weights(read, "paper", 0.2)) == {1.0}
    export_study(records, report, "pairs", tmp_path / "pairs.jsonl", keep_wrong=True)
    import_pairs(tmp_path / "pairs.jsonl", tmp_path / "again")
    assert read_pairs(str(tmp_path / "again")) == rows


def test_nothing_wrong_or_bad_is_learnt(study: Study) -> None:
    records, _ = study
    main = [one for one in records.rated if not one.vote.why_not]
    (one, *_) = main

    def found(
        votes: list[tuple[int, bool]], right: tuple[bool | None, bool | None], **asked: bool
    ) -> tuple[int, dict[str, int]]:
        gold = {} if right == (None, None) else one.gold
        rated = tuple(
            replace(one, vote=replace(one.vote, score=score, both_bad=bad), right=right, gold=gold)
            for score, bad in votes
        )
        made = preferred_pairs(replace(records, rated=rated), **asked)
        return len(made.rows), {why: count for why, count in made.left_out.items() if count}

    first, second = [(5, False)], [(2, False)]
    assert found(first, (True, False)) == (1, {})
    assert found(first, (False, True)) == (0, {"wrong": 1})
    assert found(second, (False, True)) == (1, {})
    assert found(second, (False, False)) == (0, {"wrong": 1})
    assert found(second, (False, False), keep_wrong=True) == (1, {})
    assert found(first, (None, None)) == (1, {}), "without gold nobody knows"
    half = [(5, False), (3, True)]
    assert found(half, (True, True), keep_wrong=True) == (0, {"both_bad": 1})
    assert found([*half, (4, False)], (True, True)) == (1, {})
    assert found([(3, False)], (True, True)) == (0, {"tie": 1})


def test_pairs_are_written_with_the_template_of_the_arms(study: Study, tmp_path: Path) -> None:
    facts = study[0].facts
    assert template_of(facts) == GuardTemplate.default()
    own = GuardTemplate(instruction="Judge this.", wrapping="plain")
    own.save(tmp_path)
    arms = ({"name": "tuned", "reference": str(tmp_path)}, {"name": "plain", "reference": "x/y"})
    assert template_of(replace(facts, arms=arms)) == own


def test_wrong_formats_and_empty_studies_are_refused(study: Study, tmp_path: Path) -> None:
    records, report = study
    with pytest.raises(InputError, match="format=csv: must be one of"):
        export_study(records, report, "csv", tmp_path / "x")
    with pytest.raises(InputError, match="form=pdf: must be one of"):
        report_text(records, report, "pdf")
    file = tmp_path / "file.jsonl"
    file.write_text("mine")
    for format, to, words in (
        ("jsonl", tmp_path, "is a folder; must be a file that ends in .jsonl"),
        ("parquet", tmp_path, "is a folder; must be a file that ends in .parquet"),
        ("jsonl", tmp_path / "x.csv", "must end in .jsonl with format=jsonl"),
        ("parquet", tmp_path / "x.jsonl", "must end in .parquet with format=parquet"),
        ("pairs", tmp_path / "x.csv", "must be a folder, without an ending, or end in .jsonl or"),
        *((one, file / f"x.{one}", "can't be written") for one in ("jsonl", "parquet")),
        ("dataset", file / "x", "can't be written"),
        ("pairs", file / "x", "can't be written"),
    ):
        with pytest.raises(InputError, match=f"^to={re.escape(str(to))}: {re.escape(words)}"):
            export_study(records, report, format, to)
    assert [path.name for path in tmp_path.iterdir()] == ["file.jsonl"]
    nobody = StudyRecords(records.facts, records.people, ())
    with pytest.raises(DataError, match="no pair has a preference"):
        export_study(nobody, report, "pairs", tmp_path / "none")
    export_study(nobody, report, "parquet", tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "none.parquet").column_names == list(COLUMNS)


def test_the_report_is_a_document(study: Study) -> None:
    records, report = study
    text = report_text(records, report)
    words = ["# Tuned against plain", "Person 1", "Gwet", "withdrawn", "SHA", "reason: done"]
    words += ["the first decisive rating of each conversation", "The error of 5% holds for these"]
    page = report_text(records, report, "html")
    for each in words:
        assert each in text
        assert each.removeprefix("# ") in page
    assert "<script" not in page
    told = report_json(records.facts, report)
    assert told["study"]["arms"][0] == {"name": "tuned", "kind": "adapter", "reference": "tuned"}
    assert json.loads(report_text(records, report, "json"))["counted"] == report.counted
