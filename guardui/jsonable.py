"""Domain objects as JSON, the same for the API and for `--json` on the command line."""

from __future__ import annotations

from typing import Any

from db.access_models import AuditRow
from db.models import Job, now
from guardui.render_jobs import timing
from pipelines.schema import DataError, GuardTask, GuardUIError, Verdict


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the API gives it; `flagged` is fail-closed, and a probability is that of the
    task's positive class, or None where there is none."""
    labels = {task.value: verdict.label(task) for task in GuardTask}
    harmful = any(
        labels[task] == "harmful"
        for task in (GuardTask.PROMPT_HARMFULNESS, GuardTask.RESPONSE_HARMFULNESS)
    )
    return {
        "verdicts": labels,
        "probabilities": {task.value: verdict.probabilities.get(task) for task in GuardTask},
        "flagged": harmful or verdict.error is not None,
        "reasoning": verdict.reasoning,
        "raw": verdict.raw,
        "error": verdict.error,
        "tokens": verdict.tokens,
    }


def job_json(job: Job, *, full: bool = False) -> dict[str, Any]:
    """A job as the API gives it; `full` adds config, artifacts and failure."""
    time = timing(job, now())
    short = {
        "id": job.id,
        "stage": job.stage,
        "preset": job.preset,
        "title": job.title,
        "state": job.state,
        "reason": job.reason,
        "step": job.step,
        "total_steps": job.total_steps,
        "elapsed_seconds": time.elapsed,
        "left_seconds": time.left,
        "parents": [parent.id for parent in job.parents],
    }
    if not full:
        return short
    return short | {
        "children": [child.id for child in job.children],
        "config": job.config,
        "activity": job.activity,
        "command": job.command,
        "failure": job.failure,
        "artifacts": [
            {
                "id": one.id,
                "kind": one.kind,
                "name": one.name,
                "path": one.path,
                "sha256": one.sha256,
                "bytes": one.bytes,
                "details": one.details,
            }
            for one in job.artifacts
        ],
    }


def error_json(error: GuardUIError) -> dict[str, Any]:
    """An error as the API and the command line give it."""
    told: dict[str, Any] = {"code": error.code, "message": str(error)}
    if error.advice:
        told["advice"] = error.advice
    if isinstance(error, DataError) and error.faults:
        told["faults"] = error.faults
    return {"error": told}


def audit_json(row: AuditRow) -> dict[str, Any]:
    """An entry of the audit log."""
    return {
        "id": row.id,
        "at": row.at.isoformat(timespec="seconds"),
        "actor": row.actor,
        "role": row.role,
        "entrance": row.entrance,
        "act": row.act,
        "subject": row.subject,
        "details": row.details,
    }
