"""`guardui curves`: files whose values and size are read back."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from db import jobs
from db.models import Event
from db.session import open_database
from guardui.cli import app
from pipelines.jobs import launchers


@pytest.fixture
def database(home, monkeypatch):
    """Three jobs that wait. Reading their curves starts none of them: a launch would be an error,
    and leave no process behind."""
    launched = []
    monkeypatch.setitem(launchers.LAUNCHERS, "local", lambda *words: launched.append(words))
    database = open_database(home.database_url)
    with database.write() as session:
        for number in (1, 2, 3):
            job = jobs.add_job(session, stage="rsft", config={}, preset="exp19")
            for step in range(1, 41) if number < 3 else ():
                data = {"loss": number / step, "learning_rate": 5e-5}
                session.add(Event(job_id=job.id, kind="metrics", step=step, data=data))
    yield database
    with database.read() as session:
        assert {job.state for job in jobs.list_jobs(session)} == {"queued"}
    assert launched == []
    database.dispose()


def call(*words, code=0):
    result = CliRunner().invoke(app, ["curves", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_goes_to_the_screen(database):
    rows = rows_of(call(1)[0])
    assert [float(row["loss"]) for row in rows] == [1 / step for step in range(1, 41)]
    assert {row["job"] for row in rows} == {"1"}


def test_both_files_are_written(database, tmp_path):
    from matplotlib.image import imread

    png, sheet = tmp_path / "new" / "curves.png", tmp_path / "curves.csv"
    out, err = call(1, 2, "--png", png, "--csv", sheet)
    assert (out, err.count("wrote ")) == ("", 2)
    assert imread(png).shape[:2] == (pytest.approx(150 * 5.3, abs=2), 1200)
    rows = rows_of(sheet.read_text())
    assert [(row["job"], row["step"]) for row in rows[39:41]] == [("1", "40"), ("2", "1")]
    told = json.loads(call(2, "--png", png, "--json")[0])
    assert told == {"jobs": [2], "files": [str(png)]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([9], "job=9: there is no such job"),
        ([3], "job=3: no numbers recorded yet"),
        ([1, "--csv", "/dev/null/x.csv"], "file=/dev/null/x.csv: can't be written"),
    ],
)
def test_what_can_not_be_is_named(database, words, said):
    out, err = call(*words, code=2)
    assert out == ""
    assert said in err
