"""The command in an adapter's folder, run as it stands there, makes the same adapter again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from db import jobs
from db.session import open_database
from guardui.cli import app
from pipelines.jobs import launchers
from pipelines.jobs.queue import submit
from pipelines.jobs.worker import run_job
from tests.tiny_runs import RSFT, make_pairs, write_rows


@pytest.fixture
def database(home, monkeypatch, tmp_path):
    for name, value in launchers.WORKER_ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("transformers.utils.logging._tqdm_active", False)
    database = open_database(home.database_url)
    yield database
    database.dispose()


def made_by(database, job_id):
    """(the adapter's folder, its losses) of a job that succeeded."""
    with database.read() as session:
        job = jobs.get_job(session, job_id)
        assert job is not None
        assert (job.state, job.failure) == ("succeeded", None)
        losses = [event.data.get("loss") for event in jobs.metrics(session, job_id)]
        return Path(job.artifacts[0].path), losses


def run_again(database, folder, monkeypatch, elsewhere):
    """Runs what `command.txt` holds, in another folder; the new adapter's folder and losses."""
    monkeypatch.chdir(elsewhere)
    words = shlex.split((folder / "command.txt").read_text())
    assert words[0] == "guardui"
    result = CliRunner().invoke(app, [*words[1:], "--json"])
    assert result.exit_code == 0, result.output
    return made_by(database, json.loads(result.stdout)["id"])


@pytest.mark.parametrize("preset", [None, "smollm2-demo"])
def test_rsft(database, tiny_base, tmp_path, monkeypatch, preset):
    # A relative path, a value with blanks and a list: none may be lost on the way.
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "my rows.jsonl")
    values = RSFT | {"base_model": str(tiny_base), "dataset": "my rows.jsonl", "max_rows": 0}
    values |= {"lora_targets": ["q_proj", "v_proj"], "holdout": 0.25, "keep_best": True, "seed": 7}
    job = submit(database, "rsft", values, preset=preset, launcher="foreground")
    run_job(database, job)
    folder, losses = made_by(database, job)
    assert json.loads((folder / "training_info.json").read_text())["command"] in (
        (folder / "command.txt").read_text()
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again, same = run_again(database, folder, monkeypatch, elsewhere)
    assert again != folder
    assert same == losses
    name = "adapter_model.safetensors"
    assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_hsdpo(database, tiny_adapter, tmp_path, monkeypatch):
    values = {"adapter": str(tiny_adapter), "pairs": str(make_pairs(tmp_path / "pairs"))}
    values |= {"device": "cpu", "precision": "fp32", "max_steps": 3, "learning_rate": 5e-3}
    job = submit(database, "hsdpo", values, launcher="foreground")
    run_job(database, job)
    folder, losses = made_by(database, job)
    again, same = run_again(database, folder, monkeypatch, tmp_path)
    assert same == losses
    name = "adapter_model.safetensors"
    assert (again / name).read_bytes() == (folder / name).read_bytes()
