"""What every training stage takes care of: held-out loss, the best weights, rising loss, and
checkpoints. R-SFT and HS-DPO of a tiny model."""

from __future__ import annotations

import hashlib
import json

import pytest

from pipelines import base_models
from pipelines.datasets import read_dataset
from pipelines.holdout import hold_out
from pipelines.schema import DataError, InputError, RisingLossError, StopRequested
from pipelines.stages import hsdpo, rsft
from pipelines.stages.base import build_config
from pipelines.stages.training import last_checkpoint
from pipelines.stages.training_callbacks import remove_old, whole_checkpoints
from pipelines.template import GuardTemplate
from tests.tiny_runs import Recorder, make_pairs, pair_rows, rows, write_rows
from tests.training_runs import info_of, losses, train


@pytest.fixture
def values(rsft_values):
    return rsft_values


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
