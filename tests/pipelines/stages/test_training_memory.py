"""A training whose memory runs out: explained, and gone on with on a smaller batch."""

from __future__ import annotations

import gc
import re
import weakref

import pytest

from pipelines.schema import OutOfMemoryError
from pipelines.stages import hsdpo
from pipelines.stages.training_config import halved
from tests.tiny_runs import Recorder
from tests.training_runs import info_of, losses, train


@pytest.fixture
def values(rsft_values):
    return rsft_values


@pytest.mark.parametrize(
    ("batch", "accumulation", "expected"),
    [
        (4, 1, (2, 2)), (2, 64, (1, 128)), (3, 2, (1, 6)), (5, 2, (2, 5)), (7, 1, (1, 7)),
        (6, 1, (3, 2)), (1, 8, None),
    ],
)  # fmt: skip
def test_half_the_batch_keeps_the_rows_of_a_step(batch, accumulation, expected):
    assert halved(batch, accumulation) == expected
    if expected:
        assert expected[0] * expected[1] == batch * accumulation


@pytest.fixture
def small_device(monkeypatch):
    """A device whose memory holds so many rows; gives a function that sets how many, from which
    step on, and the models that were trained."""
    import torch
    from transformers import Trainer

    limit, models = {}, []
    step = Trainer.training_step

    def training_step(self, model, inputs, *rest, **kwargs):
        if not models or models[-1]() is not self.model:
            gc.collect()
            assert all(one() is None for one in models), "a model is still held"
            models.append(weakref.ref(self.model))
        held = len(inputs["input_ids"])
        if held > limit["rows"] and self.state.global_step >= limit["from"]:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {held} rows")
        return step(self, model, inputs, *rest, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", training_step)

    def set_limit(rows, from_step=0):
        limit.update({"rows": rows, "from": from_step})
        return models

    return set_limit


def test_it_goes_on_with_a_batch_that_fits(values, tmp_path, small_device):
    small_device(10)
    expected = train(values, Recorder(tmp_path / "whole"))
    models = small_device(1)
    models.clear()
    context = train(values | {"oom_retry": 2}, Recorder(tmp_path / "job"))
    assert len(models) == 3
    # The same rows a step, so the same losses.
    assert losses(context)[0] == pytest.approx(losses(expected)[0], abs=1e-3)
    info = info_of(context)
    assert info["batch"] == {
        "batch_size": 1, "accumulation": 4, "processes": 1, "rows_per_step": 4,
    }  # fmt: skip
    assert (info["config"]["batch_size"], info["config"]["accumulation"]) == (1, 4)
    assert [one["failed"]["batch_size"] for one in info["oom_retries"]] == [4, 2]
    (first, data), _ = context.remarks
    assert re.match(
        r"out of memory at batch_size=4 \(peak \d+\.\d GiB of main memory, "
        r"estimated \d+\.\d GiB\): going on",
        first,
    )
    assert "going on with batch_size=2, accumulation=2 from step 0" in first
    assert data["used"] == {"batch_size": 2, "accumulation": 2}
    assert "out of memory, going on with batch_size=1, accumulation=4" in context.activities


def test_it_goes_on_from_the_last_checkpoint(values, tmp_path, small_device):
    small_device(10)
    values = values | {"batch_size": 2, "save_steps": 2}
    expected = train(values, Recorder(tmp_path / "whole"))
    small_device(1, from_step=5).clear()
    context = train(values | {"oom_retry": 1}, Recorder(tmp_path / "job"))
    trained = losses(context)[0]
    assert list(trained) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert trained == pytest.approx(losses(expected)[0], abs=1e-3)
    assert info_of(context)["oom_retries"][0]["from_step"] == 4


def test_hsdpo_goes_on_with_a_smaller_batch(pair_values, tmp_path, small_device):
    small_device(2)  # a pair is two rows
    context = train(pair_values | {"oom_retry": 1, "epochs": 1}, Recorder(tmp_path / "job"), hsdpo)
    assert info_of(context)["batch"]["rows_per_step"] == 2
    assert info_of(context)["batch"]["batch_size"] == 1
    assert ", estimated " in info_of(context)["oom_retries"][0]["reason"]
    assert info_of(context)["memory_estimate"] > 1 << 30
    assert len(losses(context)[0]) == 3


OUT_OF_MEMORY = r"^out of memory at batch_size=\d \(peak \d+\.\d GiB.*, estimated \d+\.\d GiB\)"


@pytest.mark.parametrize(
    ("change", "advice"),
    [({"oom_retry": 0}, "set oom_retry"), ({"oom_retry": 1}, "batch_size"), ({}, "batch_size")],
)
def test_without_a_way_on_it_fails_by_name(values, tmp_path, small_device, change, advice):
    small_device(0)
    if not change:
        change = {"oom_retry": 8, "batch_size": 1}
    context = Recorder(tmp_path)
    with pytest.raises(OutOfMemoryError, match=OUT_OF_MEMORY) as caught:
        train(values | change, context)
    assert advice in caught.value.advice
    assert context.made == []


def test_several_processes_do_not_try_again(values, tmp_path, small_device, monkeypatch):
    small_device(1)
    monkeypatch.setattr("pipelines.stages.training_fit._processes", lambda: 2)
    with pytest.raises(OutOfMemoryError, match="batch_size=4"):
        train(values | {"oom_retry": 2}, Recorder(tmp_path))


def test_other_errors_are_not_taken_for_memory(values, tmp_path, monkeypatch):
    from transformers import Trainer

    def broken(*_args, **_kwargs):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Trainer, "training_step", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(values | {"oom_retry": 2}, Recorder(tmp_path))
