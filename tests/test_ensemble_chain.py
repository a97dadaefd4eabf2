"""Ensemble mining end to end: real worker processes, a tiny model, three sources."""

import json
from pathlib import Path

import pytest

from db import groups, jobs
from pipelines.jobs import queue
from pipelines.pair_sets import read_pairs
from tests.test_chain import database, scripted, tail, values, wait
from tests.tiny_runs import rows, write_rows

__all__ = ["database", "scripted", "values"]

SOURCES = ("big", "big", "left", "right")


@pytest.fixture
def several(values, tmp_path):
    """Eight rows: four of the largest source, two of each other."""
    found = [row | {"source": SOURCES[n % 4]} for n, row in enumerate(rows(8))]
    return values | {"dataset": str(write_rows(tmp_path / "several.jsonl", found))}


def test_each_source_is_mined_by_who_saw_it_and_main_is_trained_on_all(
    scripted, database, several, home
):
    ids = queue.submit_recipe(database, "ensemble-demo", several)
    ended = wait(database, *ids, seconds=400)
    for job in ended:
        assert job.state == "succeeded", f"{job.group_key}: {job.reason}\n{tail(job.id)}"
    by_key = {job.group_key: job for job in ended}
    assert list(by_key) == [
        "main",
        "variant-1",
        "variant-2",
        "mine-main",
        "mine-variant-1",
        "mine-variant-2",
        "merge",
        "hsdpo",
    ]
    with database.read() as session:
        made = {
            key: {one.kind: one.path for one in jobs.artifacts(session, job_id=job.id)}
            for key, job in by_key.items()
        }
        assert len(groups.list_groups(session)) == 1
    mined = {
        key: {row["source"] for row in read_pairs(paths["pair_set"])}
        for key, paths in made.items()
        if key.startswith("mine")
    }
    assert mined == {
        "mine-main": {"big"},
        "mine-variant-1": {"right"},
        "mine-variant-2": {"left"},
    }
    merged = read_pairs(made["merge"]["pair_set"])
    assert {row["source"] for row in merged} == {"big", "left", "right"}
    assert len({row["prompt"] for row in merged}) == len(merged) == 8
    last = json.loads((Path(made["hsdpo"]["adapter"]) / "training_info.json").read_text())
    assert last["parent"]["stage"] == "rsft"
    assert by_key["hsdpo"].resolved["adapter"] == made["main"]["adapter"]
