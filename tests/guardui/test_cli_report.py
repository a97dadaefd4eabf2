"""`guardui compare` and `guardui evaluations`."""

import json

import pytest
from typer.testing import CliRunner

from db import jobs
from db.session import open_database
from guardui.cli import app
from tests.evaluation_runs import evaluated

ROWS = {"AegisSafetyTest": ("prompt", "111000", "110100")}


@pytest.fixture
def made(home, tmp_path):
    """Job 1 evaluated two subjects, job 2 none."""
    database = open_database(home.database_url)
    with database.write() as session:
        for _ in range(2):
            jobs.add_job(session, stage="evaluate", config={})
        for name in ("First", "Second"):
            one = evaluated(tmp_path / name, ROWS, name=name)
            details = {"kind": "adapter", "mode": "reason", "rows": 6, "failures": 0}
            jobs.add_artifact(
                session,
                job_id=1,
                kind="evaluation",
                name=name,
                path=str(one.folder),
                sha256="",
                size=1,
                details=details | {"f1": {"AegisSafetyTest": 2 / 3, "Empty": None}},
            )
        jobs.add_artifact(
            session, job_id=2, kind="adapter", name="a", path=str(tmp_path), sha256="", size=1
        )
    yield tmp_path
    database.dispose()


def call(*words, code=0):
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_a_job_stands_for_all_that_it_evaluated(made):
    found = json.loads(call("compare", "job:1", "--json")[0])
    assert [one["name"] for one in found["subjects"]] == ["First", "Second"]
    twice = json.loads(call("compare", "job:1", "artifact:2", made / "First", "--json")[0])
    assert [one["name"] for one in twice["subjects"]] == ["First", "Second"]
    other = json.loads(call("compare", "artifact:2", made / "First", "--json")[0])
    assert [one["name"] for one in other["subjects"]] == ["Second", "First"]
    assert other["reference"] == "Second"


def test_form_is_asked_for_or_told_by_the_file(made):
    assert call("compare", "job:1")[0].startswith("# Evaluation of guard models\n")
    page, table = made / "new" / "report.html", made / "table.tex"
    out, err = call("compare", "job:1", "--out", page)
    assert (out, err) == ("", f"wrote {page}\n")
    assert page.read_text().startswith("<!doctype html>")
    call("compare", "job:1", "--out", table)
    assert "\\toprule" in table.read_text()
    told = json.loads(call("compare", "job:1", "--out", table, "--form", "html", "--json")[0])
    assert told == {"file": str(table), "evaluations": ["First", "Second"]}
    assert table.read_text().startswith("<!doctype html>")


def test_gates_and_reference(made):
    words = ("--gate", "accuracy >= 0.9", "--gate", "f1 within 1 points", "--reference", 2)
    found = json.loads(call("compare", "job:1", *words, "--json", "--policy", "dropped")[0])
    assert found["reference"] == "Second"
    assert found["policy"] == "dropped"
    assert [(one["subject"], one["passed"]) for one in found["gates"]] == [
        ("First", False),
        ("First", True),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("job:2",), "job:2: job 2 (evaluate, queued) evaluated none"),
        (("job:9",), "job:9: there is no such job"),
        (("artifact:3",), "artifact:3: is of kind adapter, must be of kind evaluation"),
        (("nowhere",), "evaluation=nowhere: no finished evaluation"),
        (("job:1", "--form", "pdf"), "form=pdf: must be one of markdown, html, json, latex"),
        (("job:1", "--policy", "none"), "policy=none: must be one of wrong_once, authors, dropped"),
        (("job:1", "--reference", 3), "reference=3: must be from 1 to 2"),
        (("job:1", "--reference", 0), "reference=0: must be from 1 to 2"),
        (("job:1", "--gate", "good"), "gate=good: must be FIGURE"),
        (("job:1", "--out", "/dev/null/x.md"), "file=/dev/null/x.md: can't be written"),
    ],
)
def test_what_can_not_be_is_named(made, words, said):
    out, err = call("compare", *words, code=2)
    assert out == ""
    assert said in err


def test_the_list_has_the_newest_first(made):
    out, _ = call("evaluations")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["artifact:2", "artifact:1"]
    assert "AegisSafetyTest 66.7" in lines[1]
    rows = json.loads(call("evaluations", "--json")[0])
    assert [(row["id"], row["name"], row["job"], row["rows"]) for row in rows] == [
        (2, "Second", 1, 6),
        (1, "First", 1, 6),
    ]


def test_an_empty_list_says_what_to_do(home):
    assert "guardui run evaluate" in call("evaluations")[0]
    assert json.loads(call("evaluations", "--json")[0]) == []
