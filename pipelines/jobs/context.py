"""What a stage talks to while it runs. A thread of its own writes to the database."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import jobs, lifecycle
from db.models import Event, now
from db.session import Database
from pipelines.failures import device_peak, peak_memory
from pipelines.hub_history import History, Publication
from pipelines.jobs.outcome import NewArtifact, insist, storable
from pipelines.jobs.publications import history_of, keep_publication, write_study
from pipelines.jobs.sample_rows import store_samples
from pipelines.schema import HardSample, InputError

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
MEMORY_SECONDS = 30.0

OnEvent = Callable[[str, Mapping[str, Any]], None]
"""Called as (kind, data): `activity` {text}, `progress` {step, total}, `metrics` {step, ...},
`remark` {text}, `artifact` {kind, name, path}, `hard_samples` {count}, `published` {repo, url,
revision, changed, ...}."""


class JobContext:
    """The StageContext of one attempt at a job.

    What a stage reports is kept in memory and written twice a second, so that a locked database
    neither slows nor ends a training. Artifacts wait in `made` until the attempt has succeeded:
    one that fails hands nothing on.
    """

    def __init__(
        self,
        database: Database,
        job_id: int,
        attempt: int,
        directory: Path,
        *,
        heartbeat_seconds: float,
        command: str = "",
        on_event: OnEvent | None = None,
    ) -> None:
        self.directory = directory
        self.command = command
        self.made: list[NewArtifact] = []
        self._database = database
        self._job_id = job_id
        self._again = attempt > 1
        self._heartbeat_seconds = heartbeat_seconds
        self._on_event = on_event
        self._stop = threading.Event()
        self._asked_here = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._metrics: list[Event] = []
        self._changes: dict[str, Any] = {}
        self._again_from: int | None = None
        self._next_beat = self._next_memory = 0.0
        self._thread = threading.Thread(target=self._keep_recording, name="recorder", daemon=True)

    def __enter__(self) -> JobContext:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            insist(self._write, seconds=30)
        except OperationalError:
            # The attempt's end counts more than its last metrics.
            logger.exception("the last metrics of job %d are lost", self._job_id)

    def activity(self, text: str) -> None:
        logger.info("%s", text)
        with self._lock:
            self._changes["activity"] = storable(text)
        self._tell("activity", {"text": text})

    def progress(self, step: int, total: int) -> None:
        with self._lock:
            self._changes |= {"step": step, "total": total}
        self._tell("progress", {"step": step, "total": total})

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """A value that is not finite is stored as null: JSON has no word for it."""
        plain = {name: float(value) for name, value in values.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in plain.items()}
        row = Event(job_id=self._job_id, kind="metrics", step=step, data=finite, at=now())
        with self._lock:
            if self._again:
                self._again, self._again_from = False, step
            self._metrics.append(row)
        self._tell("metrics", {"step": step, **finite})

    def rewind(self, step: int) -> None:
        with self._lock:
            self._metrics = [row for row in self._metrics if not _later(row, step)]
            self._again, self._again_from = False, step + 1

    def remark(self, text: str, data: Mapping[str, Any]) -> None:
        logger.warning("%s", text)
        said = {"text": storable(text), **json.loads(json.dumps(dict(data), default=str))}
        with self._lock:
            self._metrics.append(Event(job_id=self._job_id, kind="log", data=said, at=now()))
        self._tell("remark", {"text": text})

    def artifact(self, kind: str, path: Path, name: str, details: Mapping[str, Any]) -> None:
        path = Path(path).resolve()
        if not path.exists():
            raise InputError(f"artifact {name}: {path} does not exist")
        sha256, size = digest(path)
        plain = json.loads(json.dumps(dict(details), default=str), parse_constant=lambda _: None)
        self.made.append(NewArtifact(kind, storable(name), str(path), sha256, size, plain))
        self._tell("artifact", {"kind": kind, "name": name, "path": str(path)})

    def hard_samples(self, samples_: Sequence[HardSample]) -> None:
        store_samples(self._database, self._job_id, samples_)
        self._tell("hard_samples", {"count": len(samples_)})

    def should_stop(self) -> bool:
        return self._stop.is_set()

    def history(self, path: Path) -> History:
        return history_of(self._database, path)

    def write_study(self, study_id: int, folder: Path) -> None:
        write_study(self._database, study_id, folder)

    def published(self, publication: Publication) -> None:
        insist(lambda: keep_publication(self._database, self._job_id, publication))
        self._tell("published", publication.to_json())

    def ask_stop(self) -> None:
        """Asks this attempt to stop, from a signal handler; the database hears of it later."""
        self._asked_here.set()
        self._stop.set()

    def _tell(self, kind: str, data: Mapping[str, Any]) -> None:
        if self._on_event is not None:
            self._on_event(kind, data)

    def _keep_recording(self) -> None:
        pause = min(TICK_SECONDS, self._heartbeat_seconds)
        troubled = False
        while not self._ended.wait(pause):
            try:
                self._write()
            except OperationalError as error:
                if not troubled:
                    logger.warning("the database is not to be written, will try again: %s", error)
                troubled = True
            else:
                troubled = False

    def _write(self) -> None:
        """Writes what is new in one short transaction; after an error all of it is still new."""
        asked = self._asked_here.is_set()
        beats = asked or time.monotonic() >= self._next_beat
        with self._lock:
            rows, changes, again_from = list(self._metrics), dict(self._changes), self._again_from
        if not (beats or rows or changes or again_from is not None):
            return
        with self._database.write() as session:
            if asked:
                lifecycle.request_stop(session, self._job_id)
            if lifecycle.heartbeat(session, self._job_id):
                self._stop.set()
            lifecycle.set_progress(session, self._job_id, **changes)
            if again_from is not None:
                jobs.drop_metrics(session, self._job_id, from_step=again_from)
            # Copies: a row whose transaction fails could not be added to the next one.
            session.add_all(_copy(row) for row in rows)
            self._add_memory(session)
        if asked:
            self._asked_here.clear()
        self._next_beat = time.monotonic() + self._heartbeat_seconds
        with self._lock:
            # By identity: a rewind may have taken rows out meanwhile.
            written = {id(row) for row in rows}
            self._metrics = [row for row in self._metrics if id(row) not in written]
            self._changes = {k: v for k, v in self._changes.items() if changes.get(k) != v}
            self._again_from = None if self._again_from == again_from else self._again_from

    def _add_memory(self, session: Session) -> None:
        if time.monotonic() >= self._next_memory:
            rss = psutil.Process().memory_info().rss
            data = {"rss": rss, "peak": peak_memory(), "device_peak": device_peak()}
            jobs.add_event(session, self._job_id, "heartbeat", data=data)
            self._next_memory = time.monotonic() + MEMORY_SECONDS


def _later(row: Event, step: int) -> bool:
    return row.kind == "metrics" and row.step is not None and row.step > step


def _copy(row: Event) -> Event:
    return Event(job_id=row.job_id, kind=row.kind, step=row.step, data=row.data, at=row.at)


def digest(path: Path) -> tuple[str, int]:
    """(sha256, bytes) of a file, or of a folder: over its files' sorted names and hashes."""
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest(), path.stat().st_size
    total, size = hashlib.sha256(), 0
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    for name, file in sorted(files.items()):
        sha256, length = digest(file)
        total.update(f"{name}\0{sha256}\n".encode())
        size += length
    return total.hexdigest(), size
