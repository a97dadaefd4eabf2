"""What a training leaves behind: files for other viewers of curves, its record, its weights."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from pipelines import base_models
from pipelines.schema import InputError
from pipelines.stages import rsft
from pipelines.stages.base import build_config
from pipelines.stages.training import check_training
from tests.tiny_runs import Recorder
from tests.training_runs import info_of, losses, train


@pytest.fixture
def values(rsft_values):
    return rsft_values


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
