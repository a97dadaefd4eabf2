"""Sweeps: which runs there are, what they share, and which values are refused."""

from __future__ import annotations

from typing import Any

import pytest

from db import groups, jobs
from db.session import Database
from pipelines.jobs.queue import submit_sweep
from pipelines.jobs.sweeps import SWEEPS, caveat_of, get_sweep, label_of, read_values
from pipelines.schema import GuardUIError, InputError


def test_one_job_a_value_all_else_shared(database: Database, idle: list[int]) -> None:
    ids = submit_sweep(database, "rsft.steps", {"values": [1, 4], "seconds": 0.5})
    with database.read() as session:
        rows = [jobs.get_job(session, one) for one in ids]
        (group,) = groups.list_groups(session)
        assert (group.kind, group.name, group.field) == ("sweep", "rsft.steps", "steps")
        assert [member.group_key for member in group.jobs] == ["1", "4"]
    configs = [row.config for row in rows if row]
    assert [config.pop("steps") for config in configs] == [1, 4]
    assert configs[0] == configs[1]
    assert configs[0]["seconds"] == 0.5
    assert [row.title for row in rows if row] == ["Count: steps: 1", "Count: steps: 4"]


def test_a_refused_value_is_explained_and_nothing_is_queued(
    database: Database, idle: list[int]
) -> None:
    with pytest.raises(InputError, match="steps=-1: must be at least 0") as told:
        submit_sweep(database, "rsft.steps", {"values": [1, -1, 2]})
    assert "--skip" in str(told.value.advice)
    with database.read() as session:
        assert jobs.list_jobs(session) == []
        assert groups.list_groups(session) == []


def test_a_refused_value_can_be_skipped(files: Database, idle: list[int]) -> None:
    ids = submit_sweep(files, "rsft.steps", {"values": [1, -1, 2]}, skip=True)
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("rsftt.steps", {"values": [1, 2]}, "stage=rsftt: no such stage"),
        ("rsft.stepz", {"values": [1, 2]}, "sweep=rsft.stepz: rsft has no such field"),
        ("epoch", {}, "sweep=epoch: no such sweep .there are: reasoning"),
        ("rsft.steps", {}, "a sweep needs at least two values"),
        ("rsft.steps", {"values": [3, 3]}, "values=3: named twice"),
        ("rsft.steps", {"values": "[1"}, r"values=\[1: not JSON"),
        ("rsft.steps", {"values": [1, 2], "rsft.steps": 3}, "is what is swept"),
        ("rsft.steps", {"values": [1, 2], "stepz": 3}, "stepz: unknown setting"),
        ("rsft.steps", {"values": [-1, -2]}, "steps=-1: must be at least 0"),
    ],
)
def test_what_makes_no_sweep_is_refused(
    files: Database, name: str, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(GuardUIError, match=said):
        submit_sweep(files, name, values)
    with files.read() as session:
        assert jobs.list_jobs(session) == []


def test_values_are_read_from_words() -> None:
    assert read_values("1e-5, 5e-5") == ["1e-5", "5e-5"]
    assert read_values('[["refusal"], []]') == [["refusal"], []]


def test_labels_say_all_where_nothing_is_left_out() -> None:
    assert label_of("max_rows", 0) == label_of("tasks", []) == "all"
    assert label_of("tasks", ["refusal"]) == "refusal"
    assert label_of("epochs", 0) == "0"


def test_the_ablations_are_those_of_the_method() -> None:
    assert {name: list(get_sweep(name).values) for name in SWEEPS} == {
        "reasoning": ["reasoning", "answers"],
        "tasks": [[], ["prompt_harmfulness"], ["refusal"], ["response_harmfulness"]],
        "method": ["lora", "full"],
        "quantization": ["nf4", "none"],
        "epochs": [1, 3, 5, 10],
        "rows": [500, 5000, 0],
    }


class TestRealStages:
    """The named sweeps on the stages that they are of."""

    @pytest.fixture
    def stages(self) -> None:
        """Leaves the real stages in place."""

    def test_a_sample_larger_than_the_data_is_refused(
        self, files: Database, idle: list[int], tiny_base: Any
    ) -> None:
        values = {"base_model": str(tiny_base), "values": [50, 500, 0]}
        with pytest.raises(InputError, match="max_rows=500: the dataset has 180 rows"):
            submit_sweep(files, "rows", values)
        assert len(submit_sweep(files, "rows", values, skip=True)) == 2

    @pytest.mark.parametrize("name", ["reasoning", "tasks", "method", "epochs"])
    def test_an_ablation_differs_in_its_field_alone(
        self, files: Database, idle: list[int], tiny_base: Any, name: str
    ) -> None:
        ids = submit_sweep(files, name, {"base_model": str(tiny_base)})
        with files.read() as session:
            configs = [row.config for one in ids if (row := jobs.get_job(session, one))]
        field = SWEEPS[name].field
        assert len({str(config.pop(field)) for config in configs}) == len(ids)
        assert all(config == configs[0] for config in configs)

    def test_four_bit_needs_a_gpu_or_to_be_insisted_on(
        self, files: Database, idle: list[int], tiny_base: Any
    ) -> None:
        values = {"base_model": str(tiny_base), "device": "cpu"}
        with pytest.raises(InputError, match="quantization=nf4: needs a GPU"):
            submit_sweep(files, "quantization", values)
        ids = submit_sweep(files, "quantization", values | {"ignore_memory": True})
        with files.read() as session:
            configs = [row.config for one in ids if (row := jobs.get_job(session, one))]
        assert [config.pop("quantization") for config in configs] == ["nf4", "none"]
        assert configs[0] == configs[1]
        assert (configs[0]["precision"], configs[0]["method"]) == ("bf16", "lora")

    def test_where_one_value_is_left_it_says_why(
        self, files: Database, idle: list[int], tiny_base: Any
    ) -> None:
        values = {"base_model": str(tiny_base), "values": "500, 0"}
        with pytest.raises(InputError, match=r"only all is left, .* \(left out: 500: max_rows=500"):
            submit_sweep(files, "rows", values, skip=True)


@pytest.mark.parametrize("swept", ["target", "tasks", "beta", "max_rows", "seed", "base_model"])
def test_what_keeps_losses_from_being_compared_is_said(swept: str) -> None:
    assert swept in caveat_of(swept)


@pytest.mark.parametrize("swept", ["epochs", "method", "quantization", "lora_r", "learning_rate"])
def test_where_nothing_does_nothing_is_said(swept: str) -> None:
    assert caveat_of(swept) == ""
