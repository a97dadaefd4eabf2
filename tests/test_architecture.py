"""The house rules that a reader counts on: imports run one way, and heavy ones wait."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("app.py", "guardui", "pipelines", "db")
HEAVY = (
    *("torch", "transformers", "trl", "peft", "datasets"),
    *("scipy", "statsmodels", "evalica"),
)
# Subclasses of a TRL trainer can only be written where TRL is; the stage imports it when it runs.
TRAINER = "pipelines.hsdpo_trainer"


def sources(*places: str) -> list[Path]:
    found = [ROOT / place for place in places]
    return sorted(
        file
        for place in found
        for file in (place.rglob("*.py") if place.is_dir() else [place])
        if "__pycache__" not in file.parts
    )


def imported(path: Path, *, top_level: bool = False) -> Iterator[tuple[int, str]]:
    """(line, module) of each import; `from a import b` gives both a and a.b."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def offences(files: list[Path], *forbidden: str) -> list[str]:
    return [
        f"{file.relative_to(ROOT)}:{line}: {module}"
        for file in files
        for line, module in imported(file)
        if within(module, *forbidden)
    ]


def below(path: Path, *folders: str) -> bool:
    return any((ROOT / folder) in path.parents for folder in folders)


def test_there_is_something_to_check() -> None:
    for place in OURS[1:]:
        assert len(sources(place)) > 5


def test_db_imports_nothing_of_ours() -> None:
    assert offences(sources("db"), "app", "guardui", "pipelines", "spaces", "gradio") == []


def test_pipelines_know_no_screen() -> None:
    assert offences(sources("pipelines"), "app", "guardui", "gradio", "typer", "rich") == []


def test_only_jobs_among_the_pipelines_know_the_database() -> None:
    others = [file for file in sources("pipelines") if not below(file, "pipelines/jobs")]
    assert offences(others, "db", "sqlalchemy", "alembic", "pipelines.jobs") == []


def test_the_rest_of_pipelines_knows_no_stage() -> None:
    rest = [
        file
        for file in sources("pipelines")
        if not below(file, "pipelines/jobs", "pipelines/stages")
    ]
    assert offences(rest, "pipelines.stages") == []


def test_nothing_imports_the_door() -> None:
    assert offences(sources("guardui", "pipelines", "db"), "app") == []


def test_the_command_line_is_no_library() -> None:
    others = [file for file in sources("guardui") if not file.name.startswith("cli")]
    parts = [f"guardui.{file.stem}" for file in (ROOT / "guardui").glob("cli*.py")]
    assert offences(others, *parts) == []


def test_a_stage_is_found_without_a_list() -> None:
    files = [file for file in sources("guardui", "pipelines") if file.parent.name != "stages"]
    assert offences(files, *(f"pipelines.stages.{s}" for s in ("rsft", "mine", "hsdpo"))) == []


@pytest.mark.parametrize("place", OURS[1:])
def test_heavy_imports_stand_in_functions(place: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {module}"
        for file in sources(place)
        if file != ROOT / f"{TRAINER.replace('.', '/')}.py"
        for line, module in imported(file, top_level=True)
        if within(module, *HEAVY)
    ]
    assert found == []


def loaded_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `code`."""
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = {name: v for name, v in os.environ.items() if not name.startswith("GUARDUI_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment | {"GRADIO_ANALYTICS_ENABLED": "False"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["guardui.layout", "guardui.cli", "pipelines.stages", "app"])
def test_importing_loads_no_training_library(module: str) -> None:
    assert loaded_after(f"import {module}").isdisjoint(HEAVY)


def test_importing_every_stage_loads_no_training_library() -> None:
    code = "from pipelines.stages import all_stages\nassert len(all_stages()) >= 3"
    assert loaded_after(code).isdisjoint({*HEAVY, "gradio"})


def test_no_module_of_ours_loads_a_training_library() -> None:
    names = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in sources("guardui", "pipelines", "db")
        if "migrations" not in file.parts
    ]
    loaded = loaded_after("\n".join(f"import {name}" for name in names if name != TRAINER))
    assert "gradio" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["guardui.cli", "pipelines.jobs.worker", "db.session"])
def test_what_needs_no_page_loads_no_gradio(module: str) -> None:
    assert "gradio" not in loaded_after(f"import {module}")


def test_spaces_is_no_package() -> None:
    assert (ROOT / "spaces" / "app.py").is_file()
    assert not (ROOT / "spaces" / "__init__.py").exists()


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    for file in sources(*OURS):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == name
            ):
                yield file, node


def test_nothing_probes_for_attributes() -> None:
    probes = [
        f"{file.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}"
        for file, call in calls("getattr")
        if len(call.args) == 3 and isinstance(call.args[1], ast.Constant)
    ]
    assert probes == []


def test_only_the_command_line_prints() -> None:
    printing = {str(file.relative_to(ROOT)) for file, _ in calls("print")}
    assert [name for name in printing if not name.startswith("guardui/cli")] == []
