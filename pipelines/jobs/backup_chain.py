"""What lies in the backup: chains of parts of the database, the files of evaluations, a manifest.

manifest.json                    what belongs together, and who writes
database/000003-0001.json        the third chain's second part
files/jobs/7/…/evaluation.json   what Compare reads, as it lay in the home
"""

from __future__ import annotations

import logging
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.engine import make_url

from pipelines.evaluations import INFO, ROWS
from pipelines.jobs.backup_images import build_image, copy_database, digest_of, make_part
from pipelines.jobs.backup_repo import BackupRepo, BackupTaken
from pipelines.schema import DataError, GuardUIError, HubError, InputError
from pipelines.settings import Settings

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
MOST_PARTS = 200
LARGEST_FILE = 64 * 1024 * 1024


class Link(BaseModel):
    """One part: its file, its size, and the SHA-256 of the database that it leads to."""

    model_config = ConfigDict(extra="forbid")
    file: str
    bytes: int
    image: str


class Manifest(BaseModel):
    """The chains, the newest first, and the SHA-256 of each other file. `writer` may add to it."""

    model_config = ConfigDict(extra="forbid")
    version: int = 1
    writer: str
    made_at: datetime
    chains: list[list[Link]] = []
    number: int = 0
    files: dict[str, str] = {}


class Chains:
    """One home's backup in its repository. Not for several threads."""

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        self.database = Path(make_url(settings.database_url).database or "")
        self.repo = BackupRepo(settings.backup_repo)
        self._folder = self.home / "backup"
        self._head = ""
        self._manifest: Manifest | None = None
        self._fresh = True
        self._owed = False
        """Whether older commits still hold what was erased."""

    def begin(self) -> None:
        """Puts the database back where it is missing, and becomes the backup's one writer.

        Raises InputError where a database is here that the backup isn't of, BackupTaken where
        another one takes it over in this moment, and HubError.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._head = self.repo.open()
        self._manifest = self._read_manifest()
        restored = False
        if self.database.exists():
            if self._manifest is not None and self._manifest.writer != self._writer():
                raise InputError(
                    f"backup_repo={self.repo.name}: is another home's, and {self.database} exists",
                    advice="Move the database away to take what is in the backup, or name another "
                    "repository.",
                )
        elif self._manifest is not None:
            self._restore(self._manifest)
            restored = True
        if not self.database.exists():
            return
        try:
            self.push()
        except GuardUIError:
            if restored:  # it may not be the newest any more
                self.database.unlink()
            raise
        try:
            self._forget_history()
        except HubError as error:
            logger.warning("the backup's history stays as it is: %s", error)

    def push(self, *, anew: bool = False) -> bool:
        """Commits what changed since the last time; False where nothing did. With `anew`, and after
        a researcher erased anything, only what is there now is left in the repository; where that
        fails after the commit, HubError is raised and the next call does it."""
        new, last = self._folder / "new.db", self._folder / "last.db"
        copy_database(self.database, new)
        erased = last.exists() and _last_erasure(new) != _last_erasure(last)
        self._owed = anew = anew or self._owed or erased
        before = self._manifest or Manifest(writer="", made_at=_now())
        newest = before.chains[0] if before.chains else []
        fresh = anew or self._fresh or not last.exists() or _is_long(newest)
        part = make_part(None if fresh else last, new)
        files = dict(self._files(new, before.files))
        if not (fresh or part.changed or files):
            return False
        number = before.number + 1 if fresh else before.number
        at = 0 if fresh else len(newest)
        link = Link(
            file=f"database/{number:06d}-{at:04d}.json",
            bytes=len(part.content),
            image=part.image,
        )
        # One older chain stays, in case that the newest turns out to be broken.
        older = [] if anew else before.chains[:1]
        chains = [[link], *older] if fresh else [[*newest, link], *before.chains[1:2]]
        kept = {one.file for chain in chains for one in chain}
        gone = [one.file for chain in before.chains for one in chain if one.file not in kept]
        manifest = Manifest(
            writer=self._writer(),
            made_at=_now(),
            chains=chains,
            number=number,
            files=before.files | {name: digest_of(path) for name, path in files.items()},
        )
        added: dict[str, bytes | Path] = {
            MANIFEST: manifest.model_dump_json(indent=1).encode(),
            link.file: part.content,
            **{f"files/{name}": path for name, path in files.items()},
        }
        self._commit(added, gone, manifest)
        os.replace(new, last)
        self._manifest, self._fresh = manifest, False
        if anew:
            self._forget_history()
            self._owed = False
        return True

    def _commit(self, added: dict[str, bytes | Path], gone: list[str], manifest: Manifest) -> None:
        try:
            self._head = self.repo.commit(added, gone, self._head, "Backup")
        except BackupTaken:
            # It may have been this very home, and the answer to it was lost on the way.
            self._head = self.repo.head()
            self._manifest = self._read_manifest()
            if self._manifest is None or self._manifest.writer != manifest.writer:
                raise
            self._fresh = True
            raise HubError(f"backup_repo={self.repo.name}: an answer was lost on the way") from None

    def _forget_history(self) -> None:
        """So that what was erased stays in no older commit; large files of them go with the Hub's
        own clearing up. Raises HubError where it stays."""
        self.repo.forget_history()
        self._head = self.repo.head()
        found = self._read_manifest()
        if found is None or found.writer != self._writer():
            raise BackupTaken(f"backup_repo={self.repo.name}: somebody else has written to it")

    def _read_manifest(self) -> Manifest | None:
        found = self.repo.read(MANIFEST, self._head)
        if found is None:
            return None
        try:
            return Manifest.model_validate_json(found)
        except ValidationError as error:
            raise InputError(
                f"backup_repo={self.repo.name}: {MANIFEST} can't be read "
                f"({error.error_count()} faults); a newer GuardUI may have written it"
            ) from None

    def _restore(self, manifest: Manifest) -> None:
        """Writes the newest database that is whole, and the files."""
        for chain in manifest.chains:
            parts = self._read_parts(chain)
            for length in range(len(parts), 0, -1):
                if self._build(parts[:length], chain[length - 1].image):
                    lost = len(manifest.chains[0]) - length if chain is manifest.chains[0] else None
                    if lost != 0:
                        logger.error("the newest backup is broken: an older one was put back")
                    self._restore_files(manifest)
                    logger.info("the database was put back from %s", self.repo.name)
                    return
        if manifest.chains:
            raise InputError(
                f"backup_repo={self.repo.name}: no part of it is whole",
                advice="Its files are kept. Name another repository to start anew.",
            )

    def _read_parts(self, chain: list[Link]) -> list[bytes]:
        """A chain's parts up to the first that is missing, each read once."""
        parts: list[bytes] = []
        for link in chain:
            part = self.repo.read(link.file, self._head)
            if part is None:
                logger.error("backup: %s is missing", link.file)
                break
            parts.append(part)
        return parts

    def _build(self, parts: list[bytes], image: str) -> bool:
        draft = self._folder / "restored.db"
        try:
            build_image(parts, image, draft)
        except DataError as error:
            logger.error("%s", error)
            return False
        self.database.parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft, self.database)
        return True

    def _restore_files(self, manifest: Manifest) -> None:
        for name, digest in manifest.files.items():
            path = PurePosixPath(name)
            outside = path.is_absolute() or ".." in path.parts
            if outside or path.name not in (ROWS, INFO):  # such as who may log in
                logger.error("backup: %.100r is no file of an evaluation", name)
                continue
            content = self.repo.read(f"files/{name}", self._head)
            target = self.home / path
            if content is None or target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f"{target.name}.part")
            draft.write_bytes(content)
            if digest_of(draft) == digest:
                os.replace(draft, target)
            else:
                draft.unlink()
                logger.error("backup: %s is broken and was left out", name)

    def _files(self, image: Path, known: dict[str, str]) -> Iterator[tuple[str, Path]]:
        """The files of evaluations that aren't in the backup yet; they never change."""
        with closing(sqlite3.connect(f"{image.as_uri()}?mode=ro", uri=True)) as opened:
            try:
                rows = opened.execute("SELECT path FROM artifacts WHERE kind = 'evaluation'")
                folders = [Path(row[0]) for row in rows]
            except sqlite3.OperationalError:  # before the tables are made
                return
        for folder in folders:
            if not folder.is_relative_to(self.home):
                continue
            for file in (folder / ROWS, folder / INFO):
                name = file.relative_to(self.home).as_posix()
                if name in known or not file.is_file():
                    continue
                if file.stat().st_size > LARGEST_FILE:
                    logger.warning("backup: %s is too large and was left out", name)
                    continue
                yield name, file

    def _writer(self) -> str:
        """The name by which the backup knows this home, made once."""
        file = self._folder / "writer"
        if not file.exists():
            file.write_text(uuid.uuid4().hex, "ascii")
        return file.read_text("ascii")


def _last_erasure(image: Path) -> int:
    """The number in the audit log of the last time that a researcher erased answers or names."""
    with closing(sqlite3.connect(f"{image.as_uri()}?mode=ro", uri=True)) as opened:
        try:
            found = opened.execute(
                "SELECT max(id) FROM audit_log WHERE act = 'study.forget_names' "
                "OR (act = 'study.withdraw' AND json_extract(details, '$.erase'))"
            ).fetchone()
        except sqlite3.OperationalError:  # before the table is made
            return 0
    return int(found[0] or 0)


def _is_long(chain: list[Link]) -> bool:
    """Whether putting it back would take much longer than with a new one."""
    later = sum(link.bytes for link in chain[1:])
    return len(chain) >= MOST_PARTS or later > max(chain[0].bytes if chain else 0, 1 << 20)


def _now() -> datetime:
    return datetime.now(UTC)
