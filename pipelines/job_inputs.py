"""What a job's worker notes of the artifacts that the config names: `inputs.json` in its folder.

A stage is given paths alone; here it reads which version of which thing a path is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = "inputs.json"


def write_inputs(directory: Path, inputs: Sequence[Mapping[str, Any]]) -> None:
    """Each input has `field`, `reference`, `path` and what is known of it."""
    (directory / FILE).write_text(json.dumps(list(inputs), indent=2), "utf-8")


def read_input(directory: Path, field: str) -> dict[str, Any]:
    """The first input of a config field; empty where the stage runs without a worker."""
    return next(iter(read_all_inputs(directory, field).values()), {})


def read_all_inputs(directory: Path, field: str) -> dict[str, dict[str, Any]]:
    """path -> each input of a config field; empty where the stage runs without a worker."""
    path = directory / FILE
    if not path.is_file():
        return {}
    found = json.loads(path.read_text("utf-8"))
    return {one["path"]: dict(one) for one in found if one["field"] == field}
