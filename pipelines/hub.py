"""Pushing to the Hugging Face Hub: what goes of an adapter, its model card, and the upload.

Of an adapter only named files leave the machine: weights as safetensors, their configs, the
tokenizer, the template and a cleaned training record. Checkpoints, optimiser state and the `ref/`
adapter of preference training stay. The token comes from `HF_TOKEN` or the Hub login and is never
written.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipelines import demo_base
from pipelines.base_models import Adapter, read_adapter, read_json
from pipelines.hub_card import model_card
from pipelines.schema import DiskFullError, HubError, InputError, ModelError
from pipelines.template import GuardTemplate

logger = logging.getLogger(__name__)

WEIGHTS = {
    False: ("adapter_model.safetensors",),
    True: ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"),
}
TOKENIZER = (
    "tokenizer.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
"""Copied as they are; configs are rewritten instead, as they may name local folders."""
CONFIGS = ("adapter_config.json", "config.json", "generation_config.json", "tokenizer_config.json")
BASE_KEYS = {"base_model_name_or_path", "_name_or_path", "name_or_path"}

SECRET_KEY = re.compile(
    r"^((hf|hub|access|auth|api)_?token|token|.*api_?key|.*secret|.*password|authorization)$", re.I
)
SECRET = re.compile(r"\b(hf_|sk-|ghp_|github_pat_|glpat-)[A-Za-z0-9_-]{8,}")
# A path is absolute, in a home, or climbs out of where the command ran; in quotes it may hold
# blanks. What stands before it keeps URLs, Hub ids and fractions out.
LOCAL_PATH = re.compile(
    r"""(?<![^\s=:,;(\["'`])(?:file://)?(?:/(?![/\s])|~[\w.-]*/|\.\.?/|[A-Za-z]:[\\/](?!/))"""
    r"""[^\s"'`,;)\]]*"""
)
QUOTED_PATH = re.compile(r"""(["'])((?:file://)?(?:/(?!/)|~/|\.\.?/|[A-Za-z]:\\)[^"'\n]*)\1""")


@dataclass(frozen=True, slots=True)
class PushInfo:
    """What a push is about: the repository, the base model's Hub id, and the training record."""

    repo: str
    base_model_id: str
    full: bool
    training: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push wrote: the files, and the commit's address unless it was a dry run."""

    repo: str
    files: list[str]
    url: str | None = None


def push(
    adapter_dir: Path,
    repo: str,
    *,
    private: bool = True,
    dry_run: Path | None = None,
    token: str | None = None,
) -> Pushed:
    """Uploads an adapter with its card and template; with `dry_run`, writes that folder instead.

    Raises InputError or ModelError for what can't be pushed, before anything is written, and
    HubError, naming the repository and what to do, where the Hub refuses or can't be reached.
    """
    info = push_info(adapter_dir, repo)
    if dry_run is not None:
        return Pushed(repo, write_push_folder(adapter_dir, dry_run, info))
    with tempfile.TemporaryDirectory(prefix="guardui-push-") as folder:
        files = write_push_folder(adapter_dir, Path(folder), info)
        return Pushed(repo, files, _upload(Path(folder), repo, private, token))


def push_dataset(folder: Path, repo: str, *, private: bool = True, token: str | None = None) -> str:
    """Uploads a dataset's folder, all of it, as it is; the commit's address.

    Raises InputError for a name that is none, HubError as `push` does.
    """
    _check_name(repo)
    return _upload(folder, repo, private, token, "dataset")


def _check_name(repo: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"repo={repo}: must be NAME or OWNER/NAME ({error})") from None


def push_info(adapter_dir: Path, repo: str) -> PushInfo:
    """Checks that this folder can go to this repository, and reads its training record."""
    _check_name(repo)
    adapter = read_adapter(Path(adapter_dir).expanduser().resolve())
    if not adapter.has_template:
        raise ModelError(f"adapter={adapter_dir}: no guard_template.json, so nobody could use it")
    if not any((adapter.path / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise ModelError(f"adapter={adapter_dir}: no tokenizer.json or tokenizer.model")
    return PushInfo(repo, _base_model_id(adapter), adapter.full, clean(adapter.info))


def write_push_folder(adapter_dir: Path, out_dir: Path, info: PushInfo) -> list[str]:
    """Writes all that a push uploads into a new or empty folder; returns the files' names.

    Raises InputError where the folder holds something, and DiskFullError; neither leaves files.
    """
    adapter_dir, out_dir = Path(adapter_dir), Path(out_dir)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise InputError(f"folder={out_dir}: must be new or empty")
    template = GuardTemplate.load(adapter_dir)
    made = not out_dir.exists()
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for path in _files(adapter_dir, info.full):
            if path.name in CONFIGS:
                _write_json(out_dir / path.name, _portable(read_json(path), info.base_model_id))
            else:
                shutil.copyfile(path, out_dir / path.name)
        template.save(out_dir)
        _write_json(out_dir / "training_info.json", info.training)
        card = model_card(info.repo, info.base_model_id, info.full, info.training, template)
        (out_dir / "README.md").write_text(card, encoding="utf-8")
    except OSError as error:
        _empty(out_dir, remove=made)
        if error.errno == errno.ENOSPC:
            raise DiskFullError(f"folder={out_dir}: the disk is full") from error
        raise InputError(f"folder={out_dir}: can't be written ({error.strerror})") from error
    return sorted(path.name for path in out_dir.iterdir())


def clean(value: Any) -> Any:
    """A copy of a JSON value without secrets, and with local paths cut down to their last name."""
    if isinstance(value, Mapping):
        return {key: clean(part) for key, part in value.items() if not SECRET_KEY.match(str(key))}
    if isinstance(value, list | tuple):
        return [clean(part) for part in value]
    if not isinstance(value, str):
        return value
    text = SECRET.sub("[removed]", value)
    if "\n" not in text and text.startswith(("/", "~/", "./", "../", "file://")):
        return _last_name(text)
    text = QUOTED_PATH.sub(lambda found: _last_name(found.group(2)), text)
    return LOCAL_PATH.sub(lambda found: _last_name(found.group()), text)


def _last_name(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1] or "[path]"


def _base_model_id(adapter: Adapter) -> str:
    """The base's Hub id: what the adapter's config must name for others to load it."""
    config = read_json(adapter.path / "adapter_config.json")
    for name in (
        adapter.info.get("base_model_id"),
        adapter.info.get("base_model"),
        config.get("base_model_name_or_path"),
    ):
        if name in demo_base.ALIASES:
            return demo_base.HUB_ID
        if isinstance(name, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            if name.startswith(".") or Path(name).exists():
                continue
            return name
    raise ModelError(
        f"base_model={adapter.base_model}: a local folder, and no Hub id is known for it",
        advice="Push its base model first and set base_model_id in training_info.json.",
    )


def _files(adapter_dir: Path, full: bool) -> list[Path]:
    """The files to take, in order; everything not named here stays behind."""
    names = (*WEIGHTS[full], *CONFIGS, *TOKENIZER)
    found = [path for path in sorted(adapter_dir.iterdir()) if path.is_file()]
    if not full:
        found = [path for path in found if path.name not in {"config.json"}]
    return [path for path in found if any(fnmatch(path.name, name) for name in names)]


def _portable(config: Mapping[str, Any], base_model_id: str) -> dict[str, Any]:
    """A config whose references to its base are the Hub id, and that names no local path."""
    return {
        key: base_model_id
        if key in BASE_KEYS
        else _last_name(value)
        if isinstance(value, str) and LOCAL_PATH.fullmatch(value)
        else value
        for key, value in config.items()
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _empty(folder: Path, *, remove: bool) -> None:
    if remove:
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)


def _upload(folder: Path, repo: str, private: bool, token: str | None, kind: str = "model") -> str:
    """Makes the repository where it isn't there and commits the folder; returns its address."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    api = HfApi(token=token)
    try:
        name = api.create_repo(repo, private=private, exist_ok=True, repo_type=kind).repo_id
        # `exist_ok` leaves an existing repository as visible as it was.
        if private and not api.repo_info(name, repo_type=kind).private:
            raise HubError(
                f"repo={name}: exists and is public, but a private push was asked for",
                advice="Choose another name, make the repository private, or push publicly.",
            )
        commit = api.upload_folder(
            repo_id=name, folder_path=folder, commit_message="Push from GuardUI", repo_type=kind
        )
    except HfHubHTTPError as error:
        raise _refused(repo, error.response.status_code, error.server_message) from error
    except (HTTPError, OfflineModeIsEnabled, ConnectionError, TimeoutError) as error:
        raise HubError(
            f"repo={repo}: the Hub at {constants.ENDPOINT} can't be reached "
            f"({type(error).__name__})",
            advice="Check the connection, HF_ENDPOINT and HF_HUB_OFFLINE, then push again.",
        ) from error
    logger.info("pushed to %s", name)
    return str(commit)


def _refused(repo: str, status: int, said: str | None) -> HubError:
    """The Hub's refusal as an error that says what to do."""
    reason, advice = {
        401: ("the token is missing or not valid", "Set HF_TOKEN or run `hf auth login`."),
        403: (
            "the token may not write there",
            "Use a token with write access, or a repository of your own.",
        ),
        404: ("no such owner or repository", "Check the name; it must be OWNER/NAME."),
        409: ("it is being changed by somebody else", "Push again in a moment."),
        429: ("too many requests", "Wait some minutes, then push again."),
    }.get(status, ("the Hub failed", "Push again; nothing is lost if the repository exists."))
    detail = f": {SECRET.sub('[removed]', said.splitlines()[0])[:200]}" if said else ""
    return HubError(f"repo={repo}: the Hub answered {status}, {reason}{detail}", advice=advice)
