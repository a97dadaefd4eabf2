"""What every training stage takes care of: held-out loss, best weights, rising loss, memory,
checkpoints, trackers and the record. R-SFT and HS-DPO of a tiny model."""

from __future__ import annotations

import gc
import hashlib
import json
import re
import sqlite3
import subprocess
import sys
import weakref
from contextlib import closing

import pytest

from pipelines import base_models
from pipelines.datasets import read_dataset
from pipelines.holdout import hold_out
from pipelines.schema import DataError, InputError, OutOfMemoryError, RisingLossError, StopRequested
from pipelines.stages import hsdpo, rsft
from pipelines.stages.base import build_config
from pipelines.stages.training import check_training, last_checkpoint
from pipelines.stages.training_callbacks import remove_old, whole_checkpoints
from pipelines.stages.training_config import halved
from pipelines.template import GuardTemplate
from tests.tiny_runs import RSFT, Recorder, make_pairs, pair_rows, rows, write_rows


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl")


@pytest.fixture
def values(tiny_base, data):
    return RSFT | {"base_model": str(tiny_base), "dataset": str(data)}


@pytest.fixture
def pair_values(tiny_adapter, tmp_path):
    return {
        "adapter": str(tiny_adapter),
        "pairs": str(make_pairs(tmp_path / "pairs")),
        "learning_rate": 5e-3,
        "batch_size": 2,
        "precision": "fp32",
        "device": "cpu",
        "beta": 0.1,
    }


def train(values, context, stage=rsft):
    stage.run(build_config(stage.STAGE, None, values), context)
    return context


def info_of(context):
    return json.loads((context.made[0][1] / "training_info.json").read_text())


def losses(context):
    """step -> training loss; step -> held-out loss."""
    return (
        {step: values["loss"] for step, values in context.rows if "loss" in values},
        {step: values["eval_loss"] for step, values in context.rows if "eval_loss" in values},
    )


# Held-out loss and the best weights


def test_the_held_out_loss_is_that_of_the_rows_kept_out(values, tmp_path):
    """Against the loss computed from the final weights."""
    import torch
    import torch.nn.functional as F

    context = train(values | {"holdout": 0.25, "batch_size": 1}, Recorder(tmp_path))
    trained, held = losses(context)
    assert max(trained) == 12  # 6 of the 8 rows, twice
    assert set(held) == {6, 12}
    assert info_of(context)["held_out"] == 2
    dataset = read_dataset(values["dataset"])
    out = hold_out([(e.prompt, e.response) for e in dataset.examples], 0.25, 42)
    tokenizer = base_models.load_tokenizer(base_models.Path(values["base_model"]))
    template = GuardTemplate.load(context.made[0][1])
    model = base_models.load_adapter(base_models.read_adapter(context.made[0][1]))
    own = []
    for row, is_out in zip(rsft.tokenize(dataset, template, tokenizer), out, strict=True):
        if is_out:
            ids, mask = torch.tensor([row["input_ids"]]), torch.tensor(row["completion_mask"])
            with torch.no_grad():
                each = F.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="none")
            own.append(each[mask[1:] == 1].mean().item())
    assert held[12] == pytest.approx(sum(own) / len(own), abs=1e-4)


def test_an_evaluation_set_of_its_own_leaves_out_what_is_trained_on(values, tmp_path):
    path = write_rows(tmp_path / "other.jsonl", rows(11))  # the first 8 are trained on
    context = train(
        values | {"eval_dataset": str(path), "eval_steps": 3, "epochs": 2}, Recorder(tmp_path / "j")
    )
    trained, held = losses(context)
    assert max(trained) == 4
    assert set(held) == {3, 4}
    assert info_of(context)["held_out"] == 3
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert info_of(context)["eval_dataset"] == {"name": "other.jsonl", "sha256": sha256}
    with pytest.raises(InputError, match="all of it is trained on"):
        train(values | {"eval_dataset": values["dataset"]}, Recorder(tmp_path / "k"))


def checked(values):
    return rsft.check(build_config(rsft.STAGE, None, values))


def test_an_evaluation_set_is_read_before_the_launch(values, tmp_path):
    bad = write_rows(tmp_path / "bad.jsonl", [{"text": "How?", "label": "perhaps"}])
    with pytest.raises(DataError, match=r"^eval_dataset=.*bad.jsonl: 1 fault; the first:.*perhaps"):
        checked(values | {"eval_dataset": str(bad)})
    with pytest.raises(DataError, match=r"^eval_dataset=/no/such.jsonl: there is no such file"):
        checked(values | {"eval_dataset": "/no/such.jsonl"})
    with pytest.raises(InputError, match=r"^eval_dataset=.*: all of it is trained on"):
        checked(values | {"eval_dataset": values["dataset"]})
    good = write_rows(tmp_path / "other.jsonl", rows(11))
    said = checked(values | {"eval_dataset": str(good)})
    assert (
        "3 rows of other.jsonl measure the held-out loss, 8 more are trained on and left out"
        in said
    )
    with pytest.raises(InputError, match=r"holdout=0\.1: must be 0 where eval_dataset is set"):
        checked(values | {"eval_dataset": str(good), "holdout": 0.1})


ODD = "Zq! xj~ ^w " * 12


@pytest.mark.parametrize("stage", ["rsft", "hsdpo"])
def test_the_best_weights_are_kept(stage, values, pair_values, tmp_path):
    """The held-out rows want what those trained on teach to avoid: each step is one too many."""
    options = {"holdout": 0.3, "keep_best": True, "eval_steps": 1, "learning_rate": 0.01}
    options |= {"epochs": 2, "scheduler": "constant", "keep_checkpoints": 1}
    if stage == "rsft":
        found = rows(8)
        dataset = read_dataset(values["dataset"])
        out = hold_out([(e.prompt, e.response) for e in dataset.examples], 0.3, 42)
        for row, is_out in zip(found, out, strict=True):
            row["output"] = ODD * is_out + row["output"]
        path = write_rows(tmp_path / "odd.jsonl", found)
        context = train(values | options | {"dataset": str(path)}, Recorder(tmp_path / "job"))
    else:
        found = pair_rows(6)
        out = hold_out([(row["prompt"], None) for row in found], 0.3, 42)
        for row, is_out in zip(found, out, strict=True):
            if is_out:
                row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
        path = make_pairs(tmp_path / "odd") / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
        odd = pair_values | options | {"pairs": str(path.parent), "rho": 0}
        context = train(odd, Recorder(tmp_path / "job"), hsdpo)
    _, held = losses(context)
    best = min(held, key=lambda step: held[step])
    assert best < max(held)
    assert info_of(context)["best"]["step"] == best
    assert info_of(context)["best"]["eval_loss"] == pytest.approx(held[best], abs=1e-3)
    checkpoints = tmp_path / "job" / "checkpoints"
    assert {path.name for path in checkpoints.iterdir() if path.is_dir()} == {
        f"checkpoint-{best}",
        f"checkpoint-{max(held)}",
    }
    saved, ended = (
        (folder / "adapter_model.safetensors").read_bytes()
        for folder in (context.made[0][1], checkpoints / f"checkpoint-{best}")
    )
    assert saved == ended


def test_hsdpo_shows_held_out_margins(pair_values, tmp_path):
    context = train(pair_values | {"holdout": 0.3}, Recorder(tmp_path / "job"), hsdpo)
    found = [values for _, values in context.rows if "eval_loss" in values]
    assert len(found) == 2
    for one in found:
        assert {"eval_loss", "eval_reward_margin", "eval_reward_accuracy", "eval_loss_sft"} <= set(
            one
        )
    assert info_of(context)["held_out"] == 2


def test_a_stopped_run_with_held_out_rows_goes_on_to_the_same_end(values, tmp_path):
    values = values | {"batch_size": 2, "holdout": 0.25, "eval_steps": 2, "keep_best": True}
    whole = train(values, Recorder(tmp_path / "whole"))
    first = Recorder(tmp_path / "job", stop_at=3)
    with pytest.raises(StopRequested, match="stopped at step 3 of 6"):
        train(values, first)
    assert set(losses(first)[1]) == {2}
    second = train(values, Recorder(tmp_path / "job"))
    for of_first, of_second, of_whole in zip(
        losses(first), losses(second), losses(whole), strict=True
    ):
        assert of_first | of_second == pytest.approx(of_whole, abs=1e-4)
    assert info_of(second)["best"]["step"] == info_of(whole)["best"]["step"]
    assert info_of(second)["resumed_from"] == "checkpoint-3"


@pytest.mark.parametrize("field", ["keep_best", "eval_steps"])
def test_what_needs_held_out_rows_says_so(values, field):
    with pytest.raises(InputError, match=f"{field}=.*: needs held-out rows"):
        rsft.check(build_config(rsft.STAGE, None, values | {field: 1}))


# Rising loss


def test_an_absurd_learning_rate_is_stopped_by_name(values, tmp_path):
    """What one run has learnt the next unlearns in a few steps; a run that learns goes on."""
    steady = {"epochs": 1000, "batch_size": 1, "scheduler": "constant", "save_steps": 1000}
    learns = {"method": "full", "learning_rate": 0.01, "max_steps": 45, "max_grad_norm": 1e6}
    first = train(values | steady | learns, Recorder(tmp_path / "first"))
    absurd = {"learning_rate": 0.01, "lora_alpha": 4096, "max_steps": 90}
    absurd |= {"base_model": str(first.made[0][1])}
    second = Recorder(tmp_path / "second")
    with pytest.raises(RisingLossError, match="stands above") as caught:
        train(values | steady | absurd, second)
    assert caught.value.code == "rising_loss"
    assert "learning_rate" in caught.value.advice
    assert second.made == []
    assert 39 <= len(second.rows) < 90
    spared = values | steady | absurd | {"stop_if_rising": False, "max_steps": 50}
    assert train(spared, Recorder(tmp_path / "third")).made


# Memory


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


# Checkpoints


def test_so_many_checkpoints_are_kept(values, tmp_path):
    train(values | {"batch_size": 1, "save_steps": 2, "keep_checkpoints": 3}, Recorder(tmp_path))
    kept = whole_checkpoints(tmp_path / "checkpoints")
    assert [path.name for path in kept] == ["checkpoint-12", "checkpoint-14", "checkpoint-16"]
    assert last_checkpoint(tmp_path) == kept[-1]


def test_without_a_number_of_steps_there_is_one_an_epoch(values, tmp_path):
    train(values | {"epochs": 3, "keep_checkpoints": 5}, Recorder(tmp_path))
    kept = whole_checkpoints(tmp_path / "checkpoints")
    assert [path.name for path in kept] == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]


def test_the_best_checkpoint_and_torn_ones_stay(tmp_path):
    for step in (2, 10, 9, 1):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if step != 1:
            (folder / "COMPLETE").touch()
    remove_old(tmp_path, 1, "/elsewhere/checkpoint-2")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"checkpoint-1", "checkpoint-2", "checkpoint-10"}


# Trackers


def test_tensorboard_files_hold_the_curve(values, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    context = train(values | {"log_to": ["tensorboard"], "holdout": 0.25}, Recorder(tmp_path))
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    written = {scalar.step: scalar.value for scalar in read.Scalars("train/loss")}
    assert written == pytest.approx(losses(context)[0], abs=1e-6)
    assert len(read.Scalars("eval/loss")) == 2


def test_trackio_holds_the_curve(values, tmp_path):
    """In a process of its own: Trackio reads its folder once, when it is imported."""
    pytest.importorskip("trackio")
    config = json.dumps(values | {"log_to": ["trackio"], "holdout": 0.25})
    code = (
        "import json, sys; from pathlib import Path; from tests.tiny_runs import Recorder\n"
        "from pipelines.stages import rsft; from pipelines.stages.base import build_config\n"
        "context = Recorder(Path(sys.argv[2]))\n"
        "rsft.run(build_config(rsft.STAGE, None, json.loads(sys.argv[1])), context)\n"
        "print(json.dumps([[s, v['loss']] for s, v in context.rows if 'loss' in v]))"
    )
    words = [sys.executable, "-c", code, config, str(tmp_path / "job")]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    # What it prints goes to the log: the only thing on standard output is ours.
    expected = dict(json.loads(ran.stdout))
    with closing(sqlite3.connect(tmp_path / "job" / "trackio" / "guardui.db")) as read:
        rows = [json.loads(row) for (row,) in read.execute("SELECT metrics FROM metrics")]
    written = {row["train/global_step"]: row["train/loss"] for row in rows if "train/loss" in row}
    assert written == pytest.approx(expected, abs=1e-6)
    assert sum("eval/loss" in row for row in rows) == 2


def test_a_tracker_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("pipelines.stages.training_config.find_spec", lambda _name: None)
    with pytest.raises(InputError, match="log_to=trackio: trackio is not installed") as caught:
        check_training(build_config(rsft.STAGE, None, {"log_to": ["trackio"]}))
    assert "pip install" in caught.value.advice


# The record


def test_the_record_says_how_it_was_made(values, tmp_path):
    from importlib.metadata import version

    context = train(values | {"accumulation": 2}, Recorder(tmp_path))
    folder, info = context.made[0][1], info_of(context)
    assert info["command"] == context.command
    assert (folder / "command.txt").read_text() == f"{context.command}\n"
    assert info["batch"] == {
        "batch_size": 4, "accumulation": 2, "processes": 1, "rows_per_step": 8,
    }  # fmt: skip
    assert info["seed"] == 42
    assert info["versions"]["guardui"] == version("guardui")
    assert info["device"]
    assert info["seconds"] > 0
    assert info["peak_memory"]["main"] > 10 << 20
    assert (info["oom_retries"], info["best"], info["resumed_from"]) == ([], None, None)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_weights_saved_in_bfloat16_are_half_as_large(values, tmp_path, method):
    import torch

    found = {}
    for dtype in ("float32", "bfloat16"):
        given = values | {"method": method, "save_dtype": dtype, "max_steps": 2}
        folder = train(given, Recorder(tmp_path / dtype)).made[0][1]
        name = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
        model = base_models.load_adapter(base_models.read_adapter(folder))
        with torch.no_grad():
            logits = model(torch.tensor([[5, 6, 7, 8]])).logits
        found[dtype] = ((folder / name).stat().st_size, logits)
    (large, exact), (small, rounded) = found["float32"], found["bfloat16"]
    assert 0.4 < small / large < 0.7
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.02)
