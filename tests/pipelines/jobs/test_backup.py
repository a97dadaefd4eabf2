"""A home on a disk that doesn't last, backed up to a Hub on this machine over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from db import annotators
from db.models import Artifact, Rating
from db.session import open_database
from guardui.identity import code_hash, key_of, study_of
from pipelines.jobs import backup
from pipelines.jobs.backup import Backup, keeping
from pipelines.schema import GuardUIError, HubError, InputError
from tests.backup_homes import KEY, REPO, AtWork, Homes, people
from tests.hub_server import LocalHub
from tests.rating_study import invite, new_item, open_study

ROOT = Path(__file__).parents[3]
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


def test_no_confirmed_rating_is_lost_when_the_process_is_killed(
    hub: LocalHub, new_home: Homes
) -> None:
    first = new_home()
    given = os.environ | hub.environment() | {"GUARDUI_HOME": str(first.home)}
    given |= {"GUARDUI_BACKUP_REPO": REPO, "GUARDUI_IDENTITY_KEY": KEY}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.raters_home", "3"],
        cwd=ROOT,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        confirmed = [line.split() for line in (process.stdout.readline() for _ in range(8)) if line]
        process.kill()
        confirmed += [line.split() for line in process.stdout.read().splitlines()]
        said = process.stderr.read()
    assert len(confirmed) >= 8, said

    second = new_home()
    with keeping(second) as saved:
        assert saved is not None
        database = open_database(second.database_url)
        with database.read() as session:
            stored = set(session.scalars(select(Rating.submission)))
            for token, code in confirmed:
                assert token in stored
                study = study_of(code)
                assert study is not None
                assert annotators.find(session, study, code_hash(second, study, code)) is not None
        database.dispose()
    commits = hub.repo(REPO, "dataset").commits
    assert not any(KEY in str(seen.body) for seen in hub.requests)
    assert commits[-1].tree["manifest.json"].size > 0


def test_several_ratings_go_in_one_commit_and_wait_no_longer_than_it(
    hub: LocalHub, new_home: Homes
) -> None:
    settings = new_home()
    with keeping(settings) as saved:
        assert saved is not None
        database = open_database(settings.database_url)
        saved(False).result(20)
        study = open_study(database, [new_item(1)])
        before = len(hub.asked("POST", "/commit/"))
        hub.fail("POST", "/commit/", "slow", seconds=0.5)
        waiting = []
        for _ in range(6):
            invite(database, settings, study)
            waiting.append(saved(False))
        for future in waiting:
            future.result(20)
        assert len(hub.asked("POST", "/commit/")) - before <= 3
        database.dispose()


def test_what_the_hub_refuses_is_not_confirmed_and_comes_later(
    hub: LocalHub, new_home: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = new_home()
    with AtWork(settings) as (one, database):
        study = open_study(database, [new_item(1)])
        hub.fail("POST", "/commit/", 429, headers={"Retry-After": "1"})
        with pytest.raises(HubError, match="takes no more for now"):
            one.saved().result(20)
        commits = len(hub.repo(REPO, "dataset").commits)
        one.saved().result(20)  # it went on by itself after the second that was asked for
        assert len(hub.repo(REPO, "dataset").commits) == commits + 1
        # The answer to a commit that was made is lost on the way: it isn't taken for another's.
        invite(database, settings, study)
        one._chains._head = hub.repo(REPO, "dataset").commits[-2].sha
        with pytest.raises(HubError, match="lost on the way"):
            one.saved().result(20)
        monkeypatch.setattr(one, "_not_before", 0.0)
        one.saved().result(20)
    later = new_home()
    with AtWork(later) as (_, database):
        assert people(database) == 1


def test_the_older_of_two_copies_confirms_nothing_any_more(hub: LocalHub, new_home: Homes) -> None:
    settings = new_home()
    with AtWork(settings) as (old, database):
        study = open_study(database, [new_item(1)])
        old.saved().result(20)
        successor = new_home()
        with AtWork(successor) as (new, taken):
            invite(database, settings, study)
            with pytest.raises(GuardUIError, match="somebody else has written"):
                old.saved().result(20)
            with pytest.raises(GuardUIError, match="somebody else has written"):
                old.saved().result(20)
            new.saved().result(20)
            assert people(taken) == 0
    with pytest.raises(InputError, match="is another home's"):
        Backup(settings).begin()


def test_the_figures_of_compare_come_back_with_the_database(hub: LocalHub, new_home: Homes) -> None:
    settings = new_home()
    folder = settings.jobs_dir / "7" / "evaluation"
    folder.mkdir(parents=True)
    for name in ("evaluation.json", "predictions.parquet", "notes.txt"):
        (folder / name).write_text(name)
    with AtWork(settings) as (one, database):
        with database.write() as session:
            session.add(Artifact(kind="evaluation", path=str(folder), sha256="", bytes=1))
        one.saved().result(20)
    again = new_home()
    with AtWork(again):
        back = again.jobs_dir / "7" / "evaluation"
        assert (back / "predictions.parquet").read_text() == "predictions.parquet"
        assert sorted(path.name for path in back.iterdir()) == [
            "evaluation.json",
            "predictions.parquet",
        ]


def test_what_was_erased_is_in_no_file_and_no_commit(hub: LocalHub, new_home: Homes) -> None:
    settings = new_home()
    with AtWork(settings) as (one, database):
        study = open_study(database, [new_item(1)])
        one.saved().result(20)
        (code,) = invite(database, settings, study)
        one.saved().result(20)
        with database.write() as session:
            person = annotators.find(session, study, code_hash(settings, study, code))
            assert person is not None
            annotators.withdraw(session, person.id, erase=True)
        one.saved(erased=True).result(20)
        repo = hub.repo(REPO, "dataset")
        assert len(repo.commits) == 1
        assert len([name for name in repo.head.tree if name.startswith("database/")]) == 1
        invite(database, settings, study)
        one.saved().result(20)
    with AtWork(new_home()) as (_, database):
        assert people(database) == 2


def test_a_long_chain_is_made_anew_and_the_oldest_is_deleted(
    hub: LocalHub, new_home: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.jobs.backup_chain.MOST_PARTS", 2)
    settings = new_home()
    with AtWork(settings) as (one, database):
        study = open_study(database, [new_item(1)])
        for _ in range(5):
            invite(database, settings, study)
            one.saved().result(20)
    names = sorted(name for name in hub.repo(REPO, "dataset").head.tree if "database/" in name)
    assert names == [
        f"database/{name}.json" for name in ("000002-0000", "000002-0001", "000003-0000")
    ]
    with AtWork(new_home()) as (_, database):
        assert people(database) == 5
    assert len(hub.repo(REPO, "dataset").commits) <= 2, "a start leaves no older commit"


def test_what_can_not_be_a_backup_is_refused(
    hub: LocalHub, new_home: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("ada/public", "dataset")
    with pytest.raises(InputError, match="is public, must be private"):
        Backup(new_home(backup_repo="ada/public")).begin()
    with pytest.raises(InputError, match="only SQLite"):
        Backup(new_home(database_url="postgresql://here/it"))
    with pytest.raises(InputError, match="identity_key: is missing"):
        Backup(new_home(identity_key=None))
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        key_of(new_home(identity_key="short"))
    hub.fail("*", "/api/", 503, times=50)
    with pytest.raises(HubError, match="answered 503"), keeping(new_home()):
        pass
    hub.faults.clear()
    hub.point(monkeypatch, token=None)
    with keeping(new_home()) as saved:
        assert saved is not None
        with pytest.raises(HubError, match="no token"):
            saved(False).result(1)


def test_soon_confirms_at_once_and_commits_in_its_time(hub: LocalHub, new_home: Homes) -> None:
    settings = new_home(backup="soon", backup_seconds=1)
    with AtWork(settings) as (one, database):
        open_study(database, [new_item(1)])
        assert one.saved().done()
        assert one._thread.is_alive()
        for _ in range(100):
            if ("dataset", REPO) in hub.repos and len(hub.repo(REPO, "dataset").commits) > 1:
                break
            one._ended.wait(0.1)
        assert len(hub.repo(REPO, "dataset").commits) > 1
        with closing(open_database(settings.database_url).engine.connect()):
            pass
