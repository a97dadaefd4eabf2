"""The Space: its card, what it installs, and the page that it starts."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SPACE = ROOT / "spaces"

WITH_GRADIO = ("gradio", "authlib", "itsdangerous")
"""What a Space installs by itself, for `sdk_version` and `hf_oauth` in its card."""

FAKE_SPACES = """
import os
def GPU(function, duration=None):
    with open(os.environ["GPU_LOG"], "a") as file:
        file.write(f"{function.__name__} {duration} ")
    return function
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def requirements() -> dict[str, Requirement]:
    lines = (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {requirement.name.lower(): requirement for requirement in found}


def front_matter() -> dict[str, Any]:
    card = (SPACE / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert isinstance(front, dict)
    return front


def test_the_card_starts_this_app_with_this_gradio() -> None:
    front = front_matter()
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert front["sdk_version"] == version("gradio")
    assert len(front["short_description"]) <= 60


def test_the_folder_is_no_package() -> None:
    assert not (SPACE / "__init__.py").exists()
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = project.split("packages = [")[1].split("]")[0]
    assert '"spaces"' not in packages


def test_versions_are_pinned_to_those_that_are_tested() -> None:
    for name, requirement in requirements().items():
        pins = [spec.version for spec in requirement.specifier if spec.operator == "=="]
        assert len(pins) == 1, name
        if name != "spaces":
            assert version(name).split("+")[0] == pins[0], name


def closure(names: set[str]) -> set[str]:
    """All distributions that these bring along."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            needed = [Requirement(text) for text in requires(name) or []]
        except ModuleNotFoundError:
            continue
        waiting += [n.name for n in needed if n.marker is None or n.marker.evaluate({"extra": ""})]
    return seen


def test_the_page_imports_only_what_a_space_installs(tmp_path: Path) -> None:
    script = (
        "import json, sys\n"
        "from db.session import open_database\n"
        "from guardui.layout import build_page\n"
        "from pipelines.settings import get_settings\n"
        "import guardui.serve, pipelines.jobs.supervisor, pipelines.classify\n"
        "settings = get_settings()\n"
        "build_page(open_database(settings.database_url), settings)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"GUARDUI_HOME": str(tmp_path), "GUARDUI_DEMO": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "torch" not in loaded
    installed = closure({*requirements(), *WITH_GRADIO})
    owners = packages_distributions()
    strangers = {
        module
        for module in loaded & owners.keys()
        if not {re.sub(r"[-_.]+", "-", name).lower() for name in owners[module]} & installed
    }
    # This project, setuptools' start-up hook, and what pandas and anyio take where it is.
    known = {"guardui", "pipelines", "db", "app", "_distutils_hack", "pyarrow", "cloudpickle"}
    known |= {"sniffio"}
    assert strangers - known == set()


LEFT_OUT = {
    "bitsandbytes": "training",
    "datasets": "training, and reading data for it",
    "datasketch": "training: near-duplicates of its rows",
    "openai": "judges and teachers behind an endpoint",
    "trl": "training",
}
"""What a Space does without, and what for that isn't done there."""


def test_what_is_imported_later_is_installed_too_or_left_out_on_purpose() -> None:
    """Libraries that a function imports, which starting the page doesn't."""
    wanted: dict[str, str] = {}
    for package in ("guardui", "pipelines", "db", "spaces"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                else:
                    continue
                wanted |= {name.split(".")[0]: str(path) for name in names}
    # Typer and Rich are the terminal's, and Gradio brings both.
    installed = closure({*requirements(), *WITH_GRADIO})
    owners = packages_distributions()
    own = {"guardui", "pipelines", "db", "app", "spaces"}
    missing = {
        name: where
        for name, where in wanted.items()
        if name in owners
        and name not in own
        and not {re.sub(r"[-_.]+", "-", one).lower() for one in owners[name]} & installed
    }
    assert missing.keys() == LEFT_OUT.keys() & wanted.keys(), missing


@pytest.fixture
def started(tmp_path: Path) -> Iterator[str]:
    """The Space's app in a process of its own, as it runs outside of a Space."""
    port = free_port()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GUARDUI_", "SPACE"))
    }
    environment |= {"GUARDUI_HOME": str(tmp_path / "home"), "GUARDUI_PORT": str(port)}
    log = (tmp_path / "log.txt").open("w")
    process = subprocess.Popen(
        [sys.executable, str(SPACE / "app.py")],
        cwd=tmp_path,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, (tmp_path / "log.txt").read_text()
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    assert answer.status == 200
                break
            except OSError:
                time.sleep(0.25)
        else:
            pytest.fail(f"no answer at {url}: {(tmp_path / 'log.txt').read_text()}")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def test_it_answers_with_the_tabs_of_everybody(started: str) -> None:
    with urllib.request.urlopen(f"{started}/config", timeout=10) as answer:
        config = json.load(answer)
    tabs = [
        part["props"].get("label") for part in config["components"] if part["type"] == "tabitem"
    ]
    inner = ["Tables", "Training", "Calibration"]  # of Compare
    assert tabs == ["Classify", "Compare", *inner, "Rate"]
    text = json.dumps(config)
    assert "New study" not in text
    assert "Win rate" not in text
    assert "Delete" not in text


@pytest.mark.parametrize(
    ("variables", "wrapped"),
    [
        ({}, ""),
        ({"SPACES_ZERO_GPU": "true"}, ""),
        ({"SPACE_ID": "ada/guard"}, ""),
        ({"SPACE_ID": "ada/guard", "SPACES_ZERO_GPU": "true"}, "moderate 60 weigh 60 "),
    ],
)
def test_a_gpu_is_borrowed_on_zero_gpu_only(
    tmp_path: Path, variables: dict[str, str], wrapped: str
) -> None:
    """The variables decide, not whether some `spaces` can be imported."""
    (tmp_path / "spaces.py").write_text(FAKE_SPACES)
    script = (
        "import runpy, sys\n"
        "import guardui.serve\n"
        "guardui.serve.serve = lambda settings: print(settings.demo, settings.host)\n"
        "sys.argv = ['app.py']\n"
        f"runpy.run_path({str(SPACE / 'app.py')!r}, run_name='__main__')\n"
    )
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("GUARDUI_", "SPACE"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=kept
        | {"GPU_LOG": str(tmp_path / "gpu"), "GUARDUI_HOME": str(tmp_path / "home")}
        | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
        | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    host = "0.0.0.0" if "SPACE_ID" in variables else "127.0.0.1"
    assert done.stdout.split() == ["True", host]
    log = tmp_path / "gpu"
    assert (log.read_text() if log.exists() else "") == wrapped
