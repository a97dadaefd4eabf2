"""Talking to the Hub: one commit a push, none where nothing changed, and refusals in words.

The token is what `HF_TOKEN` or the Hub's login holds, or is handed over for this one call; it is
kept nowhere. A push that broke off goes on where it was: what has arrived isn't sent again.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from yaml import YAMLError

from pipelines.hub_errors import connect as connect
from pipelines.hub_errors import named as named
from pipelines.schema import HubError, InputError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

RepoType = Literal["model", "dataset", "space"]
PAUSES = (1.0, 3.0)
MARK = "guardui"
"""The tag that each card of ours has. Without it nothing is taken out of a repository."""

STALE: Mapping[RepoType, re.Pattern[str]] = {
    "model": re.compile(
        r"(adapter_model|model|model-\d+-of-\d+)\.safetensors|model\.safetensors\.index\.json"
        r"|training_curve\.png"
    ),
    "dataset": re.compile(r"data/(pairs|ratings)\.parquet"),
    "space": re.compile(r"(guardui|pipelines|db)/.+"),
}
"""What an earlier push left and this one lacks goes; anything else there is somebody's own."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What is at the Hub now. `changed` is False where all of it was there already."""

    repo: str
    revision: str
    url: str
    changed: bool
    removed: tuple[str, ...] = ()
    private: bool = True


@dataclass(frozen=True, slots=True)
class There:
    """What a push would find: whether the repository is private, and what it would take out."""

    private: bool
    removed: tuple[str, ...] = ()


def check_name(repo: str) -> None:
    """Raises InputError for what can't be a repository's name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"repo={repo}: must be NAME or OWNER/NAME ({error})") from None


def send(
    files: Mapping[str, Path],
    repo: str,
    kind: RepoType = "model",
    *,
    private: bool = True,
    token: str | None = None,
    say: Callable[[str], None] = lambda _text: None,
    options: Mapping[str, Any] | None = None,
) -> Sent:
    """Makes the repository where it isn't there, and commits the files that differ, all at once.

    `files` are names in the repository and what lies here; `options` go to `create_repo`. Raises
    InputError for a name that is none, HubError with the repository and what to do otherwise.
    """
    check_name(repo)
    with named(repo):
        api = connect(token)
        name = repo if "/" in repo else full_name(repo, token)
        made = api.create_repo(
            name, private=private, exist_ok=True, repo_type=kind, **(options or {})
        )
        name = made.repo_id
        # `exist_ok` leaves an existing repository as visible as it was.
        hidden = bool(api.repo_info(name, repo_type=kind).private)
        if private and not hidden:
            raise HubError(
                f"repo={name}: exists and is public, but a private push was asked for",
                advice="Choose another name, make the repository private, or push publicly.",
            )
        return replace(_commit(api, name, kind, files, say), private=hidden)


def look(
    files: Mapping[str, Path], repo: str, kind: RepoType = "model", token: str | None = None
) -> There | None:
    """What a push of these files would find; None where there is nothing or it can't be read."""
    try:
        name = full_name(repo, token) if "/" not in repo else repo
        with named(name):
            api = connect(token)
            info = api.repo_info(name, repo_type=kind, timeout=5)
            there = _tree(api, name, kind, str(info.sha))
            stale = _stale(api, name, kind, str(info.sha), there, files)
            return There(bool(info.private), tuple(stale))
    except HubError:
        return None


def full_name(repo: str, token: str | None = None) -> str:
    """OWNER/NAME, the owner being whose token it is where none is named.

    It is the cheapest thing to ask: whoever can't be reached or doesn't know the token says so
    before anything is made. Raises InputError and HubError as `send` does.
    """
    check_name(repo)
    with named(repo):
        who = connect(token).whoami()["name"]
    return repo if "/" in repo else f"{who}/{repo}"


def _commit(
    api: HfApi, name: str, kind: RepoType, files: Mapping[str, Path], say: Callable[[str], None]
) -> Sent:
    """Tries again where the Hub fails at the commit itself, which its client doesn't."""
    hashes: dict[str, tuple[str, str]] = {}
    for pause in (*PAUSES, None):
        head = str(api.repo_info(name, repo_type=kind).sha)
        say("comparing with what is there")
        there = _tree(api, name, kind, head)
        stale = _stale(api, name, kind, head, there, files)
        operations = _changes(there, files, stale, hashes)
        where = f"{api.endpoint}/{'' if kind == 'model' else kind + 's/'}{name}"
        if not operations:
            return Sent(name, head, f"{where}/tree/{head}", False)
        say(f"sending {len(operations) - len(stale)} of {len(files)} files")
        if stale:
            say(f"removing what an earlier push left: {', '.join(stale)}")
        try:
            done = _send(api, name, kind, operations, head)
        except Exception as error:
            if pause is None or not _may_pass(error):
                raise
            logger.warning("the Hub failed at the commit; trying again in %s s", pause)
            time.sleep(pause)
        else:
            logger.info("pushed to %s", name)
            return Sent(name, str(done.oid), f"{where}/tree/{done.oid}", True, tuple(stale))
    raise AssertionError("the last try returns or raises")


def _send(api: HfApi, name: str, kind: RepoType, operations: list[Any], head: str) -> Any:
    """One commit; by LFS where the Hub's newer store for large files can't be had."""
    from huggingface_hub import constants
    from huggingface_hub.utils._runtime import is_xet_available

    def commit() -> Any:
        return api.create_commit(
            name,
            operations,
            commit_message="Push from GuardUI",
            repo_type=kind,
            parent_commit=head,
        )

    if not is_xet_available():
        return commit()
    try:
        return commit()
    except (ConnectionError, RuntimeError) as error:
        logger.warning("the xet store can't be had (%s); sending by LFS", type(error).__name__)
    constants.HF_HUB_DISABLE_XET = True
    try:
        return commit()
    finally:
        constants.HF_HUB_DISABLE_XET = False


def _tree(api: HfApi, name: str, kind: RepoType, head: str) -> dict[str, Any]:
    """The files of a commit by their names."""
    from huggingface_hub.hf_api import RepoFile

    listed = api.list_repo_tree(name, recursive=True, revision=head, repo_type=kind)
    return {one.path: one for one in listed if isinstance(one, RepoFile)}


def _stale(
    api: HfApi,
    name: str,
    kind: RepoType,
    head: str,
    there: Mapping[str, Any],
    files: Mapping[str, Path],
) -> list[str]:
    """What goes because an earlier push of ours left it, where the card there says that it's ours.

    So nothing is lost of a repository that somebody filled by other means.
    """
    from huggingface_hub import RepoCard

    found = sorted(path for path in there if path not in files and STALE[kind].fullmatch(path))
    if not found or "README.md" not in there:
        return []
    with tempfile.TemporaryDirectory(prefix="guardui-card-") as folder:
        card = api.hf_hub_download(
            name, "README.md", repo_type=kind, revision=head, local_dir=folder
        )
        text = Path(card).read_text("utf-8", "replace")
    try:
        tags = RepoCard(text, ignore_metadata_errors=True).data.to_dict().get("tags")
    except (ValueError, TypeError, YAMLError):
        return []
    return found if isinstance(tags, list) and MARK in tags else []


def _changes(
    there: Mapping[str, Any],
    files: Mapping[str, Path],
    stale: Sequence[str],
    hashes: dict[str, tuple[str, str]],
) -> list[Any]:
    """What has to be done so that the repository holds these files."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    changed: list[Any] = []
    for path, file in sorted(files.items()):
        held = there.get(path)
        if held is not None and held.size == file.stat().st_size:
            git, sha256 = hashes.setdefault(path, _hashes(file))
            if held.lfs.sha256 == sha256 if held.lfs else held.blob_id == git:
                continue
        changed.append(CommitOperationAdd(path, file))
    return changed + [CommitOperationDelete(path) for path in stale]


def _hashes(file: Path) -> tuple[str, str]:
    """(the blob's name in git, the sha256) of a file, read once in pieces."""
    git, sha256 = hashlib.sha1(b"blob %d\0" % file.stat().st_size), hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            git.update(part)
            sha256.update(part)
    return git.hexdigest(), sha256.hexdigest()


def _may_pass(error: BaseException) -> bool:
    """Whether it was the commit that failed, and may not the next time."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500 and "/commit/" in str(error.response.url)
    return isinstance(error, HTTPError)
