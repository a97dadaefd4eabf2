"""What the JSON files of an adapter folder say, and what is believed of one from the Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pipelines import demo_base
from pipelines.schema import ModelError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where the file is missing. Raises ModelError if broken."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable as JSON ({error})") from error
    return value if isinstance(value, dict) else {}


def base_of(folder: Path) -> str:
    """The base that an adapter folder names; empty where it names none."""
    info = read_json(folder / "training_info.json")
    config = read_json(folder / "adapter_config.json")
    return str(info.get("base_model") or config.get("base_model_name_or_path") or "")


def check_fetched(folder: Path, repo: str) -> Path:
    """The folder again. Raises ModelError where an adapter from the Hub would have a base loaded
    from a folder of this machine: who wrote it has no say over those."""
    base = base_of(folder) if (folder / "adapter_config.json").is_file() else ""
    if not base or base in demo_base.ALIASES:
        return folder
    if not HUB_ID.fullmatch(base) or Path(base).exists():
        raise ModelError(
            f"adapter={repo}: names the base model {base!r}, must be a Hub id such as owner/name",
            advice="Its owner has to push it again with the base's Hub id.",
        )
    return folder
