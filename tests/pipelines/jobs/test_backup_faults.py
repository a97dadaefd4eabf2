"""What goes wrong with a backup: refusals, broken parts, foreign files; and what is erased."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from guardui import study_acts
from pipelines.jobs import backup
from pipelines.schema import HubError
from tests.backup_homes import REPO, AtWork, Homes, manifest, people
from tests.hub_server import LocalHub
from tests.rating_study import invite, new_item, open_study

# Raised inside the Hub's client, by its own call.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        yield hub


@pytest.fixture
def hub(server: LocalHub, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    server.clear()
    server.point(monkeypatch)
    monkeypatch.setattr(backup, "FIRST_WAITS", (0.01,))
    return server


@pytest.fixture
def new_home(tmp_path: Path) -> Homes:
    return Homes(tmp_path)


def test_a_broken_part_is_noticed_and_what_was_before_it_is_taken(
    hub: LocalHub, new_home: Homes, caplog: pytest.LogCaptureFixture
) -> None:
    settings = new_home()
    with AtWork(settings) as (one, database):
        study = open_study(database, [new_item(1)])
        one.saved().result(20)
        for _ in range(2):
            invite(database, settings, study)
            one.saved().result(20)
    repo = hub.repo(REPO, "dataset")
    last = max(path for path in repo.head.tree if path.startswith("database/"))
    content = bytearray(hub.content(REPO, last, "dataset"))
    at = content.index(b'"data": "') + 40
    content[at] = ord("A") if content[at] != ord("A") else ord("B")
    blob = type(repo.head.tree[last])(bytes(content), size=len(content))
    repo.commit("a fault", dict(repo.head.tree) | {last: blob})
    with AtWork(new_home()) as (_, database):
        assert people(database) == 1
    assert "an older one was put back" in caplog.text


def test_an_erasure_is_not_confirmed_while_the_history_stays(
    hub: LocalHub, new_home: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AtWork(new_home(backup="soon")) as (one, database):
        open_study(database, [new_item(1)])
        one.saved(erased=True).result(20)
        hub.fail("POST", "/super-squash/", 503, times=3)
        with pytest.raises(HubError, match="503"):
            one.saved(erased=True).result(20)
        assert len(hub.repo(REPO, "dataset").commits) > 1
        hub.faults.clear()
        monkeypatch.setattr(one, "_not_before", 0.0)
        one.saved(erased=True).result(20)
        assert len(hub.repo(REPO, "dataset").commits) == 1


def test_what_a_researcher_erases_goes_from_the_backup_too(hub: LocalHub, new_home: Homes) -> None:
    settings = new_home()
    with AtWork(settings) as (one, database):
        study = open_study(database, [new_item(1)])
        invite(database, settings, study)
        one.saved().result(20)
        repo = hub.repo(REPO, "dataset")
        for erase, commits in ((False, len(repo.commits) + 1), (True, 1)):
            study_acts.withdraw(database, study, 1, erase=erase)
            one.saved().result(20)
            assert len(repo.commits) == commits
        assert len([name for name in repo.head.tree if name.startswith("database/")]) == 1


def test_the_thread_outlives_a_database_that_can_not_be_looked_at(
    hub: LocalHub, new_home: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AtWork(new_home()) as (one, database):
        open_study(database, [new_item(1)])
        with closing(sqlite3.connect(":memory:")) as broken:
            broken.close()
            monkeypatch.setattr(one, "_looker", broken)
            assert one._was_written()
        fails = iter([True])
        look = one._is_due

        def is_due() -> bool:
            if next(fails, False):
                raise OSError("the disk is gone")
            return look()

        monkeypatch.setattr(one, "_is_due", is_due)
        one.saved().result(20)
        assert one._thread.is_alive()


def test_each_part_is_read_once_and_only_files_of_evaluations_are_written(
    hub: LocalHub, new_home: Homes, caplog: pytest.LogCaptureFixture
) -> None:
    settings = new_home()
    with AtWork(settings) as (one, database):
        study = open_study(database, [new_item(1)])
        for _ in range(4):
            one.saved().result(20)
            invite(database, settings, study)
    repo = hub.repo(REPO, "dataset")
    tree = dict(repo.head.tree)
    said = manifest(hub)
    newest = said["chains"][0]  # type: ignore[index]
    assert len(newest) > 3
    del tree[newest[2]["file"]]
    content = b"somebody else's"
    said["files"] = {"users.json": hashlib.sha256(content).hexdigest()}
    written = json.dumps(said).encode()
    blob = type(tree["manifest.json"])
    tree["manifest.json"] = blob(written, size=len(written))
    tree["files/users.json"] = blob(content, size=len(content))
    repo.commit("a fault", tree)
    hub.requests.clear()
    again = new_home()
    with AtWork(again) as (_, database):
        assert people(database) >= 1
    assert not (again.home / "users.json").exists()
    assert "is no file of an evaluation" in caplog.text
    assert len(hub.asked("GET", newest[0]["file"])) <= 1
    assert not hub.asked("GET", newest[3]["file"]), "what comes after the missing one"
