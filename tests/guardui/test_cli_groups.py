"""Sweeps, recipes before their launch, groups and waiting, from the command line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from db import jobs, lifecycle
from db.models import Event
from db.session import Database, open_database
from guardui.cli import app
from pipelines.jobs import launchers
from pipelines.settings import Settings
from tests.tiny_runs import RSFT, write_rows

ROOT = Path(__file__).parents[2]

NO_GRADIO = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gradio":
            raise ImportError("gradio is blocked here")

sys.meta_path.insert(0, Blocked())
from guardui.cli import app
for words in COMMANDS:
    try:
        app(words, prog_name="guardui")
    except SystemExit as ended:
        print(words, ended.code)
assert "gradio" not in sys.modules
"""


@pytest.fixture(autouse=True)
def started(home: Settings, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A home of its own, in which no worker is started; the list tells which would have been."""
    found: list[int] = []

    def note(_settings: object, _url: str, job_id: int, _folder: object) -> int:
        found.append(job_id)
        return 2**22 + 1  # above the highest pid there may be

    monkeypatch.setitem(launchers.LAUNCHERS, "local", note)
    return found


@pytest.fixture
def database(home: Settings) -> Any:
    database = open_database(home.database_url)
    yield database
    database.dispose()


@pytest.fixture
def shared(tiny_base: Path, tmp_path: Path) -> list[str]:
    """Settings for a tiny model and eight rows."""
    data = write_rows(tmp_path / "rows.jsonl")
    given = {name: value for name, value in RSFT.items() if name != "epochs"}
    values = given | {"base_model": tiny_base, "dataset": data, "accumulation": 1}
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def call(*words: object, code: int = 0) -> tuple[str, str]:
    """Runs a command; (stdout, stderr)."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def call_json(*words: object, code: int = 0) -> Any:
    out, err = call(*words, "--json", code=code)
    assert err == ""
    return json.loads(out)


def refused(*words: object) -> dict[str, Any]:
    """The error of a command that must fail on its input."""
    _, err = call(*words, "--json", code=2)
    error: dict[str, Any] = json.loads(err)["error"]
    return error


def end(database: Database, job_id: int, state: str, loss: float = 0.5) -> None:
    """As if the job had run: three records, and this end."""
    with database.write() as session:
        job = jobs.get_job(session, job_id)
        assert job is not None
        job.state, job.started_at, job.attempt = "running", job.created_at, 1
        for step in (1, 2, 3):
            data = {"loss": loss + 1 / step, "epoch": step / 2, "tokens": 10.0 * step}
            session.add(Event(job_id=job_id, kind="metrics", step=step, data=data))
        session.flush()
        lifecycle.finish(session, job_id, state)


def queued(database: Database) -> list[str]:
    with database.read() as session:
        return [job.group_key for job in jobs.list_jobs(session)][::-1]


# Sweeps


def test_a_sweep_is_queued_as_a_group(shared: list[str], database: Database) -> None:
    made = call_json("sweep", "epochs", "--values", "1,2", *shared)
    assert list(made["jobs"]) == ["1", "2"]
    assert queued(database) == ["1", "2"]
    (listed,) = call_json("group")
    assert (listed["id"], listed["kind"], listed["field"]) == (made["group"], "sweep", "epochs")
    assert [job["value"] for job in listed["jobs"]] == ["1", "2"]


def test_a_dry_run_tells_what_each_job_asks_and_queues_nothing(
    shared: list[str], database: Database
) -> None:
    shown = call_json("sweep", "epochs", "--values", "1,2", "--dry-run", *shared)
    first, second = shown["steps"]
    assert [first["config"]["epochs"], second["config"]["epochs"]] == [1.0, 2.0]
    assert (first["plan"]["steps"], second["plan"]["steps"]) == (2, 4)
    assert first["plan"]["memory_bytes"] > 0
    assert shown["seconds"] is None  # nothing like it has run here
    out, err = call("sweep", "epochs", "--values", "1,2", "--dry-run", *shared)
    assert out == ""
    assert "how long they take isn't known" in err
    assert queued(database) == []


def test_a_sweep_over_any_field(shared: list[str], database: Database) -> None:
    call("sweep", "rsft.warmup", "--values", "0,0.1", *shared)
    with database.read() as session:
        found = [job.config["warmup"] for job in jobs.list_jobs(session)]
    assert sorted(found) == [0.0, 0.1]


def test_values_that_can_not_run_are_named_or_left_out(
    shared: list[str], database: Database
) -> None:
    error = refused("sweep", "rows", "--values", "4,500,0", *shared)
    assert "max_rows=500: the dataset has 8 rows" in error["message"]
    assert queued(database) == []
    _, err = call("sweep", "rows", "--values", "4,500,0", "--skip", *shared)
    assert "left out: max_rows 500" in err
    assert queued(database) == ["4", "all"]
    error = refused("sweep", "rows", "--values", "500,0", "--skip", *shared)
    assert "only all is left, there is nothing to compare (left out: 500: " in error["message"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["epoch"], "sweep=epoch: no such sweep"),
        (["epochs", "--values", "3"], "a sweep needs at least two values"),
        (["epochs", "--preset", "huge"], "--preset huge: must be STAGE=NAME"),
        (["epochs", "--set", "epochs=3"], "epochs=3: is what is swept"),
    ],
)
def test_what_is_no_sweep_is_named(words: list[str], said: str, database: Database) -> None:
    assert said in refused("sweep", *words)["message"]
    assert queued(database) == []


# Recipes before their launch


def test_a_recipe_shows_its_jobs_and_what_each_asks(
    tiny_base: Path, tmp_path: Path, database: Database
) -> None:
    data = write_rows(tmp_path / "rows.jsonl")
    words = ["--set", f"base_model={tiny_base}", "--set", f"dataset={data}", "--dry-run"]
    steps = call_json("recipe", "demo", *words)["steps"]
    assert [step["key"] for step in steps] == ["rsft", "mine", "hsdpo"]
    # Mining knows the base of the moderator that is yet to be trained.
    assert [step["plan"]["base_model"] for step in steps] == [str(tiny_base)] * 3
    assert all(step["plan"]["memory_bytes"] > 0 for step in steps)
    assert (steps[1]["plan"]["steps"], steps[2]["plan"]["steps"]) == (2, None)
    assert [step["refusal"] for step in steps] == [None] * 3
    assert queued(database) == []


def test_a_refused_recipe_shows_its_plan_and_why(database: Database) -> None:
    _, err = call("recipe", "exp18", "--dry-run", "--set", "device=cpu", code=2)
    assert "first " in err
    assert "continued " in err
    assert err.count("refused: quantization=nf4: needs a GPU") == 2
    assert queued(database) == []


# A group


def test_a_group_is_compared(shared: list[str], database: Database, tmp_path: Path) -> None:
    made = call_json("sweep", "epochs", "--values", "1,2", *shared)
    first, second = made["ids"]
    end(database, first, "succeeded", 0.9)
    whole = call_json("group", made["group"])
    assert (whole["title"], whole["caveat"]) == ("Epochs", None)
    one, other = whole["jobs"]
    assert (one["id"], one["state"], one["steps"], one["tokens"]) == (first, "succeeded", None, 30)
    assert one["loss"] == pytest.approx(0.9 + 1 / 3)
    assert (other["id"], other["loss"]) == (second, None)
    png, table = tmp_path / "epochs.png", tmp_path / "epochs.csv"
    out, err = call("group", made["group"], "--png", png, "--csv", table, "--by", "epochs")
    assert "Final loss" in out
    assert "✓ succeeded" in out
    assert f"wrote {png}" in err
    assert png.read_bytes().startswith(b"\x89PNG")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rows"] for row in rows] == ["4", "8", "12"]


def test_what_only_reads_starts_no_job(
    shared: list[str], database: Database, started: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipelines.jobs.queue.dispatch", lambda _database: [])
        made = call_json("sweep", "epochs", "--values", "1,2", *shared)
    call("group")
    call("group", made["group"])
    call("sweep", "epochs", "--values", "1,2", "--dry-run", *shared)
    call("recipe", "demo", "--dry-run", "--set", "dataset=/no/rows", code=2)
    assert started == []
    call("jobs")
    assert started == made["ids"][:1]


def test_what_can_not_be_compared_is_named(shared: list[str], database: Database) -> None:
    assert "No groups yet" in call("group")[0]
    assert "group=7: there is no such group" in refused("group", 7)["message"]
    assert "group: name the group" in refused("group", "--png", "x.png")["message"]
    made = call_json("sweep", "epochs", "--values", "1,2", *shared)["group"]
    assert "no job of group" in refused("group", made, "--png", "x.png")["message"]
    assert (
        "by=hours: must be one of rows"
        in refused("group", made, "--png", "x", "--by", "hours")["message"]
    )
    assert "can't be written" in refused("group", made, "--csv", "/no/such/x.csv")["message"]
    out, _ = call("group")
    assert "Epochs (epochs)" in out


# Waiting


def test_waiting_ends_with_the_worst_code(shared: list[str], database: Database) -> None:
    made = call_json("sweep", "epochs", "--values", "1,2", *shared)
    first, second = made["ids"]
    end(database, first, "succeeded")
    end(database, second, "stopped")
    assert [row["state"] for row in call_json("wait", first)] == ["succeeded"]
    found = call_json("wait", "--group", made["group"], code=3)
    assert [row["id"] for row in found] == [first, second]
    with database.write() as session:
        job = jobs.get_job(session, second)
        assert job is not None
        job.state = "failed"
    out, _ = call("wait", first, second, code=1)
    assert "✕ failed" in out
    assert "wait: name a job" in refused("wait")["message"]
    assert "job=99" in refused("wait", 99)["message"]


# What the command line needs


def test_no_command_but_serve_needs_gradio(home: Settings, tmp_path: Path) -> None:
    """The commands of a server without a page: each is run with gradio out of reach."""
    png = str(tmp_path / "x.png")
    commands: list[tuple[list[str], int]] = [
        (["--help"], 0),
        (["jobs"], 0),
        (["group"], 0),
        (["group", "1", "--png", png], 2),
        (["sweep", "epochs", "--dry-run", "--set", "base_model=/no/base"], 2),
        (["recipe", "demo", "--dry-run", "--set", "dataset=/no/rows"], 2),
        (["plan", "rsft", "--preset", "exp19", "--json"], 0),
        (["wait", "1"], 2),
        (["job", "1"], 2),
        (["logs", "1"], 2),
        (["stop", "1"], 2),
        (["submit", "mine"], 2),
        (["run", "mine"], 2),
        (["pairs", "list"], 0),
        (["study", "report", "1"], 2),
        (["quality", "/no/file"], 2),
    ]
    script = NO_GRADIO.replace("COMMANDS", repr([words for words, _ in commands]))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"GUARDUI_HOME": str(home.home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    ended = [line for line in done.stdout.splitlines() if line.startswith("[")]
    # A few commands print lists of their own.
    for words, code in commands:
        assert f"{words} {code}" in ended, (words, done.stdout, done.stderr)
