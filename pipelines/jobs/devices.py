"""Which device a job needs and which it sees, told without loading torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from db.leases import ANY
from pipelines.stages.base import Config, StageConfig

MAX_NAME = 20  # as the column has it; enough of a GPU's UUID to tell it from others
VISIBLE = "CUDA_VISIBLE_DEVICES"


def leased_device(config: StageConfig) -> str:
    """The device whose lease a job with this config needs; see `lease_for`."""
    return lease_for(str(config.model_dump().get("device", "cpu")))


def lease_for(wanted: str) -> str:
    """`cpu`, `cuda:N` with N as the driver counts, or ANY where several accelerators would do."""
    if wanted == "auto":
        visible = visible_devices()
        return visible[0] if len(visible) == 1 else ANY
    if not wanted.startswith("cuda"):
        return "cpu"
    return _as_driver_counts(int(wanted.partition(":")[2] or 0))


def detect_device() -> str:
    """The first accelerator, or `cpu`."""
    return visible_devices()[0]


def visible_devices() -> list[str]:
    """The accelerators that this process may use, by the names that leases have; else `cpu`."""
    if (count := _count_nvidia()) == 0:
        return ["cpu"]
    names = _visible_names()
    found = map(str, range(count)) if names is None else names
    return [f"cuda:{name}"[:MAX_NAME] for name in found] or ["cpu"]


def _visible_names() -> list[str] | None:
    """CUDA_VISIBLE_DEVICES as CUDA reads it: what follows an invalid entry doesn't count."""
    given = os.environ.get(VISIBLE)
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")]
    ends = (place for place, name in enumerate(names) if name in ("", "-1"))
    return names[: next(ends, len(names))]


def _as_driver_counts(index: int) -> str:
    """CUDA_VISIBLE_DEVICES renumbers; the lease is of the device itself."""
    names = _visible_names() or []
    return f"cuda:{names[index] if index < len(names) else index}"[:MAX_NAME]


@contextmanager
def only(device: str) -> Iterator[None]:
    """Within this block what loads CUDA sees the leased accelerator alone.

    A trainer that saw several would spread over those that other jobs hold. The jobs that this
    process starts afterwards may use all of them again.
    """
    if not device.startswith("cuda:"):
        yield
        return
    before = os.environ.get(VISIBLE)
    names = _visible_names() or []
    whole = (name for name in names if f"cuda:{name}"[:MAX_NAME] == device)
    os.environ[VISIBLE] = next(whole, device.removeprefix("cuda:"))
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def as_seen(config: Config) -> Config:
    """The config for a process that sees its own device alone: `cuda:3` is its only `cuda`."""
    if str(config.model_dump().get("device", "")).startswith("cuda:"):
        return config.model_copy(update={"device": "cuda"})
    return config


@cache
def _count_nvidia() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        found = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    if found.returncode != 0:
        return 0
    return sum(line.startswith("GPU ") for line in found.stdout.splitlines())
