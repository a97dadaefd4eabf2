"""What goes to the Hugging Face Hub of an adapter, a whole model, a pair set or a study.

Of weights only named files leave the machine: safetensors, their configs, the tokenizer, the
template, a cleaned training record, the training curve and a card. Checkpoints, optimiser state
and the `ref/` adapter of preference training stay. Weights are sent from where they lie; what is
made or rewritten lies in a folder beside them. The same content gives the same files, so a push
that changes nothing makes no commit.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipelines import demo_base
from pipelines.base_models import Adapter, read_adapter, read_json
from pipelines.hub_card import Subject, model_card
from pipelines.hub_clean import clean as clean
from pipelines.hub_client import Sent, check_name, send
from pipelines.hub_files import CARD as CARD
from pipelines.hub_files import CURVE, Kind
from pipelines.hub_files import Prepared as Prepared
from pipelines.hub_history import History
from pipelines.hub_results import read_results
from pipelines.schema import DiskFullError, InputError, ModelError
from pipelines.template import GuardTemplate

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
"""Sent as they are; configs are rewritten instead, as they may name local folders."""
CONFIGS = ("adapter_config.json", "config.json", "generation_config.json", "tokenizer_config.json")
WORDING = {
    "chat_template",
    "added_tokens_decoder",
    "additional_special_tokens",
    "extra_special_tokens",
    *(f"{name}_token" for name in ("bos", "eos", "pad", "unk", "sep", "cls", "mask")),
}
"""What a tokenizer reads or writes, where a slash is no path."""
BASE_KEYS = {"base_model_name_or_path", "_name_or_path", "name_or_path"}


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push sent or wrote: the files, and where they are unless it was a dry run."""

    repo: str
    files: list[str]
    url: str | None = None
    revision: str | None = None
    changed: bool = True


def push(
    adapter_dir: Path,
    repo: str,
    *,
    private: bool = True,
    dry_run: Path | None = None,
    token: str | None = None,
    history: History | None = None,
    base: str = "",
) -> Pushed:
    """Uploads an adapter with its card and template; with `dry_run`, writes that folder instead.

    Raises InputError or ModelError for what can't be pushed, before anything is written, and
    HubError, naming the repository and what to do, where the Hub refuses or can't be reached.
    """
    with made_in_passing() as folder:
        prepared = prepare_model(adapter_dir, repo, folder, history, base)
        if dry_run is not None:
            return Pushed(repo, write_folder(prepared, dry_run))
        sent = upload(prepared, private=private, token=token)
        return Pushed(sent.repo, sorted(prepared.files), sent.url, sent.revision, sent.changed)


def push_dataset(folder: Path, repo: str, *, private: bool = True, token: str | None = None) -> str:
    """Uploads a dataset's folder, all of it, as it is; its address at this revision.

    Raises InputError for a name that is none, HubError as `push` does.
    """
    return upload(prepared_folder(folder, repo, "study"), private=private, token=token).url


def upload(
    prepared: Prepared,
    *,
    private: bool = True,
    token: str | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Sent:
    """Sends what differs from what is there. Raises as `hub_client.send` does."""
    kind = prepared.repo_type
    return send(prepared.files, prepared.repo, kind, private=private, token=token, say=say)


def prepared_folder(folder: Path, repo: str, kind: Kind) -> Prepared:
    """All files of a folder, as they are."""
    check_name(repo)
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return Prepared(repo, kind, {path.relative_to(folder).as_posix(): path for path in found})


@contextmanager
def made_in_passing() -> Iterator[Path]:
    """A folder for what a push makes or rewrites, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="guardui-push-") as folder:
        yield Path(folder)


def check_model(adapter_dir: Path | str, repo: str, base: str = "") -> tuple[Adapter, str]:
    """(what the folder says of itself, its base's Hub id), where it can go to this repository."""
    check_name(repo)
    adapter = read_adapter(Path(adapter_dir).expanduser().resolve())
    if not adapter.has_template:
        raise ModelError(f"adapter={adapter_dir}: no guard_template.json, so nobody could use it")
    if not any((adapter.path / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise ModelError(f"adapter={adapter_dir}: no tokenizer.json or tokenizer.model")
    return adapter, base or _base_model_id(adapter)


def prepare_model(
    adapter_dir: Path | str,
    repo: str,
    folder: Path,
    history: History | None = None,
    base: str = "",
) -> Prepared:
    """An adapter or a whole model; what is made of it is written into `folder`.

    `base` is the base's Hub id where the record doesn't know one. Raises InputError, ModelError
    or DiskFullError.
    """
    adapter, base_id = check_model(adapter_dir, repo, base)
    history = history or History()
    training, template = clean(adapter.info), GuardTemplate.load(adapter.path)
    files: dict[str, Path] = {}
    with _written(folder):
        for path in _files(adapter):
            files[path.name] = path
            if path.name in CONFIGS:
                files[path.name] = folder / path.name
                _write_json(files[path.name], _portable(read_json(path), base_id))
        template.save(folder)
        # Whoever pulls it loads the base by this name; a folder is nobody else's.
        known = training.get("base_model") in demo_base.ALIASES
        named = {} if known else {"base_model": base_id}
        record = {**training, **named, "base_model_id": base_id}
        _write_json(folder / "training_info.json", record)
        if curve := _curve(history):
            (folder / CURVE).write_bytes(curve)
        subject = Subject(repo, base_id, adapter.full, training, template, bool(curve))
        card = model_card(subject, read_results(history.evaluations))
        (folder / CARD).write_text(card, "utf-8")
    made = {path.name: path for path in folder.iterdir()}
    return Prepared(repo, "model" if adapter.full else "adapter", files | made)


def write_folder(prepared: Prepared, out_dir: Path) -> list[str]:
    """Writes all that a push would send into a new or empty folder; returns the files' names.

    Raises InputError where the folder holds something, and DiskFullError; neither leaves files.
    """
    out_dir = Path(out_dir)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise InputError(f"folder={out_dir}: must be new or empty")
    made = not out_dir.exists()
    try:
        with _written(out_dir):
            for name, path in prepared.files.items():
                (out_dir / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, out_dir / name)
    except (InputError, DiskFullError):
        shutil.rmtree(out_dir, ignore_errors=True)
        if not made:
            out_dir.mkdir(exist_ok=True)
        raise
    return sorted(prepared.files)


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(f"folder={folder}: the disk is full") from error
        raise InputError(f"folder={folder}: can't be written ({error.strerror})") from error


def _curve(history: History) -> bytes | None:
    """The curves as a picture, where the training recorded any."""
    from pipelines.curves import Run, to_png

    try:
        return to_png([Run(0, "", list(history.points))]) if history.points else None
    except InputError:
        return None  # numbers, but none that has a panel


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
        advice="Push its base model first, then name it: --base OWNER/NAME, or base in the form.",
    )


def _files(adapter: Adapter) -> list[Path]:
    """The files to take, in order; everything not named here stays behind."""
    names = (*WEIGHTS[adapter.full], *CONFIGS, *TOKENIZER)
    found = [path for path in sorted(adapter.path.iterdir()) if path.is_file()]
    if not adapter.full:
        found = [path for path in found if path.name not in {"config.json"}]
    return [path for path in found if any(fnmatch(path.name, name) for name in names)]


def _portable(config: Mapping[str, Any], base_model_id: str) -> dict[str, Any]:
    """A config whose references to its base are the Hub id, and that names no local path."""
    kept = {key: value for key, value in config.items() if key in WORDING}
    named = {key: base_model_id for key in config if key in BASE_KEYS}
    return {**clean(config), **kept, **named}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
