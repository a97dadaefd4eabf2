from __future__ import annotations

import shutil
import threading
from collections import namedtuple
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from db import groups, jobs, lifecycle
from db.models import Job
from db.session import Database, open_database
from pipelines.jobs import launchers, queue, recipes
from pipelines.jobs.queue import dispatch, submit, submit_recipe
from pipelines.jobs.steps import Recipe, Step
from pipelines.schema import (
    ConfigError,
    DiskFullError,
    GuardUIError,
    InputError,
    NotFoundError,
)
from pipelines.settings import get_settings
from tests.pipelines.jobs import throwaway


def job(database: Database, job_id: int) -> Job:
    with database.read() as session:
        found = jobs.get_job(session, job_id)
    assert found is not None
    return found


def end(database: Database, job_id: int, state: str, reason: str | None = None) -> None:
    with database.write() as session:
        assert lifecycle.finish(session, job_id, state, reason)


def made(database: Database, job_id: int, kind: str, path: Path) -> int:
    with database.write() as session:
        return jobs.add_artifact(
            session, job_id=job_id, kind=kind, name="", path=str(path), sha256="0" * 64, size=1
        ).id


def test_submit_queues_and_launches(database: Database, idle: list[int]) -> None:
    job_id = submit(database, "rsft", {"steps": 5}, preset="smollm2-demo")
    row = job(database, job_id)
    assert (row.state, row.stage, row.preset) == ("starting", "rsft", "smollm2-demo")
    assert row.config["steps"] == 5
    assert row.title == "Count (smollm2-demo)"
    assert row.command == "guardui run rsft --preset smollm2-demo --set steps=5"
    assert idle == [job_id]


@pytest.mark.parametrize(
    ("stage", "values", "preset", "error", "said"),
    [
        ("rsfd", {}, None, NotFoundError, "stage=rsfd"),
        ("rsft", {}, "fast", InputError, "preset=fast: rsft has no such preset"),
        ("rsft", {"step": 1}, None, ConfigError, "step: unknown setting"),
        ("rsft", {"steps": -1}, None, InputError, "steps=-1: must be at least 0"),
        ("mine", {"adapter": "job:77"}, None, NotFoundError, "adapter=job:77: there is no such"),
        ("mine", {"adapter": "artifact:77"}, None, NotFoundError, "artifact:77: there is no such"),
        ("mine", {"adapter": "job:x"}, None, InputError, "job:x: must be job: and a number"),
        ("mine", {"adapter": "job:" + "9" * 30}, None, InputError, "must be job: and a number"),
    ],
)
def test_what_cannot_work_stores_nothing(
    database: Database,
    idle: list[int],
    stage: str,
    values: dict[str, Any],
    preset: str | None,
    error: type[GuardUIError],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        submit(database, stage, values, preset=preset)
    with database.read() as session:
        assert jobs.list_jobs(session) == []
    assert not get_settings().jobs_dir.exists()


def test_an_unknown_launcher_is_refused(files: Database) -> None:
    with pytest.raises(InputError, match="launcher=moon: no such launcher"):
        submit(files, "rsft", {}, launcher="moon")


def test_an_artifact_of_another_kind_is_refused(
    files: Database, idle: list[int], tmp_path: Path
) -> None:
    first = submit(files, "rsft", {})
    artifact = made(files, first, "pair_set", tmp_path)
    with pytest.raises(InputError, match=f"artifact:{artifact}: is of kind pair_set"):
        submit(files, "mine", {"adapter": f"artifact:{artifact}"})


def test_an_artifact_whose_file_is_gone_is_refused(
    files: Database, idle: list[int], tmp_path: Path
) -> None:
    artifact = made(files, submit(files, "rsft", {}), "adapter", tmp_path / "gone")
    with pytest.raises(NotFoundError, match="does not exist any more"):
        submit(files, "mine", {"adapter": f"artifact:{artifact}"})


@pytest.mark.parametrize("state", ["failed", "stopped", "interrupted"])
def test_a_parent_that_ended_badly_is_refused(
    database: Database, idle: list[int], state: str
) -> None:
    parent = submit(database, "rsft", {})
    end(database, parent, state)
    with pytest.raises(InputError, match=rf"adapter=job:{parent}: job {parent} .* is {state}"):
        submit(database, "mine", {"adapter": f"job:{parent}"})


def test_a_succeeded_parent_without_the_kind_is_refused(files: Database, idle: list[int]) -> None:
    parent = submit(files, "rsft", {})
    end(files, parent, "succeeded")
    with pytest.raises(InputError, match="made no pair_set"):
        submit(files, "hsdpo", {"pairs": f"job:{parent}"})


def test_resolve_reference(files: Database, idle: list[int], tmp_path: Path) -> None:
    parent = submit(files, "rsft", {})
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old = made(files, parent, "adapter", tmp_path / "old")
    made(files, parent, "adapter", tmp_path / "new")
    resolve = queue.resolve_reference
    assert resolve(files, "adapter", f"job:{parent}") == tmp_path / "new"
    assert resolve(files, "adapter", f"artifact:{old}") == tmp_path / "old"
    assert resolve(files, "adapter", str(tmp_path / "old")) == tmp_path / "old"
    assert resolve(files, "adapter", "someone/adapter") == "someone/adapter"
    assert resolve(files, "dataset", "x" * 5000) == "x" * 5000


def test_paths_become_absolute(
    files: Database, idle: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker runs in its job's folder, maybe long after the one who submitted it left."""
    (tmp_path / "data").mkdir()
    (tmp_path / "adapter").mkdir()
    monkeypatch.chdir(tmp_path)
    values = {"adapter": "adapter", "dataset": "data/"}
    config = job(files, submit(files, "rsft", values)).config
    assert config["adapter"] == str(tmp_path / "adapter")
    assert config["dataset"] == str(tmp_path / "data")


def test_a_full_disk_is_named_before_anything_is_stored(
    files: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 2**20))
    with pytest.raises(DiskFullError, match="has 1 MiB free: a job needs at least 200 MiB"):
        submit(files, "rsft", {})
    with files.read() as session:
        assert jobs.list_jobs(session) == []


def test_a_database_that_is_full_is_named(files: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    monkeypatch.setattr(jobs, "add_job", full)
    with pytest.raises(DiskFullError, match="disk is full"):
        submit(files, "rsft", {})


def test_command_line_tells_what_differs(files: Database) -> None:
    stage = throwaway.STAGES["rsft"]
    config = throwaway.CountConfig(steps=2, dataset="a b.jsonl", seconds=0.5)
    line = queue.command_line(stage, "smollm2-demo", config)
    assert line == (
        "guardui run rsft --preset smollm2-demo --set seconds=0.5 --set 'dataset=a b.jsonl'"
    )
    assert queue.command_line(stage, None, stage.config()) == "guardui run rsft"


# Recipes


def test_a_recipe_is_one_chain(database: Database, idle: list[int]) -> None:
    first, second, third = submit_recipe(database, "demo", {"steps": 4})
    assert [one.id for one in job(database, second).parents] == [first]
    assert [one.id for one in job(database, third).parents] == [first, second]
    assert job(database, third).config == {
        "adapter": f"job:{first}",
        "pairs": f"job:{second}",
        "steps": 4,
    }
    assert job(database, first).config["steps"] == 4
    assert [job(database, one).state for one in (first, second, third)] == [
        "starting",
        "queued",
        "queued",
    ]
    assert idle == [first]


def test_a_recipe_takes_values_for_one_stage_and_presets(files: Database, idle: list[int]) -> None:
    first, _, third = submit_recipe(files, "demo", {"rsft.steps": 7}, {"rsft": "slow"})
    assert job(files, first).config["steps"] == 7
    assert job(files, first).config["seconds"] == 0.05
    assert job(files, third).config["steps"] == 1


@pytest.mark.parametrize(
    ("name", "values", "presets", "said"),
    [
        ("demos", {}, None, "recipe=demos: no such recipe"),
        ("demo", {"stepz": 1}, None, "stepz: unknown setting"),
        ("demo", {"steps": "many"}, None, "steps=many"),
        ("demo", {"rsft.steps": -2}, None, "steps=-2: must be at least 0"),
        ("demo", {}, {"tune": "slow"}, "has no stage tune"),
        ("demo", {}, {"hsdpo": "slow"}, "preset=slow: hsdpo has no such preset"),
    ],
)
def test_a_wrong_recipe_stores_no_job(
    files: Database, name: str, values: dict[str, Any], presets: dict[str, str], said: str
) -> None:
    with pytest.raises(GuardUIError, match=said):
        submit_recipe(files, name, values, presets)
    with files.read() as session:
        assert jobs.list_jobs(session) == []


def grouped(steps: Sequence[Step]) -> Recipe:
    presets = dict.fromkeys((step.stage for step in steps), None)
    return Recipe("made", "Made", "", presets, lambda _values: steps)


TWICE = (
    Step("one", "rsft", "smollm2-demo", {"steps": 1}),
    Step("two", "rsft", values={"steps": 2}, links={"adapter": "one"}, title="Again"),
    Step("dig-one", "mine", links={"adapter": "one"}),
    Step("dig-two", "mine", links={"adapter": "two"}),
    Step("join", "merge", links={"sets": ["dig-two", "dig-one"]}),
)


def test_a_stage_may_occur_often_and_take_from_several(
    database: Database, idle: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "made", grouped(TWICE))
    ids = submit_recipe(database, "made", {"two.seconds": 0.5}, {"rsft": "slow"})
    one, two, dig_one, dig_two, join = (job(database, found) for found in ids)
    assert (one.config["steps"], one.preset, one.title) == (1, "slow", "Made: Count")
    assert (two.config["seconds"], two.title) == (0.5, "Made: Again")
    assert two.config["adapter"] == f"job:{one.id}"
    assert join.config["sets"] == [f"job:{dig_two.id}", f"job:{dig_one.id}"]
    assert [parent.id for parent in join.parents] == [dig_one.id, dig_two.id]
    assert f'["job:{dig_two.id}", "job:{dig_one.id}"]' in join.command
    with database.read() as session:
        group = groups.get_group(session, one.group_id or 0)
        assert group is not None
        assert (group.kind, group.name, group.title) == ("recipe", "made", "Made")
        assert [member.group_key for member in group.jobs] == [step.key for step in TWICE]
        assert [found.id for found in groups.list_groups(session)] == [group.id]


def test_a_later_step_that_cannot_work_leaves_no_group(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "made", grouped(TWICE))
    with pytest.raises(InputError, match="steps=-1"):
        submit_recipe(database, "made", {"two.steps": -1})
    with database.read() as session:
        assert groups.list_groups(session) == []
        assert jobs.list_jobs(session) == []


def test_all_references_of_a_list_are_looked_at(
    files: Database, idle: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pairs").mkdir()
    monkeypatch.chdir(tmp_path)
    dug = submit(files, "mine", {})
    late = job(files, submit(files, "merge", {"sets": [f"job:{dug}", "pairs"]}))
    assert late.config["sets"] == [f"job:{dug}", str(tmp_path / "pairs")]
    assert [parent.id for parent in late.parents] == [dug]
    with pytest.raises(NotFoundError, match="sets=job:77: there is no such job"):
        submit(files, "merge", {"sets": [f"job:{dug}", "job:77"]})


# Dispatching


def test_one_exclusive_job_a_device(database: Database, idle: list[int]) -> None:
    first = submit(database, "rsft", {})
    second = submit(database, "rsft", {})
    other = submit(database, "rsft", {"device": "cuda:3"})
    free = submit(database, "free", {})
    assert idle == [first, other, free]
    assert job(database, second).state == "queued"
    end(database, first, "succeeded")
    assert dispatch(database) == [second]
    assert dispatch(database) == []


def test_a_failed_job_does_not_stop_the_next(database: Database, idle: list[int]) -> None:
    first = submit(database, "rsft", {})
    second = submit(database, "rsft", {})
    end(database, first, "failed", "bad luck")
    assert dispatch(database) == [second]


def test_the_order_of_the_queue_can_be_changed(database: Database, idle: list[int]) -> None:
    running, a, b, c = (submit(database, "rsft", {}) for _ in range(4))
    queue.move(database, c, 0)
    queue.move(database, a, 99)
    with database.read() as session:
        assert [one.id for one in jobs.queue(session)] == [c, b, a]
    end(database, running, "succeeded")
    assert dispatch(database) == [c]
    with pytest.raises(InputError, match=f"job={c}: is starting, must be queued"):
        queue.move(database, c, 0)
    with pytest.raises(NotFoundError, match="job=99"):
        queue.move(database, 99, 0)


def test_many_dispatchers_launch_each_job_once(
    database: Database, idle: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "dispatch", lambda _database: [])
    held = [submit(database, "rsft", {}) for _ in range(3)]
    free = [submit(database, "free", {}) for _ in range(6)]
    start = threading.Barrier(6)

    def run(_: int) -> list[int]:
        own = open_database(database.url)
        start.wait()
        launched = dispatch(own)
        own.dispose()
        return launched

    with ThreadPoolExecutor(6) as pool:
        found = [one for launched in pool.map(run, range(6)) for one in launched]
    assert sorted(found) == sorted([held[0], *free])
    assert sorted(idle) == sorted(found)
    assert [job(database, one).state for one in held] == ["starting", "queued", "queued"]


def test_a_worker_that_cannot_be_launched_fails_by_name(
    files: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(launchers.LAUNCHERS, "local", refuse)
    row = job(files, submit(files, "rsft", {}))
    assert row.state == "failed"
    assert row.failure is not None
    assert row.failure["code"] == "disk_full"


# Looking after


def test_a_failed_parent_blocks_its_descendants(database: Database, idle: list[int]) -> None:
    first, second, third = submit_recipe(database, "demo", {})
    end(database, first, "failed", "no")
    for one in (second, third):
        row = job(database, one)
        assert (row.state, row.reason) == ("blocked", f"needs job {first} (rsft), which failed")
    assert dispatch(database) == []


def test_a_resumed_parent_frees_its_descendants(database: Database, idle: list[int]) -> None:
    first, second, third = submit_recipe(database, "demo", {})
    end(database, first, "interrupted")
    assert job(database, third).reason == f"needs job {first} (rsft), which was interrupted"
    queue.resume(database, first)
    assert [job(database, one).state for one in (second, third)] == ["queued", "queued"]
    assert job(database, third).reason is None
    end(database, first, "succeeded")
    assert dispatch(database) == [second]
    end(database, second, "failed")
    assert job(database, third).reason == f"needs job {second} (mine), which failed"


def test_a_resumed_job_whose_parent_ended_is_blocked(files: Database, idle: list[int]) -> None:
    parent = submit(files, "rsft", {})
    late = submit(files, "mine", {"adapter": f"job:{parent}"})
    queue.cancel(files, late)
    queue.stop(files, parent)
    end(files, parent, "stopped")
    assert queue.resume(files, late) == "blocked"


def test_cancel_and_stop(database: Database, idle: list[int]) -> None:
    running = submit(database, "rsft", {})
    waiting = submit(database, "rsft", {})
    child = submit(database, "mine", {"adapter": f"job:{waiting}"})
    with pytest.raises(InputError, match=f"job={running}: is starting, must be queued or blocked"):
        queue.cancel(database, running)
    assert queue.cancel(database, waiting) == "stopped"
    assert job(database, waiting).reason == "cancelled"
    assert job(database, child).state == "blocked"
    assert queue.stop(database, child) == "stopped"
    assert queue.stop(database, running) == "stopping"
    assert queue.stop(database, running) == "stopping"
    end(database, running, "stopped")
    with pytest.raises(InputError, match=f"job={running}: has stopped"):
        queue.stop(database, running)
    with pytest.raises(NotFoundError, match="job=404"):
        queue.stop(database, 404)


def test_resume(database: Database, idle: list[int]) -> None:
    job_id = submit(database, "rsft", {})
    with pytest.raises(InputError, match="is starting, must be stopped, interrupted or failed"):
        queue.resume(database, job_id)
    end(database, job_id, "failed", "no")
    assert queue.resume(database, job_id) == "queued"
    row = job(database, job_id)
    assert (row.state, row.reason, row.failure, row.stop_requested_at) == (
        "starting",
        None,
        None,
        None,
    )
    assert idle == [job_id, job_id]
    end(database, job_id, "succeeded")
    with pytest.raises(InputError, match=f"job={job_id}: is succeeded, must be"):
        queue.resume(database, job_id)
    with pytest.raises(NotFoundError, match="job=404"):
        queue.resume(database, 404)
