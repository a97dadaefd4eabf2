"""The private dataset repository that a backup lies in, as the Hub gives and takes it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipelines.hub_client import RepoType, check_name, connect, named
from pipelines.schema import GuardUIError, HubError, InputError

logger = logging.getLogger(__name__)

KIND: RepoType = "dataset"


class BackupTaken(GuardUIError):
    """Somebody else writes to this backup now: another copy of the Space took over."""

    code = "backup_taken"


class TooManyCommits(HubError):
    """The Hub takes no more commits for a while; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, advice="It goes on by itself.")
        self.retry_after = retry_after


class BackupRepo:
    """One repository. Every method raises HubError where the Hub refuses or can't be reached.

    The token is the client's own: `HF_TOKEN`, or the Hub login.
    """

    def __init__(self, name: str) -> None:
        check_name(name)
        self.name = name
        self._api = connect()

    def open(self) -> str:
        """Makes the repository where it is missing; returns its newest commit.

        Raises InputError where it is public: ratings and invitations are nobody else's business.
        """
        with self._errors():
            self._api.create_repo(self.name, private=True, exist_ok=True, repo_type=KIND)
            info = self._api.repo_info(self.name, repo_type=KIND)
        if not info.private:
            raise InputError(
                f"backup_repo={self.name}: is public, must be private",
                advice="It holds what people rated. Make it private, or name another one.",
            )
        return str(info.sha)

    def head(self) -> str:
        """Its newest commit."""
        with self._errors():
            return str(self._api.repo_info(self.name, repo_type=KIND).sha)

    def read(self, path: str, revision: str) -> bytes | None:
        """A file as of a commit; None where there is none."""
        from huggingface_hub.errors import RemoteEntryNotFoundError

        with self._errors(), tempfile.TemporaryDirectory(prefix="guardui-backup-") as folder:
            try:
                found = self._api.hf_hub_download(
                    self.name, path, repo_type=KIND, revision=revision, cache_dir=folder
                )
            except RemoteEntryNotFoundError:
                return None
            return Path(found).read_bytes()

    def commit(
        self, added: Mapping[str, bytes | Path], deleted: Iterable[str], after: str, message: str
    ) -> str:
        """Adds and deletes files in one commit right after the commit `after`; returns its id.

        Raises BackupTaken where there is a newer one, and TooManyCommits.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
            for path, content in added.items()
        ]
        operations += [CommitOperationDelete(path, is_folder=False) for path in deleted]
        with self._errors():
            made = self._api.create_commit(
                self.name,
                operations,
                commit_message=message,
                repo_type=KIND,
                parent_commit=after,
            )
        return str(made.oid)

    def forget_history(self) -> None:
        """Leaves only the newest commit, so that what was erased is in none."""
        with self._errors():
            self._api.super_squash_history(self.name, repo_type=KIND)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from huggingface_hub.errors import HfHubHTTPError

        where = f"backup_repo={self.name}"
        with named(self.name, "backup_repo", "start again"):
            try:
                yield
            except HfHubHTTPError as error:
                status = error.response.status_code
                if status == 412:
                    raise BackupTaken(f"{where}: somebody else has written to it") from error
                if status == 429:
                    wait = error.response.headers.get("Retry-After", "")
                    seconds = float(wait) if wait.isdigit() else 60.0
                    said = f"{where}: the Hub takes no more for now"
                    raise TooManyCommits(said, seconds) from error
                raise
