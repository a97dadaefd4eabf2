"""HS-DPO's choice of weights, and its record of the version that it trained on."""

import json

import pytest

from db.session import open_database
from pipelines.jobs import queue
from pipelines.jobs.worker import run_job
from pipelines.pair_sets import write_pair_set
from pipelines.schema import DataError, InputError
from pipelines.stages import hsdpo
from pipelines.stages.base import build_config
from tests.hard_cases import TEMPLATE, hard
from tests.tiny_runs import Recorder, make_pairs

OPTIONS = {"batch_size": 3, "precision": "fp32", "device": "cpu", "max_steps": 1}


@pytest.fixture
def pairs(tmp_path):
    samples = [hard("a", 3, 1, source="x"), hard("b", 1, 3, source="x"), hard("c", source="y")]
    record = {"mined_benchmark": ["SafeRLHF"]}
    write_pair_set(tmp_path / "set", samples, TEMPLATE, gamma=0.1, record=record)
    return str(tmp_path / "set")


@pytest.fixture
def values(tiny_adapter, pairs):
    return OPTIONS | {"adapter": str(tiny_adapter), "pairs": pairs}


@pytest.fixture
def weights(monkeypatch):
    """The weights that a run would train with; nothing is trained."""
    found = []

    def note(_config, _context, _pairs, weights, *_more):
        found.extend(weights)
        raise InputError("enough")

    monkeypatch.setattr(hsdpo, "train_on_pairs", note)
    return found


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, [0.8, 1.2, 1.0]),
        ({"gamma": 0.5}, [0.5, 1.5, 1.0]),
        ({"gamma": 0.5, "weighting": "pooled"}, [0.5, 1.5, 1.0]),
        ({"gamma": 0.5, "weighting": "uniform"}, [1.0, 1.0, 1.0]),
        ({"gamma": 0.5, "weighting": "stored"}, [0.9, 1.1, 1.0]),
    ],
)
def test_the_weighting_is_as_configured(values, weights, tmp_path, asked, told):
    with pytest.raises(InputError, match="enough"):
        hsdpo.run(build_config(hsdpo.STAGE, None, values | asked), Recorder(tmp_path / "job"))
    assert weights == pytest.approx(told)


def test_paper_and_pooled_differ_where_sources_do(values, weights, tmp_path):
    samples = [
        hard("a", 3, 1, source="x"),
        hard("b", 2, 2, source="x"),
        hard("c", 1, 3, source="y"),
    ]
    write_pair_set(tmp_path / "two", samples, TEMPLATE)
    for weighting in ("paper", "pooled"):
        asked = values | {"pairs": str(tmp_path / "two"), "weighting": weighting}
        with pytest.raises(InputError, match="enough"):
            hsdpo.run(build_config(hsdpo.STAGE, None, asked), Recorder(tmp_path / "job"))
    assert weights == pytest.approx([0.8, 1.2, 1.0, 0.8, 1.0, 1.2])


def check(values):
    return hsdpo.check(build_config(hsdpo.STAGE, None, values))


def test_the_check_passes_the_warning_of_a_mined_benchmark_on(values):
    assert check(values) [:2] == [
        "3 pairs", "The pairs were mined on rows of a benchmark: SafeRLHF.",
    ]  # fmt: skip


def test_stored_weights_that_are_not_there_are_refused_beforehand(values, tmp_path):
    older = make_pairs(tmp_path / "older")
    with pytest.raises(InputError, match="weighting=stored: 6 pairs have no weight"):
        check(values | {"pairs": str(older), "weighting": "stored"})


def test_a_tampered_set_is_refused_beforehand(values, pairs, tmp_path):
    path = tmp_path / "set" / "pairs.jsonl"
    path.chmod(0o644)
    path.write_text(path.read_text("utf-8").replace('"weight": 0.9', '"weight": 9.0'), "utf-8")
    with pytest.raises(DataError, match="was changed after the set was frozen"):
        check(values)


def test_a_job_records_the_version_that_it_trained_on(values, pairs, home):
    database = open_database(home.database_url)
    merged = queue.submit(
        database, "merge", {"sets": [pairs], "name": "kites"}, launcher="foreground"
    )
    assert run_job(database, merged).state == "succeeded"
    asked = values | {"pairs": "kites@v1"}
    job = run_job(database, queue.submit(database, "hsdpo", asked, launcher="foreground"))
    assert job.state == "succeeded", job.reason
    (adapter,) = [one for one in job.artifacts if one.kind == "adapter"]
    info = json.loads(
        (home.home / "jobs" / str(job.id) / "adapter" / "training_info.json").read_text()
    )
    assert adapter.path.endswith(f"jobs/{job.id}/adapter")
    dataset = info["dataset"]
    assert (dataset["name"], dataset["version"], dataset["rows"]) == ("kites", 1, 3)
    assert (
        dataset["sha256"]
        == json.loads((home.home / "jobs" / str(merged) / "pairs" / "pair_set.json").read_text())[
            "sha256"
        ]
    )
    database.dispose()
