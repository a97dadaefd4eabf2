"""How an attempt at a job ended: named, written to the job's folder, then to the database."""

from __future__ import annotations

import errno
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import jobs, lifecycle, pair_sets
from db.models import Artifact, Event, now
from db.session import Database
from pipelines.failures import OOM_ADVICE, is_out_of_memory, peak_words
from pipelines.jobs.study_import import import_draft, read_drafts
from pipelines.schema import ConfigError, DataError, DiskFullError, GuardUIError, OutOfMemoryError

T = TypeVar("T")

FILE = "outcome.json"
MAX_FAULTS = 50
DISK_ADVICE = "Free some room, then resume the job: it goes on from its last checkpoint."


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """A finished file or folder, as it will stand in the database; `size` in bytes."""

    kind: str
    name: str
    path: str
    sha256: str
    size: int
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt. Artifacts are of a success, or of what was measured and missed."""

    attempt: int
    state: str
    reason: str | None = None
    failure: dict[str, Any] | None = None
    artifacts: list[NewArtifact] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Written under another name first, so that the file is either whole or not there."""
        part = folder / (FILE + ".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / FILE)

    def record(self, database: Database, job_id: int) -> bool:
        """Ends the job with all its artifacts, or changes nothing where it is not active now."""
        drafts, remarks = read_drafts(self.artifacts)
        with database.write() as session:
            ended = lifecycle.finish(
                session, job_id, self.state, self.reason, self.failure, attempt=self.attempt
            )
            for made in self.artifacts if ended else ():
                row = jobs.add_artifact(session, job_id=job_id, **asdict(made))
                if row.kind == "pair_set":
                    register_pairs(session, row)
            for draft in drafts if ended else ():
                import_draft(session, draft, job_id)
            for text in remarks if ended else ():
                said = {"text": storable(text)}
                session.add(Event(job_id=job_id, kind="log", data=said, at=now()))
            return ended


def register_pairs(session: Session, made: Artifact) -> None:
    """Gives a pair set that a job made its version, in the set that the stage named, if it did."""
    details = made.details
    pair_sets.register_version(
        session,
        name=details.get("set_name"),
        artifact_id=made.id,
        sha256=details.get("pairs_sha256") or made.sha256,
        rows=details.get("pairs", details.get("rows", 0)),
        job_id=made.job_id,
    )


def read_outcome(folder: Path, attempt: int) -> Outcome | None:
    """The outcome of this attempt, where the worker came to write one."""
    try:
        outcome = TypeAdapter(Outcome).validate_json((folder / FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return outcome if outcome.attempt == attempt else None


def explain_failure(error: BaseException) -> dict[str, Any]:
    """code, message, advice and traceback, with the faults of a bad dataset or config."""
    named = _name(error)
    failure: dict[str, Any] = {
        "code": named.code,
        "message": storable(str(named)) or type(error).__name__,
        "advice": named.advice,
        "traceback": storable("".join(traceback.format_exception(error))),
    }
    if isinstance(error, DataError | ConfigError):
        failure["faults"] = [storable(fault) for fault in error.faults[:MAX_FAULTS]]
        failure["fault_count"] = len(error.faults)
    return failure


def _name(error: BaseException) -> GuardUIError:
    if isinstance(error, GuardUIError):
        return error
    chain = list(_chain(error))
    if any(is_out_of_memory(one) for one in chain):
        return OutOfMemoryError(f"out of memory ({peak_words()}): {error}", advice=OOM_ADVICE)
    if any(_is_disk_full(one) for one in chain):
        return DiskFullError(f"the disk is full: {error}", advice=DISK_ADVICE)
    return GuardUIError(f"{type(error).__name__}: {error}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error).lower()
    return "no space left on device" in text or "database or disk is full" in text


def storable(text: str) -> str:
    """The text without what databases refuse: PostgreSQL NUL, both half a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def insist(action: Callable[[], T], seconds: float = 120.0) -> T:
    """Tries again while the database is locked or away, for so long at most."""
    deadline = time.monotonic() + seconds
    pause = 0.1
    while True:
        try:
            return action()
        except OperationalError as error:
            if _is_disk_full(error) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 2, 5.0)
