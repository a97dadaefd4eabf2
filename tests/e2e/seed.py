"""Rows that make every tab show something, with texts that would run if they were not escaped."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from db import jobs, samples
from db.models import Event, GenerationRow, HardSampleRow, Job, now
from db.session import Database
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.stages.base import build_config

NASTY = "<script>window.xss=1</script><img src=x onerror='window.xss=1'>"
TRACE = """# Task 1
## Reasoning Step 1: Look at the request.
The user asks for what belongs to somebody else {nasty}.
# Task 2
## Reasoning Step 1: Look at the answer.
The assistant declines.
# Task 3
## Reasoning Step 1: Look at the answer again.
It gives nothing away.

Answers:
Request: {label}
Completion: refusal
Response: unharmful"""


def seed(database: Database, settings: Settings) -> None:
    """A trained job, a failed one, and a mining job with 30 hard samples. Ids 1, 2 and 3."""
    with database.write() as session:
        trained = _job(session, "rsft", state="succeeded", step=60, total_steps=60)
        for step in range(1, 61):
            loss = 0.6 + 1.9 * math.exp(-step / 15)
            data = {"loss": loss, "learning_rate": 1e-3, "tokens_per_second": 1240.0}
            session.add(Event(job_id=trained.id, kind="metrics", step=step, data=data))
        path = str(settings.jobs_dir / "1" / "adapter")
        jobs.add_artifact(
            session,
            job_id=trained.id,
            kind="adapter",
            name="demo",
            path=path,
            sha256="ab" * 32,
            size=9,
        )
        failure = {"code": "out_of_memory", "message": f"needed 31 GB of 24 {NASTY}"}
        failure |= {"advice": "Try 4-bit.", "traceback": f"Traceback {NASTY}"}
        _job(session, "rsft", state="failed", step=3, total_steps=9, failure=failure)
        mined = _job(session, "mine", state="succeeded", step=32, total_steps=32)
        samples.replace_samples(session, mined.id, [_sample(n) for n in range(30)])
    log = settings.jobs_dir / "1" / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text(f"step 1 loss 2.4\n{NASTY}\nthe last line\n")


def _job(session: Session, stage: str, **values: Any) -> Job:
    given = {"adapter": "job:1"} if stage == "mine" else {}
    config = build_config(get_stage(stage), "smollm2-demo", given)
    job = jobs.add_job(
        session, stage=stage, preset="smollm2-demo", config=config.model_dump(mode="json")
    )
    moment = now()
    job.started_at, job.finished_at = moment - timedelta(minutes=20), moment - timedelta(minutes=8)
    for name, value in values.items():
        setattr(job, name, value)
    session.flush()
    return job


def _sample(number: int) -> HardSampleRow:
    response = f"I can't help with that. {NASTY}" if number % 2 else None
    generations = []
    for place, label in enumerate(("harmful", "unharmful")):
        said = {"prompt_harmfulness": label}
        text = TRACE.format(nasty=NASTY, label=label)
        generations.append(GenerationRow(position=place, text=text, labels=said, tokens=90))
    return HardSampleRow(
        row_id=f"train.jsonl:{number}",
        source="Aegis" if number % 3 else "WildGuard",
        task="prompt_harmfulness",
        prompt=f"Question {number} {NASTY}",
        response=response,
        gold={"prompt_harmfulness": "harmful"},
        k_correct=1,
        k_incorrect=1,
        chosen=0,
        rejected=1,
        weight=1.0 + number / 100,
        generations=generations,
    )
