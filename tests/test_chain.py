"""R-SFT, mining and HS-DPO as one chain of real worker processes that hand their artifacts on."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from db import jobs, samples
from db.models import ENDED
from db.session import open_database
from pipelines import base_models
from pipelines.classify import Moderator
from pipelines.engines.base import Sampling
from pipelines.jobs import launchers, queue
from pipelines.jobs.supervisor import reconcile
from pipelines.jobs.worker import run_job
from pipelines.settings import get_settings
from pipelines.stages import mine
from pipelines.template import GuardTemplate
from tests.tiny_runs import RSFT, TEST_MODELS, ScriptedEngine, answer, write_rows

# A worker whose moderator answers every other time right, since a random model says nothing.
SCRIPTED_WORKER = """
import sys
from tests.test_chain import script_the_moderator
script_the_moderator()
from pipelines.jobs.worker import main
sys.exit(main([sys.argv[1]]))
"""


def scripted_command(job_id: int) -> list[str]:
    return [sys.executable, "-c", SCRIPTED_WORKER, str(job_id)]


def script_the_moderator() -> None:
    """Called inside a worker: the adapter is opened as ever, but its words are given.

    A worker that ends starts the next one, which must be such a one too.
    """
    launchers.worker_command = scripted_command
    open_real = mine.open_moderator

    def open_scripted(*words, **options):
        real = open_real(*words, **options)
        engine = ScriptedEngine(lambda _p, i: answer(("harmful", "unharmful")[i % 2]))
        return Moderator(real.name, engine, real.template, real.tokenizer)

    mine.open_moderator = open_scripted


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    for child in launchers._children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    launchers._children.clear()
    database.dispose()


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(launchers, "worker_command", scripted_command)


@pytest.fixture
def launched(monkeypatch):
    """The jobs that were dispatched, each as if this process were its worker."""
    found = []

    def launch(_settings, _url, job_id, _folder):
        found.append(job_id)
        return os.getpid()

    monkeypatch.setitem(launchers.LAUNCHERS, "local", launch)
    return found


@pytest.fixture
def values(tiny_base, tmp_path):
    data = str(write_rows(tmp_path / "rows.jsonl"))
    rsft = {
        f"rsft.{name}": value for name, value in (RSFT | {"base_model": str(tiny_base)}).items()
    }
    return rsft | {
        "dataset": data,
        "device": "cpu",
        "max_rows": 0,
        "hsdpo.precision": "fp32",
        "hsdpo.epochs": 1,
    }


def wait(database, *ids, seconds=300):
    """Reconciles, as the page's supervisor does, until these jobs have ended or are blocked."""
    deadline = time.monotonic() + seconds
    while True:
        reconcile(database)
        with database.read() as session:
            found = [jobs.get_job(session, job_id) for job_id in ids]
            states = [job.state for job in found]
            if all(state in (*ENDED, "blocked") for state in states):
                return found
        assert time.monotonic() < deadline, states
        time.sleep(0.5)


def tail(job_id):
    path = queue.job_dir(get_settings(), job_id) / "log.txt"
    return path.read_text()[-2000:] if path.is_file() else "no log"


def test_each_job_takes_what_the_one_before_it_made(scripted, database, values, tiny_base, home):
    ids = queue.submit_recipe(database, "demo", values)
    ended = wait(database, *ids)
    for job in ended:
        assert job.state == "succeeded", f"{job.stage}: {job.reason}\n{tail(job.id)}"
    with database.read() as session:
        made = {
            job_id: {one.kind: Path(one.path) for one in jobs.artifacts(session, job_id=job_id)}
            for job_id in ids
        }
        resolved = [jobs.get_job(session, job_id).resolved for job_id in ids]
        rows, total = samples.list_samples(session, job_id=ids[1])
        curve = [event.data for event in jobs.metrics(session, ids[2])]
    first, pairs, last = made[ids[0]]["adapter"], made[ids[1]]["pair_set"], made[ids[2]]["adapter"]
    assert resolved[1]["adapter"] == resolved[2]["adapter"] == str(first)
    assert resolved[2]["pairs"] == str(pairs)
    assert total == 8
    assert {len(row.generations) for row in rows} == {4}
    assert all({"loss", "loss_dpo", "loss_sft", "reward_margin"} <= set(step) for step in curve)
    assert GuardTemplate.load(first) == GuardTemplate.load(pairs) == GuardTemplate.load(last)
    info = json.loads((last / "training_info.json").read_text())
    assert info["parent"]["stage"] == "rsft"
    adapter = base_models.read_adapter(last)
    assert adapter.base_model == str(tiny_base)
    base_models.load_adapter(adapter)


def test_a_parent_that_finds_nothing_blocks_its_child(launched, database, values):
    """The real engine, in this process: nothing that a random model writes can be parsed."""
    short = values | {"mine.max_new_tokens": 16, "mine.k": 2, "rsft.epochs": 1}
    ids = queue.submit_recipe(database, "demo", short)
    while launched:
        run_job(database, launched.pop(0))
    first, second, third = wait(database, *ids)
    assert (first.state, second.state, third.state) == ("succeeded", "failed", "blocked")
    assert "none of the 8 conversations is a hard sample" in second.reason
    assert f"job {second.id}" in third.reason
    with database.read() as session:
        assert jobs.artifacts(session, job_id=second.id) == []


@pytest.mark.slow
def test_two_steps_of_the_demo_base(launched, database):
    """A job on the real SmolLM2 in this process, and a sentence from the adapter that it made."""
    folder = TEST_MODELS / base_models.DEMO_BASE
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"no demo base in {TEST_MODELS}")
    few = {
        "base_model": str(folder),
        "max_rows": 4,
        "max_steps": 2,
        "batch_size": 1,
        "accumulation": 1,
        "max_length": 1024,
        "device": "cpu",
    }
    job_id = queue.submit(database, "rsft", few, preset="smollm2-demo")
    run_job(database, launched.pop())
    (job,) = wait(database, job_id)
    assert job.state == "succeeded", f"{job.reason}\n{tail(job.id)}"
    with database.read() as session:
        (made,) = jobs.artifacts(session, job_id=job.id)
        losses = [event.data["loss"] for event in jobs.metrics(session, job.id)]
    assert len(losses) == 2
    assert all(0.5 < loss < 5 for loss in losses)
    from pipelines.classify import open_moderator

    guard = open_moderator(made.path, get_settings())
    text = guard.check("How do I bake bread?")
    ((given,),) = guard.engine.generate([text], Sampling(max_new_tokens=8))
    assert given.tokens == 8
    assert given.text.strip()
