"""`guardui study`: from two files of stored answers to a report, and back out again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from db.session import Database, open_database
from guardui.cli import app
from pipelines.pair_sets import read_pairs
from pipelines.settings import Settings
from tests.rated_studies import rate
from tests.stored_answers import write_answers


@pytest.fixture
def database(home: Settings) -> Iterator[Database]:
    database = open_database(home.database_url)
    yield database
    database.dispose()


def call(*words: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["study", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def told(*words: object) -> Any:
    return json.loads(call(*words, "--json")[0])


def test_a_study_from_files_to_its_report(
    home: Settings, database: Database, tmp_path: Path
) -> None:
    assert "No studies yet" in call("list")[0]
    arms = write_answers(tmp_path)
    sets = ["items=8", "unknown_training_ok=true", "overlap_share=0.5", "attention_items=2"]
    given = [word for one in sets for word in ("--set", one)]
    made = told("create", *arms, "--name", "Whose is better", *given)
    study = made["study"]
    (listed,) = told("list")
    assert (listed["id"], listed["name"], listed["state"]) == (study, "Whose is better", "draft")
    assert [arm["name"] for arm in listed["arms"]] == ["tuned", "plain"]
    assert "Whose is better" in call("list")[0]
    assert "tuned and plain are compared" in call("show", study)[0]
    opened = told("open", study)
    assert len(opened["design_hash"]) == 64
    assert "is open; must be draft" in call("open", study, code=2)[1]
    links = told("invite", study, "--people", 2, "--name", "Anna", "--base", "https://rate.me")
    assert links[0]["person"] == "1 · Anna"
    assert links[1]["link"].startswith(f"https://rate.me/?tab=rate#rate={study}-")
    call("invite", study, "--people", 1, "--to", tmp_path / "links.csv")
    assert (tmp_path / "links.csv").read_text().startswith("person,link")
    rate(database, home, study, people=("", "", ""))
    call("pause", study)
    call("resume", study)
    assert "reason: it is empty" in call("close", study, code=2)[1]
    assert told("close", study, "--reason", "All rated")["state"] == "closed"
    assert "only a draft" in call("delete", study, code=2)[1]
    report = told("report", study)
    assert report["study"]["close_reason"] == "All rated"
    assert report["counted"] == report["study"]["rated"] > 0
    assert call("report", study)[0].startswith("# Whose is better\n")
    told("report", study, "--out", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    shown = told("show", study)
    assert "Anna" not in json.dumps(shown)
    assert told("forget", study)["names"] == 1
    out = told("export", study, "--format", "pairs", "--to", tmp_path / "pairs")
    assert len(read_pairs(out["path"])) > 0
    assert out["pairs"] == len(read_pairs(out["path"]))
    assert "ratings" not in out
    every = tmp_path / "every.jsonl"
    said = call("export", study, "--format", "pairs", "--keep-wrong", "--to", every)[0]
    assert said.split(": ")[-1].strip() == f"{len(every.read_text().splitlines())} pairs"
    assert len(every.read_text().splitlines()) > out["pairs"], "some preferred a wrong verdict"
    refused = call("export", study, "--to", tmp_path, code=2)[1]
    assert "is a folder; must be a file that ends in .jsonl" in " ".join(refused.split())
    assert "only pairs know it" in call("export", study, "--keep-wrong", "--to", every, code=2)[1]
    assert told("export", study, "--to", tmp_path / "ratings.jsonl")["ratings"] == report["stored"]
    rows = [json.loads(line) for line in (tmp_path / "ratings.jsonl").read_text().splitlines()]
    assert len(rows) == report["stored"]
    assert {row["first_arm"] for row in rows if row["counted"]} == {"tuned"}


def test_what_cannot_be_is_refused(database: Database, tmp_path: Path) -> None:
    assert "no such study" in call("show", 9, code=2)[1]
    assert "no such study" in call("open", 9, code=2)[1]
    assert "to: name a file" in call("export", 9, code=2)[1]
    assert "only a dataset" in call("export", 9, "--push", "me/x", code=2)[1]
    assert "rate=0.5: must be over 0.5" in call("power", "--rate", 0.5, code=2)[1]
    assert "arms" in call("create", tmp_path / "nothing.jsonl", code=2)[1]


def test_sample_sizes(database: Database) -> None:
    found = told("power", "--rate", 0.65, "--power", 0.9, "--ties", 0.5)
    chances = {name: found.pop(name) for name in list(found)[6:]}
    assert found == {
        "rate": 0.65, "power": 0.9, "decisive": 121, "ratings": 242, "pairs": 242, "target": 0.65,
    }  # fmt: skip
    assert chances == pytest.approx(
        {"passes_at_target": 0.506, "passes_at_rate": 0.000, "rate_that_passes": 0.667}, abs=1e-3
    )
    said = call("power")[0]
    assert "210 decisive ratings" in said
    assert "passed 53 times in a hundred if it is just the truth" in said
    assert (
        "65% of decisive ratings pass 83 times" in call("power", "--rate", 0.65, "--target", 0.6)[0]
    )
    assert "out of reach" in call("power", "--ties", 0.9)[0]
    assert "target=0.5: must be over" in call("power", "--target", 0.5, code=2)[1]
