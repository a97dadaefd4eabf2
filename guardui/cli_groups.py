"""`guardui recipe`, `sweep` and `wait`: jobs that belong together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from db import groups
from db import jobs as job_rows
from db.models import ENDED, Job
from db.session import Database
from guardui import cli_output as show
from guardui.cli_base import EXIT_CODES, Config, Json, Set, command, open_home, read_values
from guardui.jsonable import error_json, job_json
from guardui.planning import plan_json, plans_of
from pipelines.jobs import queue
from pipelines.jobs.planning import Group, Planned, plan_recipe
from pipelines.jobs.recipes import get_recipe
from pipelines.jobs.supervisor import reconcile
from pipelines.jobs.sweeps import SWEEPS, plan_sweep, require_all
from pipelines.plan import Plan
from pipelines.schema import InputError, NotFoundError

Presets = Annotated[
    list[str] | None,
    typer.Option("--preset", help="STAGE=NAME or STEP=NAME, as often as needed."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the jobs and queue none.")]


def read_presets(words: list[str] | None) -> dict[str, str]:
    """`rsft=exp19` -> {rsft: exp19}. Raises InputError."""
    found = {}
    for word in words or []:
        stage, sign, name = word.partition("=")
        if not (sign and stage and name):
            raise InputError(f"--preset {word}: must be STAGE=NAME")
        found[stage] = name
    return found


@command
def recipe(
    name: str,
    config: Config = None,
    presets: Presets = None,
    assignments: Set = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Queue a chain of stages, each taking what those before it made."""
    database = open_home(look_after=not dry_run)
    values, chosen = read_values(config, assignments), read_presets(presets)
    found = get_recipe(name)
    plans = plan_recipe(database, found, values, chosen, strict=not dry_run)
    launch(database, plans, Group("recipe", name, found.title), dry_run, as_json)


def launch(
    database: Database, plans: Sequence[Planned], group: Group, dry_run: bool, as_json: bool
) -> None:
    """Shows the jobs, and queues them unless they should only be shown.

    Where they are only shown, each comes with what it asks of this machine, also those that would
    be refused; the first refusal is raised then.
    """
    asked = plans_of(database, plans) if dry_run else {}
    if as_json and dry_run:
        steps = [planned_json(plan, asked.get(plan.key)) for plan in plans]
        show.print_json({"steps": steps, "seconds": in_all(asked)})
        return
    if not as_json:
        show.print_plan(plans, asked)
    for refusal in (plan.refusal for plan in plans if plan.refusal):
        raise refusal
    if not dry_run:
        queued(database, queue.submit_group(database, plans, group), as_json)


@command
def sweep(
    name: Annotated[str, typer.Argument(help=f"{', '.join(SWEEPS)}, or STAGE.FIELD.")],
    values: Annotated[str | None, typer.Option(help="Swept values: 1,3 or a JSON list.")] = None,
    config: Config = None,
    presets: Presets = None,
    assignments: Set = None,
    skip: Annotated[bool, typer.Option("--skip", help="Leave out values that can't run.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Queue one run for each value of a field, all else the same; NAME is an ablation."""
    database, given = open_home(look_after=not dry_run), read_values(config, assignments)
    if values is not None:
        given["values"] = values
    plan = plan_sweep(database, name, given, read_presets(presets))
    require_all(plan, skip)
    for value, why in plan.refused:
        show.err.print(f"left out: {plan.sweep.field} {value}: {why}", markup=False)
    launch(database, plan.plans, queue.sweep_group(plan), dry_run, as_json)


def in_all(asked: Mapping[str, Plan | None]) -> float | None:
    """Seconds of all jobs; None where one isn't known."""
    told = [plan.seconds if plan else None for plan in asked.values()]
    known = [seconds for seconds in told if seconds is not None]
    return sum(known) if known and len(known) == len(told) else None


def planned_json(plan: Planned, asked: Plan | None = None) -> dict[str, Any]:
    """A job that would be queued, and what it would ask of this machine where that is known."""
    return {
        "key": plan.key,
        "stage": plan.stage.name,
        "preset": plan.preset,
        "title": plan.title,
        "links": dict(plan.links),
        "rows": plan.rows,
        "remarks": list(plan.remarks),
        "config": plan.config.model_dump(mode="json"),
        "plan": plan_json(asked) if asked else None,
        "refusal": error_json(plan.refusal)["error"] if plan.refusal else None,
    }


def queued(database: Database, ids: list[int], as_json: bool) -> None:
    """Says which jobs were queued, and as which group."""
    if not as_json:
        show.out.print(" ".join(map(str, ids)))
        return
    with database.read() as session:
        rows = [job_rows.get_job(session, job_id) for job_id in ids]
    keys = {row.group_key: row.id for row in rows if row}
    group = next((row.group_id for row in rows if row), None)
    show.print_json({"ids": ids, "group": group, "jobs": keys})


@command
def wait(
    job_ids: Annotated[list[int] | None, typer.Argument(help="Jobs to wait for.")] = None,
    group: Annotated[int | None, typer.Option(help="Wait for all jobs of this group.")] = None,
    as_json: Json = False,
) -> None:
    """Wait until jobs have ended; exits as `run` does, with the worst of their codes.

    A job that is blocked by one that failed has ended too: nothing will start it.
    """
    database = open_home()
    ids = list(job_ids or [])
    if group is not None:
        ids += [job.id for job in read_group(database, group)]
    if not ids:
        raise InputError("wait: name a job or --group")
    with show.job_progress(as_json) as report:
        try:
            rows = until_ended(database, ids, report)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    found = [job_json(row) for row in rows]
    if as_json:
        show.print_json(found)
    else:
        show.out.print(show.jobs_table(found))
    codes = {EXIT_CODES.get(row.state, 1) for row in rows}
    raise typer.Exit(1 if 1 in codes else max(codes))


def read_group(database: Database, group: int) -> list[Job]:
    """The group's jobs. Raises NotFoundError."""
    with database.read() as session:
        found = groups.get_group(session, group)
        if found is None:
            raise NotFoundError(f"group={group}: there is no such group")
        return list(found.jobs)


def until_ended(database: Database, ids: list[int], report: Any, seconds: float = 1.0) -> list[Job]:
    """The jobs, once none of them waits or runs any more; starts what may start meanwhile."""
    while True:
        reconcile(database)
        with database.read() as session:
            found = {job_id: job_rows.get_job(session, job_id) for job_id in ids}
        rows = [row for row in found.values() if row is not None]
        if missing := [job_id for job_id, row in found.items() if row is None]:
            raise NotFoundError(f"job={missing[0]}: there is no such job")
        ended = [row for row in rows if row.state in (*ENDED, "blocked")]
        report("progress", {"step": len(ended), "total": len(rows)})
        running = ", ".join(f"{row.stage} {row.id}" for row in rows if row.state == "running")
        report("activity", {"text": running or "waiting"})
        if len(ended) == len(rows):
            return rows
        time.sleep(seconds)
