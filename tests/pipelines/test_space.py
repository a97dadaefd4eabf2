"""The Space's folder, and putting it at a Hub on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from db import jobs
from db.session import Database
from guardui.cli import app
from pipelines import space
from pipelines.jobs import planning, queue
from pipelines.schema import HubError, InputError
from pipelines.settings import Settings
from tests.hub_repos import Blob
from tests.hub_server import READ_TOKEN, LocalHub

ROOT = Path(__file__).parents[2]
REPO = "ada/guard"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        yield hub


@pytest.fixture
def hub(server: LocalHub, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    server.clear()
    server.point(monkeypatch)
    return server


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A small clone: what goes, and much that must not."""
    root = tmp_path / "clone"
    for name in ("guardui/static", "pipelines/data", "db/migrations", "tests", ".git"):
        (root / name).mkdir(parents=True)
    shutil.copytree(ROOT / "spaces", root / "spaces", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "spaces" / "scratch.txt").write_text("mine")
    for name in (
        "guardui/__init__.py",
        "guardui/static/page.js",
        "pipelines/data/starter.jsonl",
        "db/migrations/script.py.mako",
        "tests/test_it.py",
        ".git/config",
    ):
        (root / name).write_text("\n")
    (root / "guardui" / "__pycache__").mkdir()
    (root / "guardui" / "__pycache__" / "left.cpython-311.py").write_text("\n")
    (root / "guardui" / "guardui.db").write_text("people")
    return root


def test_the_folder_holds_what_a_space_needs_and_nothing_else(clone: Path, tmp_path: Path) -> None:
    names = space.write_space(tmp_path / "out", clone)
    assert names == [
        "README.md",
        "app.py",
        "db/migrations/script.py.mako",
        "guardui/__init__.py",
        "guardui/static/page.js",
        "pipelines/data/starter.jsonl",
        "requirements.txt",
    ]
    with pytest.raises(InputError, match="must be new or empty"):
        space.write_space(tmp_path / "out", clone)


@pytest.mark.parametrize("secret", [f"x = 'hf_{'a1' * 12}'", f"x = '{Path.home()}/data'"])
def test_a_token_or_a_path_of_this_machine_stops_it(clone: Path, secret: str) -> None:
    (clone / "guardui" / "extra.py").write_text(secret)
    with pytest.raises(InputError, match=r"file=guardui/extra\.py: holds a token or a path"):
        space.space_files(clone)
    with pytest.raises(InputError, match="is missing, so no Space"):
        space.space_files(clone / "guardui")


def test_a_home_at_the_root_stops_nothing(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    (clone / "guardui" / "extra.py").write_text("x = 'https://huggingface.co'")
    assert "guardui/extra.py" in space.space_files(clone)


def test_all_that_is_imported_of_this_code_goes() -> None:
    files = space.space_files()
    for package in space.PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in files
    assert {"guardui/static/style.css", "pipelines/data/starter.jsonl"} <= files.keys()
    assert not any(name.startswith(("tests", "docs", ".")) for name in files)


def test_it_is_made_updated_and_left_alone(hub: LocalHub, clone: Path) -> None:
    wanted = space.Wanted(["ada/adapter"], "ada/ratings", ["ada", "lab"])
    first = space.deploy(REPO, wanted, root=clone)
    repo = hub.repo(REPO, "space")
    assert (repo.private, repo.sdk, first.sent.changed) == (True, "gradio", True)
    assert repo.variables == {
        "GUARDUI_ADAPTERS": "ada/adapter",
        "GUARDUI_BACKUP_REPO": "ada/ratings",
        "GUARDUI_RESEARCHERS": "ada,lab",
    }
    key = repo.secrets["GUARDUI_IDENTITY_KEY"]
    assert len(bytes.fromhex(key)) == 32
    assert first.missing == ["HF_TOKEN"]

    repo.secrets["HF_TOKEN"] = "set by hand"
    again = space.deploy(REPO, wanted, root=clone)
    assert (again.sent.changed, again.set, again.missing) == (False, [], [])
    assert again.sent.revision == first.sent.revision

    (clone / "guardui" / "static" / "page.js").unlink()
    (clone / "guardui" / "new.py").write_text("new = True\n")
    third = space.deploy(REPO, space.Wanted(["ada/other"]), root=clone)
    assert third.set == ["GUARDUI_ADAPTERS"]
    assert "guardui/static/page.js" not in repo.head.tree
    assert "guardui/new.py" in repo.head.tree
    assert repo.secrets["GUARDUI_IDENTITY_KEY"] == key, "another key would end all links"


def test_somebody_elses_app_is_left_alone(hub: LocalHub, clone: Path) -> None:
    repo = hub.add_repo(REPO, "space", private=True)
    files = {"app.py": b"theirs", "db/mine.sql": b"data", "README.md": b"---\ntags: []\n---\n"}
    repo.commit("theirs", {name: Blob(text, size=len(text)) for name, text in files.items()})
    with pytest.raises(InputError, match="holds another app"):
        space.deploy(REPO, space.Wanted(), root=clone)
    assert repo.head.tree.keys() == files.keys()


def test_training_is_refused_before_it_is_launched(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "ada/guard")
    monkeypatch.setitem(planning.TRAINING, "rsft", ("a_library_left_out",))
    with pytest.raises(InputError, match="stage=rsft: this Space has no training libraries"):
        queue.submit(database, "rsft", {}, preset="smollm2-demo")
    with database.read() as session:
        assert not jobs.list_jobs(session)


def test_what_the_hub_refuses_is_said_with_the_name(
    hub: LocalHub, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.point(monkeypatch, READ_TOKEN)
    with pytest.raises(HubError, match="ada/guard: the Hub answered 403"):
        space.deploy(REPO, space.Wanted(), root=clone)
    with pytest.raises(InputError, match="must be OWNER/NAME"):
        space.Wanted(["adapter"]).variables()


def test_the_command(hub: LocalHub, home: Settings, tmp_path: Path) -> None:
    asked = ["space", "deploy", "--repo", REPO, "--adapter", "ada/adapter", "--json"]
    tried = CliRunner().invoke(app, [*asked, "--dry-run", str(tmp_path / "out")])
    assert tried.exit_code == 0, tried.output
    told = json.loads(tried.stdout)
    assert told["variables"] == {"GUARDUI_ADAPTERS": "ada/adapter"}
    assert (tmp_path / "out" / "app.py").is_file()
    assert not hub.repos
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["changed"], said["removed"]) == (True, [])
    assert said["revision"] == hub.repo(REPO, "space").head.sha
    repo = hub.repo(REPO, "space")
    assert sorted(repo.head.tree) == sorted([".gitattributes", *told["files"]])
    tree = dict(repo.head.tree)
    repo.commit("left", tree | {"db/gone.py": tree["app.py"]})
    tried = CliRunner().invoke(app, [*asked, "--dry-run", str(tmp_path / "next")])
    assert json.loads(tried.stdout)["removed"] == ["db/gone.py"]
