"""What tests push: an adapter as a training leaves it, with its job, curve and evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from db import jobs
from db.models import Event
from db.session import Database
from pipelines.mining import weights_sha256
from pipelines.template import GuardTemplate
from tests.evaluation_runs import evaluated

BASE = "lab/tiny-base"


def write_adapter(folder: Path, **info: Any) -> Path:
    """A folder that reads as an adapter, whose weights fit no model; with a `ref` beside them."""
    (folder / "ref").mkdir(parents=True)
    weights = {"base_model.model.q.lora_A.weight": np.arange(8, dtype=np.float32).reshape(2, 4)}
    for place in (folder, folder / "ref"):
        save_file(weights, place / "adapter_model.safetensors")
    (folder / "optimizer.pt").write_text("must stay")
    _json(folder / "adapter_config.json", {"peft_type": "LORA", "base_model_name_or_path": "/x/y"})
    _json(folder / "tokenizer.json", {"model": {"vocab": {"a": 1}}})
    GuardTemplate.default().save(folder)
    record = {
        "stage": "rsft",
        "base_model": "/srv/tiny",
        "base_model_id": BASE,
        "config": {"dataset": str(folder / "train.jsonl"), "learning_rate": 5e-5, "lora_r": 2},
        "dataset": {"name": "train.jsonl", "sha256": "ab" * 32, "rows": 120},
        "metrics": {"final_loss": 0.5},
        "created_at": "2026-01-02T03:04:05+00:00",
    }
    _json(folder / "training_info.json", record | info)
    return folder


def trained(database: Database, home: Path) -> tuple[int, int]:
    """(a training that succeeded, the artifact that it made), with a curve and an evaluation."""
    with database.write() as session:
        job = jobs.add_job(session, stage="rsft", config={}, title="R-SFT")
        job.state = "succeeded"
        number = job.id
        for step in (1, 2, 3):
            session.add(Event(job_id=number, kind="metrics", step=step, data={"loss": 1 / step}))
    folder = write_adapter(home / "jobs" / str(number) / "adapter")
    with database.write() as session:
        made = jobs.add_artifact(
            session,
            job_id=number,
            kind="adapter",
            name="R-SFT of tiny",
            path=str(folder.resolve()),
            sha256="ab" * 32,
            size=1,
        ).id
    evaluation = evaluated(
        home / "jobs" / "evaluation",
        {"HarmBench|Prompt": ("prompt", "111000", "110-01"), "XSTest": ("refusal", "1100", "1100")},
        model_sha256=weights_sha256(folder),
        remarks=["XSTest: 1 of 4 rows have a prompt that it was trained on"],
        sampling={"max_new_tokens": 64},
    )
    other = evaluated(home / "jobs" / "other", {"Other": ("prompt", "10", "10")})
    with database.write() as session:
        for one in (evaluation, other):
            jobs.add_artifact(
                session,
                job_id=None,
                kind="evaluation",
                name="tiny",
                path=str(one.folder),
                sha256="cd" * 32,
                size=1,
            )
    return number, made


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
