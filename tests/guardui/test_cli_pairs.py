"""`guardui pairs` on sets made by hand."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from db import jobs, pair_sets
from db.session import open_database
from guardui.cli import app
from pipelines.jobs import launchers
from pipelines.jobs.context import digest
from pipelines.jobs.sample_rows import store_samples
from pipelines.pair_sets import read_pairs, write_pair_set
from tests.hard_cases import TEMPLATE, all_wrong, hard


@pytest.fixture(autouse=True)
def quiet(home, monkeypatch):
    """A home of its own, and no workers."""
    monkeypatch.setitem(launchers.LAUNCHERS, "local", lambda *_words: 2**22 + 1)


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    database.dispose()


def keep(database, folder, samples, name=None, record=None):
    """A job that mined these samples, with its version; the job's id."""
    info = write_pair_set(folder, samples, TEMPLATE, record=record)
    sha256, size = digest(folder)
    with database.write() as session:
        job_id = jobs.add_job(session, stage="mine", config={"gamma": 0.2}).id
        artifact = jobs.add_artifact(
            session, job_id=job_id, kind="pair_set", name="pairs", path=str(folder),
            sha256=sha256, size=size,
        )  # fmt: skip
        pair_sets.register_version(
            session, name=name, artifact_id=artifact.id, sha256=info["sha256"],
            rows=info["rows"], job_id=job_id,
        )  # fmt: skip
    store_samples(database, job_id, samples)
    return job_id


@pytest.fixture
def kept(database, tmp_path):
    """Two versions of `mine` and one of another set; the id of the first job."""
    counts = [{"model": "jobs/1/adapter", "source": "x", "before": 3, "after": 2}]
    first = [hard("a", 3, 1), hard("b", 1, 3), all_wrong("w")]
    record = {"counts": counts, "mined_benchmark": ["SafeRLHF"]}
    job_id = keep(database, tmp_path / "one", first, "mine", record)
    keep(database, tmp_path / "two", [hard("b", 3, 1), hard("c")], "mine")
    keep(database, tmp_path / "three", [hard("z")])
    return job_id


def call(*words, code=0):
    result = CliRunner().invoke(app, ["pairs", *(str(word) for word in words)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def call_json(*words):
    out, err = call(*words, "--json")
    assert err == ""
    return json.loads(out)


def refused(*words):
    out, err = call(*words, code=2)
    assert out == ""
    assert err.startswith("error: ")
    return err


def test_an_empty_list_says_what_to_do():
    assert "guardui run mine" in call("list")[0]
    assert call_json("list") == []


def test_the_list_has_every_version(kept):
    rows = call_json("list")
    assert [row["reference"] for row in rows][1:] == ["mine@v2", "mine@v1"]
    assert (rows[2]["rows"], rows[2]["job"], len(rows[2]["sha256"])) == (2, kept, 64)
    out, _ = call("list")
    assert "mine@v2" in out
    assert rows[1]["sha256"][:12] in out


def test_show_tells_how_it_was_made(kept, tmp_path):
    found = call_json("show", "mine@v1")
    assert (found["rows"], found["weighting"], found["path"]) == (2, "paper", str(tmp_path / "one"))
    out, _ = call("show", f"job:{kept}")
    assert "2 pairs in" in out
    assert "weighting paper, gamma 0.2, pairing longest" in out
    assert "jobs/1/adapter" in out
    assert "mined on rows of a benchmark: SafeRLHF" in out


FIELDS = ["chosen", "chosen_index", "k_correct", "k_incorrect", "weight"]


def test_diff_tells_what_changed(kept):
    assert call_json("diff", "mine@v1", "mine@v2") == {
        "added": ["c"], "removed": ["a"], "changed": {"b": FIELDS}, "unchanged": 0,
    }  # fmt: skip
    out, _ = call("diff", "mine@1", "mine@2")
    assert out.split("\n")[:4] == [
        "1 added, 1 removed, 1 changed, 0 unchanged", "+ c", "- a", f"~ b ({', '.join(FIELDS)})",
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_exported_set_comes_back_the_same(kept, tmp_path, ending):
    file = tmp_path / f"kites.{ending}"
    told = call_json("export", "mine@v1", file)
    assert (told["rows"], told["file"]) == (2, str(file))
    back = call_json("import", file)
    assert (back["reference"], back["rows"], back["job"]) == ("kites@v1", 2, None)
    assert back["sha256"] == told["sha256"]
    assert read_pairs(back["path"]) == read_pairs(str(tmp_path / "one"))
    again = call_json("import", file, "--name", "mine")
    assert again["reference"] == "mine@v3"
    assert call_json("diff", "mine@v1", "mine@v3")["unchanged"] == 2
    assert "kites@v2: 2 pairs" in call("import", file)[0]


def test_a_curated_job_is_frozen_as_the_next_version(kept, database):
    with database.write() as session:
        from db.models import HardSampleRow

        row = session.query(HardSampleRow).filter_by(job_id=kept, row_id="b").one()
        row.review = "accepted"
    found = call_json("freeze", kept, "--only-accepted", "--note", "the best")
    assert (found["reference"], found["rows"], found["note"]) == ("mine@v3", 1, "the best")
    assert [row["row_id"] for row in read_pairs(found["path"])] == ["b"]
    assert call("show", "mine@v3")[0].startswith("1 pairs in")


def test_what_is_wrong_is_named(kept, tmp_path):
    assert "mine@v9: there is no such version (the newest is v2)" in refused("show", "mine@v9")
    assert "no pair set of this name (there are: " in refused("show", "yours@v1")
    assert "must end in .jsonl or .parquet" in refused("export", "mine@v1", tmp_path / "a.csv")
    assert "there is no such file" in refused("import", tmp_path / "none.jsonl")
    call("export", "mine@v1", tmp_path / "a.jsonl")
    for name in ("..", "a/b", "a@v1", " ", "x" * 101):
        assert "name=" in refused("import", tmp_path / "a.jsonl", "--name", name)


def test_a_tampered_set_is_refused_with_words(kept, tmp_path):
    path = Path(tmp_path / "one" / "pairs.jsonl")
    os.chmod(path, 0o644)
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    assert "was changed after the set was frozen" in refused(
        "export", "mine@v1", tmp_path / "a.jsonl"
    )
