"""The backup of a home whose disk doesn't last: its database and evaluations in a private dataset.

A thread looks each second whether anybody has written, and commits what changed: soon where a
person waits for it, else once `GUARDUI_BACKUP_SECONDS` have passed. Many changes go in one commit,
for the Hub takes only so many an hour. Each commit follows upon the one before or is refused, so of
two copies of a Space only the later one writes, and the earlier confirms nothing any more.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from pipelines.jobs.backup_chain import Chains
from pipelines.jobs.backup_repo import BackupTaken, TooManyCommits
from pipelines.schema import GuardUIError, HubError, InputError
from pipelines.settings import Settings

logger = logging.getLogger(__name__)

Saved = Callable[[bool], Future[None]]
"""Gives what is done once all that is committed by now is in the backup, or fails. With True, what
was erased from the database is in no file and no older commit of it either."""

AT_ONCE, SECONDS_EACH = 30, 40.0
"""So many commits in a row, then one in so many seconds: at most 120 in any hour."""
FIRST_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)
FAILED_WAIT = 2.0
LOOK_SECONDS = 1.0


@contextmanager
def keeping(settings: Settings) -> Iterator[Saved | None]:
    """Puts the database back where it is gone, and backs it up until the end; None without a
    backup. To be entered before the database is opened.

    Without a token nothing can be backed up: then what is to be kept fails, and all else works.
    Raises InputError for what can't be a backup, HubError where the Hub doesn't answer: starting
    with an empty database instead would look as if all was lost.
    """
    if not settings.backup_repo:
        yield None
        return
    from huggingface_hub import get_token

    if get_token() is None:
        logger.error("GUARDUI_BACKUP_REPO is set without HF_TOKEN: ratings are not taken")
        yield _no_token
        return
    backup = Backup(settings)
    backup.begin()
    try:
        yield backup.saved
    finally:
        backup.end()


def _no_token(_erased: bool = False) -> Future[None]:
    future: Future[None] = Future()
    future.set_exception(HubError("Ratings can't be kept here: the backup has no token (HF_TOKEN)"))
    return future


class Backup:
    """Keeps a home's backup up to date, from a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        if not settings.database_url.startswith("sqlite:///"):
            raise InputError(
                f"backup_repo={settings.backup_repo}: only SQLite in the home is backed up",
                advice="Leave GUARDUI_DATABASE_URL empty, or GUARDUI_BACKUP_REPO.",
            )
        if settings.identity_key is None and not (settings.home / "identity.key").exists():
            raise InputError(
                "identity_key: is missing, and without it every invite link ends at a restart",
                advice="Set the secret GUARDUI_IDENTITY_KEY to 64 random hexadecimal digits, once: "
                "`guardui space deploy --backup-repo` does it.",
            )
        self._chains = Chains(settings)
        self._each, self._seconds = settings.backup == "each", settings.backup_seconds
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._waiting: list[Future[None]] = []
        self._erased = False
        self._over: BackupTaken | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backup", daemon=True)
        self._commits, self._counted = float(AT_ONCE), time.monotonic()
        self._not_before, self._failures = 0.0, 0
        self._changed_at: float | None = None
        self._looker: sqlite3.Connection | None = None
        self._seen = -1

    def begin(self) -> None:
        """Puts back what is missing, takes the backup over, and starts the thread."""
        for wait in (*FIRST_WAITS, None):
            try:
                self._chains.begin()
                break
            except InputError:
                raise
            except (HubError, BackupTaken) as error:
                if wait is None:
                    raise
                logger.warning("%s; trying again in %.0f s", error, wait)
                time.sleep(wait)
        self._thread.start()

    def end(self) -> None:
        """Ends the thread and commits what is left."""
        self._ended.set()
        self._wake.set()
        self._thread.join()
        self._attempt()

    def saved(self, erased: bool = False) -> Future[None]:
        """What is done once all that is committed by now is in the backup; with `erased`, it is
        begun anew, and nothing older is kept.

        With `GUARDUI_BACKUP=soon` it is done at once while the backup works, but for `erased`.
        """
        future: Future[None] = Future()
        with self._lock:
            self._erased = self._erased or erased
            if self._over is not None:
                future.set_exception(self._over)
            elif self._each or erased:
                self._waiting.append(future)
            else:
                future.set_result(None)
        self._wake.set()
        return future

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            try:
                if self._is_due():
                    self._attempt()
            except Exception:  # else nobody's answer would be confirmed any more
                logger.exception("the backup failed; it goes on")

    def _is_due(self) -> bool:
        now = time.monotonic()
        if self._changed_at is None and self._was_written():
            self._changed_at = now
        self._commits = min(AT_ONCE, self._commits + (now - self._counted) / SECONDS_EACH)
        self._counted = now
        if now < self._not_before or self._commits < 1 or self._over is not None:
            return False
        waited = self._changed_at is not None and now - self._changed_at >= self._seconds
        return bool(self._waiting) or waited

    def _was_written(self) -> bool:
        """Whether anybody, in any process, has committed since this was last asked."""
        try:
            if self._looker is None:
                if not self._chains.database.exists():
                    return False
                self._looker = sqlite3.connect(
                    f"{self._chains.database.as_uri()}?mode=ro", uri=True, check_same_thread=False
                )
            found = int(self._looker.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            logger.warning("can't see whether the database was written to: %s", error)
            if self._looker is not None:
                self._looker.close()
            self._looker = None
            return True
        before, self._seen = self._seen, found
        return found != before

    def _attempt(self) -> None:
        """One commit of all that changed; those who wait hear how it went."""
        if self._over is not None or not self._chains.database.exists():
            return
        with self._lock:
            waiting, self._waiting = self._waiting, []
            erased, self._erased = self._erased, False
        failed: Exception | None = None
        self._changed_at = None
        try:
            if self._chains.push(anew=erased):
                self._commits -= 1
            self._failures = 0
        except BackupTaken as error:
            self._over = failed = error
            logger.error("%s: nothing is confirmed here any more", error)
        except TooManyCommits as error:
            failed, self._not_before = error, time.monotonic() + error.retry_after
            logger.warning("%s; trying again in %.0f s", error, error.retry_after)
        except GuardUIError as error:
            self._failures += 1
            wait = min(60.0, FAILED_WAIT * 2**self._failures)
            failed, self._not_before = error, time.monotonic() + wait
            logger.warning("%s; trying again in %.0f s", error, wait)
        except Exception as error:
            failed, self._not_before = error, time.monotonic() + 30
            logger.exception("the backup failed; trying again in 30 s")
        if failed is not None:
            if erased:
                self._erased = True
            self._changed_at = time.monotonic() - self._seconds
        for future in waiting:
            if not future.set_running_or_notify_cancel():
                continue
            if failed is None:
                future.set_result(None)
            else:
                future.set_exception(failed)
