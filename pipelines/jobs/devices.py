"""Which device a job needs, told without loading torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from pipelines.stages.base import StageConfig

MAX_NAME = 20  # as the column has it; enough of a GPU's UUID to tell it from others


def leased_device(config: StageConfig) -> str:
    """The device whose lease a job needs: `cpu` or `cuda:N`, N as the driver counts."""
    wanted = config.model_dump().get("device", "cpu")
    if wanted == "auto":
        return detect_device()
    if not str(wanted).startswith("cuda"):
        return "cpu"
    return _as_driver_counts(int(str(wanted).partition(":")[2] or 0))


def detect_device() -> str:
    """The first accelerator, or `cpu`, told without torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return "cpu"
    if not _has_nvidia():
        return "cpu"
    return _as_driver_counts(0)


def _as_driver_counts(index: int) -> str:
    """CUDA_VISIBLE_DEVICES renumbers; the lease is of the device itself."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    name = visible[index].strip() if index < len(visible) else ""
    return f"cuda:{name or index}"[:MAX_NAME]


@cache
def _has_nvidia() -> bool:
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        found = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0 and found.stdout.startswith("GPU ")
