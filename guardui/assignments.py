"""KEY=VALUE, as settings are given on the command line and in a box of the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pipelines.schema import InputError


def read_assignments(words: Iterable[str], where: str = "") -> dict[str, Any]:
    """`lora_r=8` -> {lora_r: 8 as text}; lists and objects are JSON. `where` begins a message.

    Raises InputError for a word that is none.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        key, value = key.strip(), value.strip()
        if not sign or not key:
            raise InputError(f"{where}{word}: must be KEY=VALUE")
        try:
            found[key] = json.loads(value) if value[:1] in "[{" and value else value
        except ValueError as error:
            raise InputError(f"{key}={value}: not JSON ({error})") from None
    return found
