"""Jobs before they are queued: checked one by one, then stored all together or not at all."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import groups, jobs, lifecycle
from db.audit import record
from db.session import Database
from pipelines.jobs.devices import leased_device
from pipelines.jobs.outcome import DISK_ADVICE
from pipelines.jobs.references import (
    configs_to_come,
    find_parents,
    parse_reference,
    resolve_reference,
    resolved_so_far,
    with_absolute_paths,
)
from pipelines.jobs.steps import Recipe, Step, refuse_unused, values_of
from pipelines.schema import DiskFullError, GuardUIError, InputError
from pipelines.stages import get_stage
from pipelines.stages.base import Config, Stage, StageConfig, build_config
from pipelines.stages.data import DataConfig, load, shared_reads
from pipelines.stages.trained import expecting

MIN_FREE_BYTES = 200 * 2**20
TRAINING = {"rsft": ("datasets", "trl"), "hsdpo": ("datasets", "trl")}
"""The libraries of stages that a Space leaves out."""
Links = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that was checked. `links` and `after`: as in Step; `rows`: its rows by source, where it
    reads any; `refusal`: why it can't be queued."""

    stage: Stage
    preset: str | None
    config: StageConfig
    title: str | None = None
    launcher: str = "local"
    key: str = ""
    links: Links = field(default_factory=dict)
    remarks: Sequence[str] = ()
    rows: Mapping[str, int] | None = None
    refusal: GuardUIError | None = None
    after: Sequence[str] = ()

    @property
    def before(self) -> list[str]:
        """The keys of the jobs that must have succeeded, most for the artifacts that it takes."""
        keys = ([one] if isinstance(one, str) else one for one in self.links.values())
        return list(dict.fromkeys([*(key for found in keys for key in found), *self.after]))


@dataclass(frozen=True, slots=True)
class Group:
    """What the jobs of one launch have in common; see db.models.JobGroup."""

    kind: str
    name: str
    title: str
    field: str = ""


def command_line(stage: Stage, preset: str | None, config: StageConfig) -> str:
    """The same run as a line for the shell; it names what differs from the preset."""
    words = ["guardui", "run", stage.name]
    if preset:
        words += ["--preset", preset]
    # Only the defaults and the preset, not validated: a field without a default may be missing.
    fields = stage.config.model_fields.items()
    usual = {name: info.get_default(call_default_factory=True) for name, info in fields}
    usual |= dict(stage.presets[preset]) if preset else {}
    for name, value in config.model_dump(mode="json").items():
        if value != usual.get(name):
            words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def check_room(folder: Path) -> None:
    """Raises DiskFullError where a job could hardly write anything."""
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise DiskFullError(
            f"{folder} has {free / 2**20:.0f} MiB free: a job needs at least "
            f"{MIN_FREE_BYTES / 2**20:.0f} MiB",
            advice=DISK_ADVICE,
        )


def check(
    database: Database,
    stage: Stage,
    config: StageConfig,
    links: Links | None = None,
    made_by: Mapping[str, StageConfig] | None = None,
) -> list[str]:
    """Looks at a run before it is queued, and returns the stage's remarks for people.

    `links` and `made_by` as in `ready`. Raises a GuardUIError where a reference names nothing or
    the stage says that it can't work.
    """
    _need_libraries(stage.name)
    with ready(database, config, links, made_by) as prepared:
        return stage.check(prepared)


def _need_libraries(stage: str) -> None:
    if "SPACE_ID" in os.environ and not all(map(find_spec, TRAINING.get(stage, ()))):
        raise InputError(
            f"stage={stage}: this Space has no training libraries",
            advice="Train on a machine of your own, push the adapter, and name it to the Space.",
        )


@contextmanager
def ready(
    database: Database,
    config: StageConfig,
    links: Links | None = None,
    made_by: Mapping[str, StageConfig] | None = None,
) -> Iterator[StageConfig]:
    """The config with a path for each reference that has one by now; within the block the stage
    knows of the others what they will be made of.

    `links`: fields that jobs which don't exist yet will fill, with what stands for them, and
    `made_by` the configs of those jobs. Raises a GuardUIError where a reference names nothing.
    """
    links = links or {}
    named = _emptied(with_absolute_paths(config), links)
    with database.read() as session:
        find_parents(session, named)
        prepared = resolved_so_far(session, named)
        coming = configs_to_come(session, named)
    with expecting({**coming, **(made_by or {})}):
        yield prepared.model_copy(update=dict(links))


def plan_recipe(
    database: Database,
    recipe: Recipe,
    values: Mapping[str, Any],
    presets: Mapping[str, str] | None = None,
    *,
    strict: bool = True,
) -> list[Planned]:
    """The recipe's jobs, each checked, in the order in which they run; stores nothing.

    Raises a GuardUIError that names what can't work. Unless `strict`, a job that is refused is
    among them, with its `refusal`.
    """
    presets = presets or {}
    seen = {name: _path_of(database, name, value) for name, value in values.items()}
    plans: list[Planned] = []
    with shared_reads():
        steps = recipe.steps(seen | recipe.read_options(values))
        refuse_unused(recipe, steps, values, presets)
        for step in steps:
            plans.append(plan_step(database, recipe, step, values, presets, plans))
            if strict and (refusal := plans[-1].refusal):
                raise refusal
    return plans


def _path_of(database: Database, name: str, value: Any) -> Any:
    """A dataset's reference as its path, so that a recipe can look into it."""
    if name.rpartition(".")[2] != "dataset" or parse_reference(str(value))[0] == "job":
        return value
    return str(resolve_reference(database, "dataset", str(value)))


def plan_step(
    database: Database,
    recipe: Recipe,
    step: Step,
    values: Mapping[str, Any],
    presets: Mapping[str, str],
    before: Sequence[Planned] = (),
) -> Planned:
    """One job of a recipe, checked; `before`: those of the earlier steps.

    Raises a GuardUIError for a config that is none. One that is refused has its `refusal`.
    """
    stage = get_stage(step.stage)
    usual = step.preset or recipe.presets.get(step.stage)
    preset = presets.get(step.key, presets.get(step.stage, usual))
    links = stand_ins(step.links)
    named = values_of(step, values) | links
    config = with_absolute_paths(build_config(stage, preset, named))
    title = f"{recipe.title}: {step.title or stage.title}"
    plan = Planned(stage, preset, config, title, "local", step.key, step.links, after=step.after)
    try:
        plan = replace(plan, rows=rows_by_source(database, _emptied(config, links)))
        remarks = check(database, stage, config, links, made_by(before))
    except GuardUIError as error:
        return replace(plan, refusal=error)
    return replace(plan, remarks=remarks)


def stand_ins(links: Links) -> dict[str, str | Sequence[str]]:
    """field -> `job:KEY`: the jobs have no ids yet, so each key stands for what its step makes."""
    return {
        name: f"job:{key}" if isinstance(key, str) else [f"job:{one}" for one in key]
        for name, key in links.items()
    }


def made_by(plans: Sequence[Planned]) -> dict[str, StageConfig]:
    """`job:KEY`, what stands for a step's artifacts, -> the config that they will be made with."""
    return {f"job:{plan.key}": plan.config for plan in plans}


def rows_by_source(database: Database, config: StageConfig) -> dict[str, int] | None:
    """source -> rows that the config takes; None where it reads none or they are to be made."""
    if not isinstance(config, DataConfig):
        return None
    with database.read() as session:
        ready = resolved_so_far(session, config)
    if ready.dataset.startswith("job:"):
        return None
    seed = ready.model_dump().get("seed", 0)
    return dict(sorted(Counter(one.source for one in load(ready, seed).examples).items()))


def _emptied(config: Config, links: Links) -> Config:
    """The config without the references that name no job yet."""
    nothing = {name: "" if isinstance(value, str) else [] for name, value in links.items()}
    return config.model_copy(update=nothing)


def insert(database: Database, plans: Sequence[Planned], group: Group | None = None) -> list[int]:
    """Stores all jobs, and their group, in one transaction, links between them made `job:ID`.

    Raises the refusal of one that has it, having stored nothing.
    """
    for refusal in (plan.refusal for plan in plans if plan.refusal):
        raise refusal
    ids: list[int] = []
    by_key: dict[str, int] = {}
    try:
        with database.write() as session:
            group_id = groups.add_group(session, **_columns(group)).id if group else None
            for plan in plans:
                links = {name: _made_by(key, by_key) for name, key in plan.links.items()}
                config = plan.config.model_copy(update=links)
                after = [by_key[key] for key in plan.after]
                ids.append(_add(session, replace(plan, config=config), group_id, after))
                by_key[plan.key] = ids[-1]
                told = {"stage": plan.stage.name, "preset": plan.preset or "", "group": group_id}
                record(session, "job.launch", f"job:{ids[-1]}", **told)
            lifecycle.refresh_blocked(session)
    except OperationalError as error:
        if "disk is full" in str(error):
            raise DiskFullError("the disk is full: no job stored", advice=DISK_ADVICE) from error
        raise
    return ids


def _columns(group: Group) -> dict[str, str]:
    return {"kind": group.kind, "name": group.name, "title": group.title, "field": group.field}


def _made_by(key: str | Sequence[str], ids: Mapping[str, int]) -> str | list[str]:
    return f"job:{ids[key]}" if isinstance(key, str) else [f"job:{ids[one]}" for one in key]


def _add(session: Session, plan: Planned, group_id: int | None, after: Sequence[int] = ()) -> int:
    stage, preset = plan.stage, plan.preset
    usual = f"{stage.title} ({preset})" if preset else stage.title
    return jobs.add_job(
        session,
        stage=stage.name,
        config=plan.config.model_dump(mode="json"),
        preset=preset,
        title=plan.title or usual,
        device=leased_device(plan.config),
        exclusive=stage.exclusive,
        launcher=plan.launcher,
        parents=sorted({*find_parents(session, plan.config), *after}),
        command=command_line(stage, preset, plan.config),
        group_id=group_id,
        group_key=plan.key,
    ).id
