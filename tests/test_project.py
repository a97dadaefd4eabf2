"""What the project's files say of the project is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

import guardui
from guardui.cli import app
from pipelines.jobs.recipes import RECIPES
from pipelines.settings import Settings
from pipelines.stages import all_stages

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/access.md",
    "docs/decisions.md",
    "docs/api.md",
    "docs/benchmarks.md",
    "docs/method.md",
    "docs/reasoning_quality.md",
    "docs/compare.md",
    "docs/evaluation.md",
    "docs/hub.md",
    "docs/preference-statistics.md",
    "docs/reports.md",
    "docs/space.md",
    "docs/results/README.md",
    "docs/studies.md",
)
MOST_LINES = 300
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
# Where things are on a person's machine, and not in the project.
ELSEWHERE = ("~", "/", ".venv/", "http", "checkpoints/", "jobs/")


def paths_in(document: str) -> list[str]:
    """Every `path` in backticks that should be in the project."""
    text = FENCED.sub("", (ROOT / document).read_text("utf-8"))
    words = re.findall(r"`([\w./-]+)`", text)
    return [
        word
        for word in words
        if not word.startswith(ELSEWHERE)
        and not word.isupper()
        and ("/" in word or word.endswith((".md", ".py", ".toml")))
    ]


def pins(file: str) -> dict[str, str]:
    """name -> version of each `name==version` line."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    found = [re.fullmatch(r"([\w.-]+)(?:\[\w+\])?==([\w.]+)", line.strip()) for line in lines]
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def options() -> dict[str, set[str]]:
    """command, or `group command` -> its flags."""

    def flags(command: Any) -> set[str]:
        named = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
        return named | {"--help"}

    group: Any = get_command(app)
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {sub}": flags(one) for sub, one in command.commands.items()}
        else:
            found[name] = flags(command)
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_named_in_documents_exist(document: str) -> None:
    assert [path for path in paths_in(document) if not (ROOT / path).exists()] == []


def test_contributing_names_enough_places() -> None:
    assert len(set(paths_in("CONTRIBUTING.md"))) > 25


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_pictures_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    base = (ROOT / document).parent
    assert [target for target in targets if not (base / target).exists()] == []


def test_the_console_script_answers() -> None:
    script = Path(sys.executable).parent / "guardui"
    done = subprocess.run(
        [script, "--help"],
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for name in options():
        assert re.search(rf"\b{name.split()[0]}\b", done.stdout), name
    assert done.stderr == ""


def test_packages_are_those_on_disk() -> None:
    folders = [
        ".".join(file.parent.relative_to(ROOT).parts)
        for place in ("guardui", "pipelines", "db")
        for file in (ROOT / place).rglob("__init__.py")
    ]
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_package_data_is_there() -> None:
    for package, patterns in PYPROJECT["tool"]["setuptools"]["package-data"].items():
        for pattern in patterns:
            assert list((ROOT / package).glob(pattern)), f"{package}: {pattern}"


def test_constraints_pin_every_direct_dependency() -> None:
    project, tested = PYPROJECT["project"], pins("constraints.txt")
    extras = project["optional-dependencies"].values()
    named = [*project["dependencies"], *(one for extra in extras for one in extra)]
    for requirement in map(Requirement, named):
        name = canonicalize_name(requirement.name)
        assert name in tested, name
        assert requirement.specifier.contains(tested[name]), f"{requirement} and {tested[name]}"


def test_constraints_are_one_exact_version_a_line() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    real = [line for line in lines if line and not line.startswith("#")]
    assert len(pins("constraints.txt")) == len(real)


def test_versions_agree() -> None:
    number = PYPROJECT["project"]["version"]
    assert version("guardui") == number
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (\d+\.\d+\.\d+)", changes, re.M)
    assert headings[0] == number
    assert guardui.__version__ == number
    # What a folder that was never installed says of itself.
    assert f'"{number}"' in Path(guardui.__file__).read_text("utf-8")


def test_files_are_short() -> None:
    long = {
        str(file.relative_to(ROOT)): count
        for place in ("app.py", "guardui", "pipelines", "db", "spaces")
        for file in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
        if "migrations" not in file.parts
        and (count := len(file.read_text("utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_commands_and_flags_in_the_readme_exist() -> None:
    known, used = options(), set[str]()
    for line in README.splitlines():
        if line.startswith(("|", "guardui ")):
            words = re.findall(r"(?:^|`)guardui ([a-z-]+)(?: ([a-z-]+))?", line)
            names = [f"{a} {b}" if f"{a} {b}" in known else a for a, b in words]
            assert set(names) <= set(known), line
            used |= set(names)
            if names:
                flags = set[str]().union(*(known[name] for name in names))
                assert set(FLAG.findall(line)) <= flags, line
    assert used == set(known)
    everywhere = set[str]().union(*known.values())
    assert set(FLAG.findall(README)) <= everywhere


def test_settings_in_the_readme_are_the_settings() -> None:
    rows = dict(re.findall(r"^\| `GUARDUI_(\w+)` \| (.+?) \|", README, re.M))
    assert list(rows) == [name.upper() for name in Settings.model_fields]
    for name, info in Settings.model_fields.items():
        if info.default != "":
            assert rows[name.upper()].strip("`").casefold() == str(info.default).casefold()


def test_presets_in_the_readme_are_the_presets() -> None:
    for stage in all_stages().values():
        row = re.search(rf"^\| `{stage.name}` \| (.+) \|$", README, re.M)
        assert row, stage.name
        assert set(re.findall(r"`([^`]+)`", row[1])) == set(stage.presets)
    for name in RECIPES:
        assert f"`{name}`" in README


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
