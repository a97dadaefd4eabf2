"""The endpoints that programs call: /classify for who may moderate, those of jobs for
researchers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from db import jobs
from db.session import Database
from guardui.access import require_moderation
from guardui.jsonable import job_json, verdict_json
from guardui.live import Live, moderator_choices
from guardui.render_job import latest
from pipelines.classify import MODES, Mode
from pipelines.jobs import queue
from pipelines.schema import GuardUIError, InputError, NotFoundError
from pipelines.settings import Settings


def publish(database: Database, settings: Settings, live: Live) -> None:
    """Names the endpoints inside the present Blocks."""

    def classify(
        prompt: str, response: str = "", adapter: str = "", mode: str = "reason"
    ) -> dict[str, Any]:
        """One moderation: labels for the three tasks, their probabilities, the reasoning, and the
        parse error if any. `mode` is `reason`, or `fast` for labels without reasoning."""
        require_moderation(settings)
        chosen = read_mode(mode)
        ref = adapter or moderator_choices(database)[0][1]
        verdict = None
        for progress in live.stream(prompt, response or None, ref, mode=chosen):
            verdict = progress.verdict
            seconds = progress.seconds
        if verdict is None:
            raise InputError("prompt: the moderation ended without a verdict")
        return verdict_json(verdict) | {
            "adapter": ref,
            "mode": chosen,
            "seconds": round(seconds, 3),
        }

    gr.api(_answering(classify), api_name="classify", concurrency_limit=32)


def read_mode(mode: str) -> Mode:
    """The mode that a caller asks for; `reasoning` is what `reason` was called before."""
    for known in MODES:
        if mode == known:
            return known
    if mode == "reasoning":
        return "reason"
    raise InputError(f"mode={mode}: must be one of {', '.join(MODES)}")


def publish_jobs(database: Database) -> None:
    """Names the researchers' endpoints inside the present Blocks."""

    def submit(stage: str, values: dict[str, Any], preset: str = "") -> dict[str, Any]:
        """Queues a run of a stage; `values` are config fields that differ from the preset."""
        return {"id": queue.submit(database, stage, values, preset=preset or None)}

    def list_all() -> list[dict[str, Any]]:
        """All jobs, the newest first."""
        with database.read() as session:
            return [job_json(job) for job in jobs.list_jobs(session)]

    def one(job_id: int) -> dict[str, Any]:
        """A job with its config, newest metrics, artifacts and failure."""
        with database.read() as session:
            job = jobs.get_job(session, job_id)
            if job is None:
                raise NotFoundError(f"job={job_id}: there is no such job")
            return job_json(job, full=True) | {
                "metrics": dict(latest(jobs.metrics(session, job_id)))
            }

    def stop(job_id: int) -> dict[str, Any]:
        """Asks a running job to stop at a checkpoint, or cancels a waiting one."""
        return {"id": job_id, "state": queue.stop(database, job_id)}

    for name, function in (("submit", submit), ("jobs", list_all), ("job", one), ("stop", stop)):
        gr.api(_answering(function), api_name=name)


def _answering(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; what people did wrong is answered as a message, not as a traceback."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except GuardUIError as error:
            raise gr.Error(str(error), title=error.code, print_exception=False) from None

    return call
