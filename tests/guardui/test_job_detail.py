"""One job's detail: its remarks, its curves to take away, and the files for other viewers."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from db import jobs
from db.models import Artifact, Event, Job
from db.session import open_database
from guardui.job_downloads import curve_routes
from guardui.jobs_view import Selection, view
from guardui.render_job import (
    compare_link,
    curve_links,
    gates_note,
    headline,
    remarks_note,
    tracker_blocks,
)

NASTY = "<script>x</script>"


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    with database.write() as session:
        for number in (1, 2):
            job = jobs.add_job(session, stage="rsft", config={}, preset="exp19")
            for step in range(1, 41):
                data = {"loss": number / step, "learning_rate": 5e-5}
                session.add(Event(job_id=job.id, kind="metrics", step=step, data=data))
        jobs.add_event(session, 1, "log", data={"text": f"going on with batch_size=1 {NASTY}"})
        jobs.add_job(session, stage="rsft", config={})
    yield database
    database.dispose()


@pytest.fixture
def client(database, home):
    return TestClient(Starlette(routes=curve_routes(database)))


def test_what_a_run_noted_stands_under_its_title(database, home):
    headline = view(database, home, Selection(1))["headline"]
    assert "Noted as it ran" in headline
    assert "going on with batch_size=1 &lt;script&gt;" in headline
    assert "Noted as it ran" not in view(database, home, Selection(2))["headline"]
    assert remarks_note([]) == ""


def test_gates_are_told_apart_from_what_was_noted():
    def judged(state, text):
        data = {"text": f"gate: R-SFT #1: {text}", "gate": text, "state": state}
        return Event(job_id=1, kind="log", data=data)

    met, missed = judged("pass", "accuracy >= 0.5"), judged("fail_by_chance", "<b> < 1%")
    assert "All gates met" in gates_note([met])
    both = gates_note([met, missed])
    assert "1 of 2 gates missed" in both
    assert "✕? R-SFT #1: &lt;b&gt; &lt; 1%" in both
    assert remarks_note([met, missed]) == gates_note([]) == ""


def test_evaluations_lead_to_where_they_are_compared():
    made = [
        Artifact(id=n, kind=kind, name="x", path="/x", sha256="0" * 64, bytes=1)
        for n, kind in ((4, "evaluation"), (5, "evaluation"), (6, "adapter"))
    ]
    assert 'href="?compare=4,5">Compare these 2 evaluations' in compare_link(made)
    assert compare_link(made[2:]) == ""


def test_a_job_without_numbers_says_how_long_it_took():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    waits = Job(id=1, stage="evaluate", state="queued", config={}, step=0, total_steps=0)
    assert "not started yet" in headline(waits, [], at)
    ended = Job(id=2, stage="evaluate", state="succeeded", config={}, step=0, total_steps=0)
    ended.started_at, ended.finished_at = at, at + timedelta(seconds=6)
    assert "took 6 s" in headline(ended, [], at)


def test_the_curves_are_offered_where_there_are_some(database, home):
    assert 'href="jobs/1/curves.png"' in view(database, home, Selection(1))["chart"]
    beside = view(database, home, Selection(1, None, 2))["chart"]
    assert 'href="jobs/1/curves.csv"' in beside, "job 2 has no step yet, so it isn't compared with"
    assert "curves.png" not in view(database, home, Selection(3))["chart"]
    assert 'href="jobs/1/curves.csv?with=2"' in curve_links(1, 2)


def test_the_picture_is_answered_at_its_size(client):
    from matplotlib.image import imread

    answer = client.get("/jobs/1/curves.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'attachment; filename="job-1-curves.png"'
    assert imread(io.BytesIO(answer.content)).shape[:2] == (pytest.approx(795, abs=2), 1200)


def test_the_table_is_answered_with_every_value(client):
    answer = client.get("/jobs/1/curves.csv?with=2")
    assert answer.headers["content-disposition"] == 'attachment; filename="job-1-2-curves.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    found = [(row["job"], float(row["loss"])) for row in rows]
    assert found == [(str(job), job / step) for job in (1, 2) for step in range(1, 41)]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/jobs/9/curves.png", "job=9: there is no such job"),
        ("/jobs/3/curves.csv", "job=3: no numbers recorded yet"),
        ("/jobs/1/curves.svg", "form=svg: must be png or csv"),
    ],
)
def test_what_there_is_not_is_named(client, path, said):
    answer = client.get(path)
    assert answer.status_code == 404
    assert said in answer.text


def test_files_for_other_viewers_are_named_with_their_commands(tmp_path):
    folder = tmp_path / "a job's"
    (folder / "trackio").mkdir(parents=True)
    assert "tensorboard" not in tracker_blocks(folder)
    (folder / "tensorboard").mkdir()
    shown = tracker_blocks(folder)
    for command in ("tensorboard --logdir ", "trackio show --project guardui", "TRACKIO_DIR="):
        assert command in shown
    assert "a job&#x27;&quot;&#x27;&quot;&#x27;s/tensorboard" in shown, "quoted for the shell"
    assert tracker_blocks(tmp_path) == ""
