"""Ensemble mining end to end: every job of the chain on a tiny model, with three sources.

The jobs are planned, queued, dispatched and recorded as ever, but done one by one in this process:
eight workers that each load PyTorch take longer than all that they do. `test_chain` has workers.
"""

import json
from pathlib import Path

import pytest

from db import groups, jobs
from pipelines.classify import Moderator
from pipelines.jobs import queue
from pipelines.jobs.worker import run_job
from pipelines.pair_sets import describe_pair_set, read_pairs
from pipelines.stages import mine
from tests.test_chain import database, launched, values
from tests.tiny_runs import ScriptedEngine, answer, rows, write_rows

__all__ = ["database", "launched", "values"]

SOURCES = ("big", "big", "left", "right")
KEYS = ["main", "variant-1", "variant-2", "mine-main", "mine-variant-1", "mine-variant-2"]
ALTERNATING = ("harmful", "unharmful")


@pytest.fixture
def several(values, tmp_path):
    """Eight rows: four of the largest source, two of each other."""
    found = [row | {"source": SOURCES[n % 4]} for n, row in enumerate(rows(8))]
    return values | {"dataset": str(write_rows(tmp_path / "several.jsonl", found))}


@pytest.fixture
def agreeing(monkeypatch):
    """Moderators are opened as ever, but their words are given, since a random model says nothing:
    every other answer is right, except of those whose number of opening is in the set, which always
    say the same."""
    agree, opened = set(), []
    open_real = mine.open_moderator

    def open_scripted(*words, **options):
        real = open_real(*words, **options)
        opened.append(real.name)
        same = len(opened) in agree
        engine = ScriptedEngine(lambda _p, i: answer(ALTERNATING[0 if same else i % 2]))
        return Moderator(real.name, engine, real.template, real.tokenizer)

    monkeypatch.setattr(mine, "open_moderator", open_scripted)
    return agree


def run_chain(database, launched, values):
    """Queues the ensemble and does what is dispatched until nothing is; the jobs by their key."""
    ids = queue.submit_recipe(database, "ensemble-demo", values)
    while launched:
        run_job(database, launched.pop(0))
    return {job.group_key: job for job in (read(database, job_id) for job_id in ids)}


def read(database, job_id):
    with database.read() as session:
        return jobs.get_job(session, job_id)


def path_of(job, kind):
    return next(one.path for one in job.artifacts if one.kind == kind)


def sources_of(job):
    return {row["source"] for row in read_pairs(path_of(job, "pair_set"))}


def test_each_source_is_mined_by_who_saw_it_and_main_is_trained_on_all(
    launched, agreeing, database, several
):
    by_key = run_chain(database, launched, several)
    assert list(by_key) == [*KEYS, "merge", "hsdpo"]
    for job in by_key.values():
        assert job.state == "succeeded", f"{job.group_key}: {job.reason}"
    with database.read() as session:
        assert len(groups.list_groups(session)) == 1
    assert {key: sources_of(job) for key, job in by_key.items() if key.startswith("mine")} == {
        "mine-main": {"big"},
        "mine-variant-1": {"right"},
        "mine-variant-2": {"left"},
    }
    merged = read_pairs(path_of(by_key["merge"], "pair_set"))
    assert {row["source"] for row in merged} == {"big", "left", "right"}
    assert len({row["prompt"] for row in merged}) == len(merged) == 8
    folder = Path(path_of(by_key["hsdpo"], "adapter"))
    last = json.loads((folder / "training_info.json").read_text())
    assert last["parent"]["stage"] == "rsft"
    assert by_key["hsdpo"].resolved["adapter"] == path_of(by_key["main"], "adapter")


def test_a_model_that_finds_nothing_does_not_keep_back_the_others(
    launched, agreeing, database, several
):
    agreeing.add(2)
    by_key = run_chain(database, launched, several)
    for job in by_key.values():
        assert job.state == "succeeded", f"{job.group_key}: {job.reason}"
    empty = by_key["mine-variant-1"]
    assert describe_pair_set(path_of(empty, "pair_set"))["rows"] == 0
    assert sources_of(by_key["merge"]) == {"big", "left"}
    (made,) = by_key["merge"].artifacts
    assert made.details["empty"] == [f"job:{empty.id}"]
    with database.read() as session:
        said = jobs.events(session, by_key["merge"].id, kind="log")
    assert [event.data["text"] for event in said] == [
        f"1 of 3 sets hold no hard sample and add nothing: job:{empty.id}"
    ]


def test_where_none_finds_anything_merging_fails_by_name(launched, agreeing, database, several):
    agreeing.update((1, 2, 3))
    by_key = run_chain(database, launched, several)
    assert [by_key[key].state for key in KEYS] == ["succeeded"] * 6
    assert by_key["merge"].state == "failed"
    assert "there is no hard sample in them" in by_key["merge"].reason
    assert "raise temperature or k" in by_key["merge"].failure["advice"]
    assert by_key["hsdpo"].state == "blocked"
