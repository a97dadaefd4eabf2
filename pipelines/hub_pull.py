"""Fetching an adapter or a whole model from the Hub: weights as safetensors, and JSON.

No pickle and no code comes along, whatever else lies in the repository. The files are kept by the
commit they are of, so what was fetched once is there for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.adapter_files import check_fetched
from pipelines.base_models import check_model_folder, read_json
from pipelines.hub import CONFIGS, TOKENIZER, WEIGHTS
from pipelines.hub_client import check_name, connect, named
from pipelines.schema import HubError, InputError, ModelError
from pipelines.template import GuardTemplate

WANTED = [
    *WEIGHTS[False],
    *WEIGHTS[True],
    *CONFIGS,
    *TOKENIZER,
    "guard_template.json",
    "training_info.json",
]
AGAIN = "pull again"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came: its folder, the commit that it is of, and what it is."""

    repo: str
    revision: str
    path: Path
    kind: str


def fetch(
    repo: str, revision: str = "main", token: str | None = None, folder: Path | None = None
) -> Pulled:
    """Downloads what a moderator needs, into `folder` or the library's cache.

    Raises InputError for a name that is none, HubError where there is no such repository or
    revision or the Hub refuses, ModelError where it holds nothing that can moderate.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.errors import RevisionNotFoundError as NoRevision

    check_name(repo)
    if "/" not in repo:
        raise InputError(f"repo={repo}: must be OWNER/NAME")
    with named(repo, again=AGAIN):
        try:
            sha = str(connect(token).model_info(repo, revision=revision, timeout=10).sha)
        except NoRevision as error:
            raise HubError(
                f"repo={repo}: has no revision {revision}",
                advice="Name a branch, a tag or a commit of it; without --revision it is main.",
            ) from error
        except GatedRepoError as error:
            raise HubError(
                f"repo={repo}: is gated, and this token has no access to it",
                advice="Ask for access on its page, then pull again.",
            ) from error
        except RepositoryNotFoundError as error:
            raise HubError(
                f"repo={repo}: there is no such model, or it is private and this token may not "
                "see it",
                advice="Check the name; a private one needs HF_TOKEN or `hf auth login`.",
            ) from error
        path = Path(
            snapshot_download(
                repo, revision=sha, allow_patterns=WANTED, token=token, local_dir=folder
            )
        )
    return Pulled(repo, sha, path, _kind(repo, path))


def _kind(repo: str, folder: Path) -> str:
    """`adapter` or `model`. Raises ModelError for what can't moderate."""
    config: dict[str, Any] = read_json(check_fetched(folder, repo) / "adapter_config.json")
    if config:
        if not (folder / "adapter_model.safetensors").is_file():
            raise ModelError(
                f"repo={repo}: an adapter without adapter_model.safetensors; weights in other "
                "formats are never loaded"
            )
    else:
        try:
            check_model_folder(folder)
        except (ModelError, InputError) as error:
            raise ModelError(
                f"repo={repo}: holds neither an adapter nor whole weights as safetensors"
            ) from error
    if not (folder / "guard_template.json").is_file():
        raise ModelError(
            f"repo={repo}: has no guard_template.json, so nobody knows how to ask it",
            advice="Name it as a base model instead; it is then asked in the default format.",
        )
    GuardTemplate.load(folder)
    return "adapter" if config else "model"
