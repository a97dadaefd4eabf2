"""Config fields that name what a job made: `job:N` and `artifact:N`, and the paths beside them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from sqlalchemy.orm import Session

from db import jobs
from db.models import RESUMABLE, Artifact, Job
from db.session import Database
from pipelines.confinement import check_place
from pipelines.demo_base import ALIASES
from pipelines.jobs.pair_versions import named_version
from pipelines.schema import GuardUIError, InputError, NotFoundError
from pipelines.stages import get_stage
from pipelines.stages.base import (
    Config,
    StageConfig,
    build_config,
    kinds_taken,
    references,
    with_references,
)

REFERENCE = re.compile(r"(job|artifact):(.*)", re.DOTALL)


def resolve_reference(database: Database, kind: str, value: str) -> Path | str:
    """`artifact:N` or `job:N` -> the path of that artifact; a path -> absolute; else unchanged.

    A pair set may be named `NAME@vN` too, and one of a job's several artifacts `job:N#NAME`.

    Raises NotFoundError where there is no such job, artifact or file, and InputError where the
    artifact is of another kind or the job has not made it.
    """
    with database.read() as session:
        return _resolve(session, kind, value)


def _resolve(session: Session, kind: str, value: str) -> Path | str:
    what, number = parse_reference(value)
    kinds = kinds_taken(kind)
    if what == "artifact":
        artifact = jobs.get_artifact(session, number)
        if artifact is None:
            raise NotFoundError(f"{value}: there is no such artifact")
        if artifact.kind not in kinds:
            raise InputError(
                f"{value}: is of kind {artifact.kind}, must be of kind {' or '.join(kinds)}"
            )
    elif what == "job":
        job = _get_job(session, value, number)
        artifact = _made(job, kind, value)
    elif "pair_set" in kinds and (version := named_version(session, value)):
        artifact = version.artifact
    else:
        check_place(kind, value)
        return value if value in ALIASES else absolute(value)
    if not Path(artifact.path).exists():
        raise NotFoundError(f"{value}: {artifact.path} does not exist any more")
    return Path(artifact.path)


def _made(job: Job, kind: str, value: str) -> Artifact:
    """The newest artifact of the job that a reference of this kind may name."""
    kinds, name = kinds_taken(kind), value.partition("#")[2]
    made = [one for one in job.artifacts if one.kind in kinds]
    if not made:
        raise InputError(
            f"{value}: job {job.id} ({job.stage}, {job.state}) made no {' or '.join(kinds)}"
        )
    if not name and kind == "arm":  # an evaluation of its job's may be anybody's
        made = [one for one in made if one.details.get("kind") != "baseline"] or made
    found = [one for one in made if name in ("", one.name)]
    several = kind == "arm" and len({one.name for one in found}) > 1
    if not found or several:
        names = ", ".join(dict.fromkeys(one.name for one in made))
        raise InputError(f"{value}: job {job.id} made {names}; name one as job:{job.id}#NAME")
    return found[-1]


def parse_reference(value: str) -> tuple[str | None, int]:
    """`job:7` and `job:7#NAME` -> ("job", 7); what is no reference -> (None, 0).

    Raises InputError on `job:x`.
    """
    match = REFERENCE.fullmatch(value)
    if match is None:
        return None, 0
    number = match[2].partition("#")[0] if match[1] == "job" else match[2]
    if not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise InputError(f"{value}: must be {match[1]}: and a number")
    return match[1], int(number)


def _get_job(session: Session, value: str, number: int) -> Job:
    job = jobs.get_job(session, number)
    if job is None:
        raise NotFoundError(f"{value}: there is no such job")
    return job


def absolute(value: str) -> Path | str:
    """An existing file or folder as an absolute path; anything else (a Hub id) unchanged."""
    try:
        path = Path(value).expanduser()
        return path.resolve() if path.exists() else value
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a NUL: no path then
        return value


def with_absolute_paths(config: Config) -> Config:
    """The config with its paths made absolute, for a worker runs in a folder of its own.

    That is each reference, and any other text with a path separator, that names something that
    exists.
    """
    named = {name for name, _, _ in references(config)}
    texts = {
        name: str(absolute(value))
        for name, value in config.model_dump().items()
        if isinstance(value, str) and os.sep in value and name not in named
    }
    config = with_references(
        config,
        # A folder that happens to be called as the demo base is not what its name means.
        lambda _name, _kind, value: value if value in ALIASES else str(absolute(value)),
    )
    return config.model_copy(update=texts)


def find_parents(session: Session, config: StageConfig) -> list[int]:
    """The ids of the jobs which the config refers to.

    Raises NotFoundError for one that does not exist, InputError for one that cannot deliver.
    """
    parents: set[int] = set()
    for field, kind, value in references(config):
        what, number = parse_reference(value)
        if what == "artifact":
            _resolve(session, kind, value)
        if what != "job":
            continue
        job = _get_job(session, f"{field}={value}", number)
        if job.state in RESUMABLE:
            raise InputError(
                f"{field}={value}: job {number} ({job.stage}) is {job.state}: "
                "must be waiting, running or succeeded",
                advice=f"Resume job {number} first, or name another.",
            )
        if job.state == "succeeded":
            _resolve(session, kind, value)
        parents.add(number)
    return sorted(parents)


def resolved(database: Database, config: Config) -> Config:
    """The config with every reference made a path."""
    return with_references(
        config, lambda _name, kind, value: str(resolve_reference(database, kind, value))
    )


def resolved_so_far(session: Session, config: Config) -> Config:
    """The config with a path for each reference but those to jobs that have yet to succeed."""

    def path_of(_name: str, kind: str, value: str) -> str:
        what, number = parse_reference(value)
        if what == "job" and _get_job(session, value, number).state != "succeeded":
            return value
        return str(_resolve(session, kind, value))

    return with_references(config, path_of)


def configs_to_come(session: Session, config: StageConfig) -> dict[str, StageConfig]:
    """`job:N` -> what that job runs with, for each one named that has yet to succeed, and for
    those that they name in turn. One of a stage or a config of another version is left out."""
    found: dict[str, StageConfig] = {}
    waiting = [value for _, _, value in references(config)]
    while waiting:
        value = waiting.pop()
        what, number = parse_reference(value)
        job = jobs.get_job(session, number) if what == "job" and value not in found else None
        if job is None or job.state == "succeeded":
            continue
        with suppress(GuardUIError):
            # Paths of what is there by now; what isn't is asked for in turn.
            made = build_config(get_stage(job.stage), None, job.config)
            found[value] = resolved_so_far(session, made)
            waiting += [one for _, _, one in references(made)]
    return found
