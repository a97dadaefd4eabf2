"""The Hugging Face Space: its folder, made from this code, and putting it at the Hub.

A Space is a repository of its own. `spaces/` goes to its root, and the packages go beside it as
they are, so they need no installation there. What goes is told by suffix: nothing that was made
here in passing, no test, no state of this home.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.hub_client import Sent, check_name, connect, named, send
from pipelines.schema import InputError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("guardui", "pipelines", "db")
SUFFIXES = (".py", ".mako", ".js", ".css", ".json", ".jsonl")
FRONT = ("README.md", "app.py", "requirements.txt")
A_TOKEN = re.compile(r"\b(hf_|sk-|ghp_|glpat-)[A-Za-z0-9]{20,}")
OUR_TAG = re.compile(r"^\s*- guardui\s*$", re.MULTILINE)
IDENTITY_KEY, TOKEN = "GUARDUI_IDENTITY_KEY", "HF_TOKEN"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a Space is to be set up; what is empty stays as it is at the Hub."""

    adapters: Sequence[str] = ()
    backup_repo: str = ""
    researchers: Sequence[str] = ()

    def variables(self) -> dict[str, str]:
        """The variables of the Space, none of them secret. Raises InputError for no name."""
        for name in (*self.adapters, *filter(None, [self.backup_repo])):
            check_name(name)
            if "/" not in name:
                raise InputError(f"repo={name}: must be OWNER/NAME")
        given = {
            "GUARDUI_ADAPTERS": ",".join(self.adapters),
            "GUARDUI_BACKUP_REPO": self.backup_repo,
            "GUARDUI_RESEARCHERS": ",".join(self.researchers),
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is at the Hub now: the commit, the variables and secrets that were set by this, and the
    names of the secrets that the owner still has to set."""

    sent: Sent
    set: list[str]
    missing: list[str]


def space_files(root: Path = ROOT) -> dict[str, Path]:
    """Name in the Space -> file here, sorted. Raises InputError where this isn't GuardUI's clone,
    or where a file holds what looks like a token."""
    front = root / "spaces"
    if not all((front / name).is_file() for name in FRONT):
        raise InputError(
            f"folder={front}: is missing, so no Space can be made here",
            advice="Run it from a clone of GuardUI (`pip install -e .`).",
        )
    files = {name: front / name for name in FRONT}
    if (root / "LICENSE").is_file():
        files["LICENSE"] = root / "LICENSE"
    for package in PACKAGES:
        for path in (root / package).rglob("*"):
            place = path.relative_to(root)
            hidden = any(part.startswith((".", "__pycache__")) for part in place.parts)
            if path.is_file() and path.suffix in SUFFIXES and not hidden:
                files[place.as_posix()] = path
    home = str(Path.home())
    own = f"{home}/" if home != "/" else None  # containers have `/`, which is in every address
    for name, path in files.items():
        text = path.read_text("utf-8")
        if A_TOKEN.search(text) or (own and own in text):
            raise InputError(f"file={name}: holds a token or a path of this machine")
    return dict(sorted(files.items()))


def write_space(folder: Path, root: Path = ROOT) -> list[str]:
    """Writes the Space into a new or empty folder; returns the files' names."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"folder={folder}: must be new or empty")
    files = space_files(root)
    try:
        for name, path in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    except OSError as error:
        raise InputError(f"folder={folder}: can't be written ({error.strerror})") from error
    return list(files)


def deploy(
    repo: str,
    wanted: Wanted,
    *,
    private: bool = True,
    token: str | None = None,
    say: Callable[[str], None] = lambda _text: None,
    root: Path = ROOT,
) -> Deployed:
    """Makes or updates a Space: one commit of what differs, none where nothing does.

    With a backup it gets a key for the annotators' links once, as a secret that is kept nowhere
    else. Raises InputError for what can't be a Space or is another app's, HubError where the Hub
    refuses.
    """
    variables = wanted.variables()
    check_name(repo)
    with named(repo, again="deploy again"):
        _must_be_ours(connect(token), repo)
    made = {IDENTITY_KEY: secrets.token_hex(32)} if wanted.backup_repo else {}
    options: dict[str, Any] = {
        "space_sdk": "gradio",
        "space_variables": [{"key": key, "value": value} for key, value in variables.items()],
    }
    with tempfile.TemporaryDirectory(prefix="guardui-space-") as folder:
        names = write_space(Path(folder), root)
        files = {name: Path(folder) / name for name in names}
        sent = send(files, repo, "space", private=private, token=token, say=say, options=options)
    say("setting variables")
    with named(sent.repo, again="deploy again"):
        done, missing = _set_up(connect(token), sent.repo, variables, made)
    return Deployed(sent, done, missing)


def _must_be_ours(api: HfApi, repo: str) -> None:
    """Raises InputError where an app is there whose card lacks our tag: it would be overwritten."""
    if "/" not in repo or not api.repo_exists(repo, repo_type="space"):
        return
    there = set(api.list_repo_files(repo, repo_type="space"))
    if there <= {"README.md", ".gitattributes"}:  # as the Hub makes it
        return
    card = ""
    if "README.md" in there:
        with tempfile.TemporaryDirectory(prefix="guardui-space-") as folder:
            found = api.hf_hub_download(repo, "README.md", repo_type="space", cache_dir=folder)
            card = Path(found).read_text("utf-8", "replace")
    if not OUR_TAG.search(card.removeprefix("---").partition("\n---")[0]):
        raise InputError(
            f"repo={repo}: holds another app, which would be overwritten",
            advice="Name a new Space, or one that `guardui space deploy` made.",
        )


def _set_up(
    api: HfApi, repo: str, variables: Mapping[str, str], made: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Sets what differs: each change restarts the Space. A secret that is there stays."""
    held = api.get_space_variables(repo)
    known = set(api.get_space_secrets(repo))
    done = []
    for name, value in variables.items():
        if name not in held or held[name].value != value:
            api.add_space_variable(repo, name, value)
            done.append(name)
    for name, value in made.items():
        if name not in known:
            api.add_space_secret(repo, name, value)
            done.append(name)
    backed_up = "GUARDUI_BACKUP_REPO" in {*variables, *held}
    return done, [TOKEN] if backed_up and TOKEN not in known else []
