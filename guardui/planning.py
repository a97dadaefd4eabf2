"""The plan of a run for whoever shows it: the page and the command line ask here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from db.session import Database
from pipelines.jobs.measured import measured_speeds
from pipelines.jobs.planning import Planned, made_by, ready, stand_ins
from pipelines.jobs.references import (
    find_parents,
    resolved_so_far,
    with_absolute_paths,
)
from pipelines.plan import Plan, make_plan
from pipelines.schema import GuardUIError
from pipelines.stages.base import Stage, StageConfig
from pipelines.stages.data import shared_reads


def ready_config(database: Database, config: StageConfig) -> StageConfig:
    """The config with a path for each reference that has one by now.

    Raises NotFoundError or InputError for one that names nothing.
    """
    config = with_absolute_paths(config)
    with database.read() as session:
        find_parents(session, config)
        return resolved_so_far(session, config)


def plan_of(
    database: Database, stage: Stage, config: StageConfig, *, ranks: int = 1
) -> Plan | None:
    """What a run asks of this machine; None for a stage that doesn't tell.

    Raises a GuardUIError for what can't work, but not for what wouldn't fit.
    """
    if stage.workload is None:
        return None
    with ready(database, config) as prepared:
        work = stage.workload(prepared)
    return make_plan(work, measured=measured_speeds(database), ranks=ranks)


def plans_of(database: Database, planned: Sequence[Planned]) -> dict[str, Plan | None]:
    """What each job of a chain or a sweep asks of this machine, by its key.

    None for one whose stage doesn't tell, or whose config can't work at all.
    """
    measured = measured_speeds(database)
    found: dict[str, Plan | None] = {}
    with shared_reads():
        for one in planned:
            found[one.key] = None
            if one.stage.workload is None:
                continue
            links = stand_ins(one.links)
            with (
                suppress(GuardUIError),
                ready(database, one.config, links, made_by(planned)) as config,
            ):
                found[one.key] = make_plan(one.stage.workload(config), measured=measured)
    return found


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan as `--json` gives it; bytes, seconds, and null for what isn't known."""
    return {
        "base_model": plan.work.base or None,
        "device": {
            "kind": plan.device.kind,
            "name": plan.device.name,
            "memory_bytes": plan.device.memory,
        },
        "verdict": plan.verdict,
        "memory_bytes": plan.needed,
        "memory_parts": dict(plan.estimate.parts) if plan.estimate else None,
        "rows": plan.work.rows or None,
        "longest_row_tokens": plan.work.longest or None,
        "global_batch": plan.global_batch,
        "steps": plan.steps,
        "tokens_per_epoch": plan.epoch_tokens,
        "tokens": plan.total_tokens,
        "seconds": plan.seconds,
        "time_from": plan.time_note,
        "suggestions": [
            {"changes": dict(one.changes), "memory_bytes": one.needed} for one in plan.suggestions
        ],
        "remarks": list(plan.remarks),
    }
