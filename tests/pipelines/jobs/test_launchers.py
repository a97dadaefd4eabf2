from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil

from pipelines.jobs import launchers
from pipelines.jobs.launchers import identify, is_alive, send
from pipelines.settings import get_settings


def test_this_process_is_alive() -> None:
    process = identify()
    assert process is not None
    assert process.pid == os.getpid()
    assert is_alive(process)


def test_a_pid_that_was_given_again_is_another_process(
    sleeper: subprocess.Popen[bytes],
) -> None:
    process = identify(sleeper.pid)
    assert process is not None
    assert is_alive(process)
    assert not is_alive(replace(process, created=process.created - 5))
    assert not is_alive(replace(process, boot_id="another"))


def test_a_stranger_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    process = identify(sleeper.pid)
    assert process is not None
    send(replace(process, created=process.created - 5), signal.SIGKILL)
    assert sleeper.poll() is None
    send(process, signal.SIGTERM)
    assert sleeper.wait(5) == -signal.SIGTERM
    send(process, signal.SIGKILL)


def test_a_zombie_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = identify(child.pid)
    assert process is not None
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert not is_alive(process)
    assert identify(child.pid) is None
    child.wait()
    assert identify(child.pid) is None


def test_started_agrees_with_psutil(sleeper: subprocess.Popen[bytes]) -> None:
    started = launchers.started(sleeper.pid)
    assert started is not None
    age = psutil.Process(sleeper.pid).create_time() - psutil.boot_time()
    assert abs(started - age) < 2


def test_worker_environment(tmp_path: Path) -> None:
    settings = get_settings()
    environment = launchers.worker_environment(settings, "sqlite:///x.db")
    assert environment["GUARDUI_HOME"] == str(settings.home)
    assert environment["GUARDUI_DATABASE_URL"] == "sqlite:///x.db"
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["TOKENIZERS_PARALLELISM"] == "false"
    # From any folder, without an installation, the modules are found.
    found = subprocess.run(
        [sys.executable, "-S", "-c", "import pipelines; print(pipelines.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(launchers.ROOT / "pipelines" / "__init__.py")
