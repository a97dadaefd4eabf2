"""Merging frozen sets: what is handed over, recorded and refused, and as a job."""

import logging
from pathlib import Path

import pytest

from db import pair_sets, samples
from db.session import open_database
from pipelines.jobs import queue
from pipelines.jobs.worker import run_job
from pipelines.pair_sets import describe_pair_set, read_pairs, read_samples, write_pair_set
from pipelines.schema import DataError, InputError, NotFoundError
from pipelines.stages import merge
from pipelines.stages.base import build_config
from pipelines.template import GuardTemplate
from tests.hard_cases import TEMPLATE, all_wrong, hard
from tests.tiny_runs import Recorder, make_pairs


@pytest.fixture
def sets(tmp_path):
    one = [
        hard("a", 3, 1, model="jobs/1/adapter", source="x"),
        hard("b", 1, 3, model="jobs/1/adapter", source="x"),
        all_wrong("w", model="jobs/1/adapter", source="x"),
    ]
    two = [
        hard("b", 3, 1, model="jobs/2/adapter", source="x"),
        hard("c", 2, 2, model="jobs/2/adapter", source="x"),
        hard("d", 2, 2, model="jobs/2/adapter", source="y"),
    ]
    write_pair_set(tmp_path / "one", one, TEMPLATE, record={"mined_benchmark": ["SafeRLHF"]})
    write_pair_set(tmp_path / "two", two, TEMPLATE, human_edited={"d"})
    return [str(tmp_path / "one"), str(tmp_path / "two")]


def join(sets, context, **values):
    merge.run(build_config(merge.STAGE, None, {"sets": sets, **values}), context)
    return context


COUNTS = [
    {"model": "jobs/1/adapter", "source": "x", "before": 2, "after": 2},
    {"model": "jobs/2/adapter", "source": "x", "before": 2, "after": 1},
    {"model": "jobs/2/adapter", "source": "y", "before": 1, "after": 1},
]


def test_it_hands_over_samples_and_one_set(sets, tmp_path):
    context = join(sets, Recorder(tmp_path / "job"), name="all")
    assert [one.example.row_id for one in context.found] == ["a", "b", "w", "c", "d"]
    ((kind, folder, name, details),) = context.made
    assert (kind, name) == ("pair_set", "4 hard samples of 2 sets")
    assert (details["pairs"], details["counts"], details["set_name"]) == (4, COUNTS, "all")
    rows = {row["row_id"]: row for row in read_pairs(str(folder))}
    weights = {row_id: row["weight"] for row_id, row in rows.items()}
    # c: d = 0 in (-2, 0), the range of jobs/2 on x with its b, which is left out here.
    assert weights == pytest.approx({"a": 0.8, "b": 1.2, "c": 1.2, "d": 1.0})
    assert [row["row_id"] for row in rows.values() if row["human_edited"]] == ["d"]
    assert rows["b"]["model"] == "jobs/1/adapter"
    assert len(read_samples(str(folder))) == 5
    assert GuardTemplate.load(folder) == TEMPLATE


def test_the_record_tells_where_it_comes_from(sets, tmp_path):
    context = join(sets, Recorder(tmp_path / "job"))
    record = describe_pair_set(str(context.made[0][1]))["record"]
    assert record["counts"] == COUNTS
    assert record["mined_benchmark"] == ["SafeRLHF"]
    assert [one["reference"] for one in record["merged"]] == sets
    assert [one["sha256"] for one in record["merged"]] == [
        describe_pair_set(ref)["sha256"] for ref in sets
    ]


def test_the_counts_are_metrics_and_a_table_in_the_log(sets, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        context = join(sets, Recorder(tmp_path / "job"))
    assert context.rows == [
        (1, {"before": 2, "after": 2}),
        (2, {"before": 2, "after": 1}),
        (3, {"before": 1, "after": 1}),
    ]
    lines = [record.getMessage().split() for record in caplog.records]
    assert ["jobs/2/adapter", "x", "2", "1"] in lines
    assert ["all", "5", "4"] in lines


def test_pairs_may_be_chosen_anew(sets, tmp_path):
    mined = join(sets, Recorder(tmp_path / "a")).made[0][1]
    drawn = join(sets, Recorder(tmp_path / "b"), pairing="random", seed=3).made[0][1]
    again = join(sets, Recorder(tmp_path / "c"), pairing="random", seed=3).made[0][1]
    assert describe_pair_set(str(drawn))["pairing"] == "random"
    assert describe_pair_set(str(drawn))["sha256"] == describe_pair_set(str(again))["sha256"]
    assert describe_pair_set(str(drawn))["sha256"] != describe_pair_set(str(mined))["sha256"]
    longest = join([str(drawn)], Recorder(tmp_path / "d"), pairing="longest").made[0][1]
    assert [row["chosen"] for row in read_pairs(str(longest))] == [
        row["chosen"] for row in read_pairs(str(mined))
    ]


# What is refused


def check(sets):
    return merge.check(build_config(merge.STAGE, None, {"sets": sets}))


def test_the_check_counts_each_set(sets):
    assert check(sets) == [f"{sets[0]}: 2 pairs", f"{sets[1]}: 3 pairs"]
    assert check(["job:1", "artifact:2"]) == []


def test_sets_are_needed_once_each(sets):
    with pytest.raises(InputError, match="sets: a value is needed"):
        check([])
    with pytest.raises(InputError, match=f"sets={sets[0]}: named twice"):
        check([sets[0], sets[0]])


def test_a_set_without_samples_is_refused_before_it_is_queued(sets):
    (Path(sets[1]) / "samples.jsonl").unlink()
    with pytest.raises(InputError, match=r"sets=.*: has pairs but not the samples"):
        check(sets)


def test_sets_of_two_templates_are_refused_by_name(sets, tmp_path):
    other = tmp_path / "other"
    write_pair_set(other, [hard("z")], GuardTemplate(instruction="Another.\n"))
    with pytest.raises(InputError, match=f"sets={sets[0]}, {other}: made with different"):
        check([*sets, str(other)])
    with pytest.raises(InputError, match="made with different"):
        join([*sets, str(other)], Recorder(tmp_path / "job"))


def test_sets_without_samples_or_without_hard_ones_are_named(sets, tmp_path):
    older = make_pairs(tmp_path / "older")
    with pytest.raises(DataError, match=f"pairs={older}: has pairs alone"):
        join([sets[0], str(older)], Recorder(tmp_path / "job"))
    write_pair_set(tmp_path / "wrong", [all_wrong("w")], TEMPLATE)
    with pytest.raises(InputError, match="there is no hard sample in them"):
        join([str(tmp_path / "wrong")], Recorder(tmp_path / "job2"))


def test_a_set_without_pairs_adds_nothing_and_is_named(sets, tmp_path):
    empty = tmp_path / "empty"
    write_pair_set(empty, [all_wrong("v")], TEMPLATE)
    assert check([str(empty)]) == [f"{empty}: 0 pairs"]
    context = join([*sets, str(empty)], Recorder(tmp_path / "job"))
    assert [said for said, _ in context.remarks] == [
        f"1 of 3 sets hold no hard sample and add nothing: {empty}"
    ]
    assert context.made[0][3]["empty"] == [str(empty)]
    assert len(read_pairs(str(context.made[0][1]))) == 4


# As a job


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    database.dispose()


def run(database, stage, values):
    return run_job(database, queue.submit(database, stage, values, launcher="foreground"))


def test_a_job_merges_versions_by_name_and_makes_the_next(sets, database):
    first = run(database, "merge", {"sets": [sets[0]], "name": "left"})
    second = run(database, "merge", {"sets": [sets[1]]})
    third = run(database, "merge", {"sets": ["left@v1", f"job:{second.id}"], "name": "both"})
    again = run(database, "merge", {"sets": ["left@1", sets[1]], "name": "both"})
    assert [job.state for job in (first, second, third, again)] == ["succeeded"] * 4
    assert [parent.id for parent in third.parents] == [second.id]
    with database.read() as session:
        listed = {one.name: one.versions for one in pair_sets.list_pair_sets(session)}
        stored, total = samples.list_samples(session, job_id=third.id)
    assert {name: len(found) for name, found in listed.items()} == {
        "left": 1, f"job {second.id}": 1, "both": 2,
    }  # fmt: skip
    both = listed["both"][0]
    assert both.rows == 4
    assert both.sha256 == describe_pair_set(third.artifacts[0].path)["sha256"]
    record = describe_pair_set(third.artifacts[0].path)["record"]
    assert [(one["reference"], one["name"], one["version"]) for one in record["merged"]] == [
        ("left@v1", "left", 1),
        (f"job:{second.id}", f"job {second.id}", 1),
    ]
    assert total == 5
    assert {one.model for one in stored} == {"jobs/1/adapter", "jobs/2/adapter"}


def test_an_unknown_version_is_refused_at_once(sets, database):
    run(database, "merge", {"sets": [sets[0]], "name": "left"})
    with pytest.raises(
        NotFoundError, match=r"left@v2: there is no such version \(the newest is v1"
    ):
        queue.submit(database, "merge", {"sets": ["left@v2"]})
    with pytest.raises(NotFoundError, match="right@v1: there is no pair set of this name"):
        queue.submit(database, "merge", {"sets": ["right@v1"]})


def test_an_attempt_that_failed_after_freezing_leaves_its_folder_alone(sets, database, home):
    """The next attempt freezes beside it, for nothing that is frozen is written again."""
    job_id = queue.submit(database, "merge", {"sets": sets}, launcher="foreground")
    left = home.home / "jobs" / str(job_id) / "pairs"
    write_pair_set(left, [hard("z")], TEMPLATE)
    job = run_job(database, job_id)
    assert job.artifacts[0].path == str(left.with_name("pairs-2"))
    assert [row["row_id"] for row in read_pairs(str(left))] == ["z"]
