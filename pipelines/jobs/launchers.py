"""Starting, recognising and signalling the processes that do the jobs."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

import psutil

from pipelines.settings import Settings

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
WORKER_ENV = {
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Progress bars redraw themselves with carriage returns, which a log file keeps all of.
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "warning",
    # Deprecations are for whoever writes code against a library, not for whoever trains.
    "PYTHONWARNINGS": "ignore::FutureWarning",
}


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process for ever: a pid alone is given again, after a while or a restart.

    `created` is when it started, in seconds: since the boot where /proc tells it (setting the
    clock does not change that), since the epoch elsewhere.
    """

    pid: int
    created: float
    boot_id: str


@cache
def boot_id() -> str:
    """Differs from one start of the machine to the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"booted at {psutil.boot_time():.0f}"


def started(pid: int) -> float | None:
    """When this process started (see ProcessId); None where it is gone or a zombie."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks
        return None if fields[0] in "ZX" else int(fields[19]) / os.sysconf("SC_CLK_TCK")
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def identify(pid: int | None = None) -> ProcessId | None:
    """The identity of a process, by default of this one; None where it is gone."""
    pid = os.getpid() if pid is None else pid
    created = started(pid)
    return ProcessId(pid, created, boot_id()) if created is not None else None


class Identity(TypedDict):
    """A ProcessId as the columns of a job."""

    pid: int
    pid_created: float
    boot_id: str


def own_identity() -> Identity:
    """This process, as the columns of a job name it."""
    pid = os.getpid()
    return Identity(pid=pid, pid_created=started(pid) or 0.0, boot_id=boot_id())


def is_alive(process: ProcessId) -> bool:
    """Whether this very process still runs on this machine, since this boot."""
    if process.boot_id != boot_id():
        return False
    created = started(process.pid)
    return created is not None and abs(created - process.created) < 0.5


def send(process: ProcessId, number: signal.Signals) -> None:
    """Signals the process; SIGKILL goes to its whole group, for nobody is left to end the rest.

    Does nothing where that very process is gone.
    """
    if not is_alive(process):
        return
    try:
        if number == signal.SIGKILL and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        logger.debug("process %d ended before %s", process.pid, number.name)


def worker_command(job_id: int) -> list[str]:
    """The same command on every launcher."""
    return [sys.executable, "-m", "pipelines.jobs.worker", str(job_id)]


def worker_environment(settings: Settings, database_url: str) -> dict[str, str]:
    """This process's environment with what a worker needs to find the same home and code."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        **WORKER_ENV,
        "GUARDUI_HOME": str(settings.home),
        "GUARDUI_DATABASE_URL": database_url,
        # A clone that is not installed; and a file in the job's folder must not shadow a module.
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
    }


_children: list[subprocess.Popen[bytes]] = []


def launch_local(
    settings: Settings,
    database_url: str,
    job_id: int,
    folder: Path,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Starts a worker in a session of its own, its output in `folder/log.txt`; returns its pid.

    `variables` go into this worker's environment alone, which is where a secret may be.

    The output goes to a file and never to a pipe, which would fill up and stop the training
    once nobody reads it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            worker_command(job_id),
            cwd=folder,
            env=worker_environment(settings, database_url) | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children.append(child)
    return child.pid


def reap() -> None:
    """Forgets the children of this process that have ended, which are zombies until then."""
    _children[:] = [child for child in _children if child.poll() is None]


Launcher = Callable[[Settings, str, int, Path], int]
LAUNCHERS: dict[str, Launcher] = {"local": launch_local}
