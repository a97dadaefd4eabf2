"""Pushing from the page and the terminal: a preview of every file, and a worker that has a token.

A token that somebody typed goes to one process, in its environment. It is kept nowhere, so a push
with one starts at once or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import update

from db import jobs, leases, lifecycle
from db.models import Job
from db.session import Database
from pipelines import hub
from pipelines.hub_client import There, look
from pipelines.hub_history import History, Publication
from pipelines.jobs.devices import visible_devices
from pipelines.jobs.launchers import launch_local
from pipelines.jobs.planning import Planned, check, check_room, insert
from pipelines.jobs.publications import OWN_TOKEN, history_of, write_study
from pipelines.jobs.queue import job_dir, launched
from pipelines.jobs.references import resolved, with_absolute_paths
from pipelines.schema import InputError
from pipelines.settings import get_settings
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from pipelines.stages.push import PushConfig, prepare

T = TypeVar("T")
BAD_TOKEN = "token: must be one word that begins with hf_, as the Hub's page of tokens shows it"


@dataclass(frozen=True, slots=True)
class Preview:
    """What would go: (name, bytes, what it is) of each file, the card, and what is there already,
    where that can be read."""

    repo: str
    kind: hub.Kind
    public: bool
    files: list[tuple[str, int, str]]
    card: str
    there: There | None = None


class _Looking:
    """As much of a StageContext as `prepare` needs; a preview reports nothing."""

    directory = Path()
    command = ""

    def __init__(self, database: Database) -> None:
        self._database = database

    def history(self, path: Path) -> History:
        return history_of(self._database, path)

    def write_study(self, study_id: int, folder: Path) -> None:
        write_study(self._database, study_id, folder)

    def should_stop(self) -> bool:
        return False

    def _nothing(self, *_told: Any) -> None:
        """Nobody waits for what a preview says of itself."""

    activity = progress = metrics = rewind = remark = artifact = hard_samples = _nothing

    def published(self, publication: Publication) -> None:
        raise AssertionError("a preview publishes nothing")


def preview(database: Database, values: Mapping[str, Any]) -> Preview:
    """All that a push of these values would send; sends nothing and keeps nothing."""
    return _prepared(database, values, _as_preview)


def write_push(database: Database, values: Mapping[str, Any], folder: Path) -> list[str]:
    """Writes what a push would send into a new or empty folder; the files' names."""
    return _prepared(database, values, lambda _config, made: hub.write_folder(made, folder))


def _prepared(
    database: Database,
    values: Mapping[str, Any],
    use: Callable[[PushConfig, hub.Prepared], T],
) -> T:
    stage = get_stage("push")
    config = with_absolute_paths(build_config(stage, None, values))
    check(database, stage, config)
    found = resolved(database, config)
    assert isinstance(found, PushConfig)
    with hub.made_in_passing() as folder:
        return use(found, prepare(found, _Looking(database), folder))


def _as_preview(config: PushConfig, made: hub.Prepared) -> Preview:
    there = look(made.files, made.repo, made.repo_type)
    return Preview(made.repo, made.kind, config.public, made.rows(), made.card, there)


def submit_push(database: Database, values: Mapping[str, Any], token: str) -> int:
    """Starts a push whose worker has this token; the job's id.

    Raises InputError where the job can't start at once, for there is no place to keep the token.
    """
    token = token.strip()
    if not token.startswith("hf_") or not token.isascii() or len(token.split()) != 1:
        raise InputError(BAD_TOKEN)
    stage = get_stage("push")
    config = with_absolute_paths(build_config(stage, None, values))
    check_room(get_settings().home)
    check(database, stage, config)
    # Nobody else starts a job of a terminal's, so none starts it without the token.
    job_id = insert(database, [Planned(stage, None, config, None, "foreground")])[0]
    with database.write() as session:
        jobs.add_event(session, job_id, OWN_TOKEN)
    _start(database, job_id, token)
    return job_id


def _start(database: Database, job_id: int, token: str) -> None:
    settings = get_settings()
    with database.write() as session:
        job = leases.reserve_next(session, only=job_id, devices=visible_devices())
        if job is not None:
            session.execute(update(Job).where(Job.id == job_id).values(launcher="local"))
        else:
            lifecycle.request_stop(session, job_id, "it could not start at once")
    if job is None:
        raise InputError(
            f"job={job_id}: a push with a token of your own can't wait, and what it needs isn't "
            "ready: no token is kept",
            advice="Push again when the jobs that it comes after are done, or set HF_TOKEN where "
            "GuardUI runs.",
        )

    def launch() -> int:
        folder = job_dir(settings, job_id)
        return launch_local(settings, database.url, job_id, folder, {"HF_TOKEN": token})

    launched(database, job_id, launch)


def who_is_known() -> bool:
    """Whether a token is there already: in the environment or by the Hub's login."""
    from huggingface_hub import get_token

    return get_token() is not None


def pushes_of(database: Database, job_id: int) -> list[dict[str, Any]]:
    """What of this job is at the Hub: the newest push to each repository."""
    from pipelines.jobs.publications import latest, publications_of

    with database.read() as session:
        if jobs.get_job(session, job_id) is None:
            return []
        return latest(publications_of(session, job_id))
