"""A recipe that goes on only past its gates: every job on a tiny model, done in this process."""

from __future__ import annotations

import json

import pytest

from db import jobs
from pipelines.classify import Moderator
from pipelines.evaluations import read_evaluation
from pipelines.jobs import queue
from pipelines.jobs.worker import run_job
from pipelines.schema import InputError
from pipelines.stages import evaluate_work
from pipelines.template import INSTRUCTION
from tests.test_chain import database, values
from tests.test_ensemble_chain import agreeing, launched, read
from tests.tiny_runs import ScriptedEngine, answer

__all__ = ["agreeing", "database", "launched", "values"]


@pytest.fixture
def asked(monkeypatch, values, tmp_path):
    """The recipe's values; every moderator calls all prompts harmful when it is evaluated."""
    open_real = evaluate_work.open_moderator

    def open_scripted(*words, **options):
        real = open_real(*words, **options)
        engine = ScriptedEngine(lambda _prompt, _number: answer("harmful"))
        return Moderator(real.name, engine, real.template, real.tokenizer)

    monkeypatch.setattr(evaluate_work, "open_moderator", open_scripted)
    rows = [
        {
            "instruction": INSTRUCTION,
            "input": f"Human user:\nquestion {n}\n\nAI assistant:\nNone\n\n",
            "output": ("harmful", "unharmful")[n % 2],
        }
        for n in range(8)
    ]
    (tmp_path / "SimpleSafetyTests.json").write_text(json.dumps(rows), "utf-8")
    return values | {
        "benchmarks": ["SimpleSafetyTests"],
        "folder": str(tmp_path),
        "probabilities": False,
        "evaluate.max_rows": 0,
    }


def done(database, launched, values):
    ids = queue.submit_recipe(database, "judged-demo", values)
    while launched:
        run_job(database, launched.pop(0))
    return {job.group_key: job for job in (read(database, job_id) for job_id in ids)}


def test_past_its_gate_it_goes_on_and_both_are_judged(launched, agreeing, database, asked):
    found = done(database, launched, asked | {"judge.gates": ["accuracy >= 0.5"]})
    assert {key: job.state for key, job in found.items()} == dict.fromkeys(
        ["rsft", "judge", "mine", "hsdpo", "final"], "succeeded"
    )
    assert found["judge"].id in [parent.id for parent in found["mine"].parents]
    made = [read_evaluation(one.path) for one in found["final"].artifacts]
    names = [one.info.name for one in made if one.info.kind == "adapter"]
    assert names == [f"R-SFT #{found['rsft'].id}", f"HS-DPO #{found['hsdpo'].id}"]
    # Both are asked the samples that were hard for the first.
    assert all("HardSamples/prompt" in one.columns() for one in made[:2])


def test_a_missed_gate_holds_the_rest_back_and_keeps_what_was_measured(
    launched, agreeing, database, asked
):
    found = done(database, launched, asked | {"judge.gates": ["accuracy >= 0.9"]})
    assert {key: job.state for key, job in found.items()} == {
        "rsft": "succeeded",
        "judge": "failed",
        "mine": "blocked",
        "hsdpo": "blocked",
        "final": "blocked",
    }
    judged = found["judge"]
    assert judged.failure["code"] == "gate"
    assert judged.reason.startswith("1 of 1 gates missed. accuracy >= 0.9: fails: 50.0")
    kinds = [read_evaluation(one.path).info.kind for one in judged.artifacts]
    assert kinds == ["adapter", "baseline", "baseline", "baseline"]
    with database.read() as session:
        assert len(jobs.artifacts(session, kind=("evaluation",))) == 4


def test_a_gate_that_can_never_be_judged_is_refused_at_launch(database, asked):
    with pytest.raises(InputError, match="no reference"):
        queue.submit_recipe(database, "judged-demo", asked | {"judge.gates": ["overall +1 points"]})
