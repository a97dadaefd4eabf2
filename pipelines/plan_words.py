"""What a plan and its refusals say of memory, devices and changed fields, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.machine import Device
from pipelines.memory import GIB


def gib(count: int) -> str:
    """Bytes as `7.9 GiB`."""
    return f"{count / GIB:.1f} GiB"


def has(device: Device) -> str:
    """What a device offers, in words."""
    if device.is_gpu:
        return f"the {device.name} has {gib(device.memory)}"
    return f"{gib(device.memory)} are free here ({device.name}, no GPU)"


def settings_words(changes: Mapping[str, Any]) -> str:
    """Fields and values as the command line takes them."""
    return " ".join(f"{name}={_plain(value)}" for name, value in changes.items())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
