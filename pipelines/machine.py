"""What this machine has: its accelerator or its processor, and how much memory. Loads no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
WORKER = "pipelines.jobs.worker"


@dataclass(frozen=True, slots=True)
class Device:
    """Where a run would go. `memory` is what it could take, in bytes; `kind` is cpu or cuda."""

    kind: str
    name: str
    memory: int

    @property
    def is_gpu(self) -> bool:
        return self.kind == "cuda"


def find_device(wanted: str) -> Device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:N` names.

    All of a GPU's memory counts, for its lease gives it to one job; of the main memory, what is
    free or will be once the jobs before this one have ended. A GPU that is named but isn't there
    has none.
    """
    if wanted == "cpu":
        return processor()
    index = int(wanted.partition(":")[2] or 0)
    cards = visible_cards()
    if index < len(cards):
        name, memory = cards[index]
        return Device("cuda", name, memory)
    return processor() if wanted == "auto" else Device("cuda", "no GPU here", 0)


def processor() -> Device:
    """The main memory that is free, held by running jobs, or both."""
    free = int(psutil.virtual_memory().available)
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit is not None and used is not None:
        free = min(free, max(0, limit - used + (_cgroup_cache() or 0)))
    return Device("cpu", f"{os.cpu_count() or 1} CPU cores", free + _held_by_jobs())


def _cgroup(name: str) -> int | None:
    """A container's own limit or use, in bytes; None where there is none."""
    try:
        text = (CGROUP / name).read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cgroup_cache() -> int | None:
    """What a container holds of files and would give back."""
    try:
        lines = (CGROUP / "memory.stat").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(one.split()[1]) for one in lines if one.startswith("inactive_file ")), None)


def _held_by_jobs() -> int:
    """Bytes of the workers that run: a job waits until they have ended."""
    held = 0
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        words, memory = process.info["cmdline"], process.info["memory_info"]
        if words and memory and WORKER in words:
            held += memory.rss
    return held


def visible_cards() -> list[tuple[str, int]]:
    """(name, bytes) of each GPU that CUDA may use, in CUDA's order."""
    cards = _cards()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return cards
    found = []
    for word in chosen.split(","):
        number = word.strip()
        # A UUID names some card: they are alike on most machines, so the first stands for it.
        if cards and number and number != "-1":
            found.append(cards[int(number) if number.isdigit() and int(number) < len(cards) else 0])
    return found


@cache
def _cards() -> list[tuple[str, int]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in told.stdout.splitlines() if told.returncode == 0 else ():
        name, _, mebibytes = line.rpartition(",")
        if mebibytes.strip().isdigit():
            found.append((name.strip(), int(mebibytes) << 20))
    return found
