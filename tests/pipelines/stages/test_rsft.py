"""R-SFT of a tiny base, through its context and through a job."""

import json
import logging
import shutil
import time

import pytest

from db import jobs
from db.session import open_database
from pipelines import base_models
from pipelines.classify import open_moderator
from pipelines.datasets import read_dataset
from pipelines.jobs import queue
from pipelines.jobs.worker import run_job
from pipelines.schema import (
    DataError,
    DivergedError,
    GuardTask,
    InputError,
    ModelError,
    StopRequested,
)
from pipelines.settings import get_settings
from pipelines.stages import rsft
from pipelines.stages.base import build_config
from pipelines.stages.training import last_checkpoint
from pipelines.template import GuardTemplate
from tests.tiny_model import make_tiny_base
from tests.tiny_runs import INSTRUCTION, RSFT, Recorder, rows, write_rows

# Recorded with torch 2.13; a change here is a change of what is trained.
PINNED = [5.8382, 5.7965, 5.7548, 5.7208]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl")


@pytest.fixture
def values(tiny_base, data):
    return RSFT | {"base_model": str(tiny_base), "dataset": str(data)}


def train(values, context):
    rsft.run(build_config(rsft.STAGE, None, values), context)
    return context


@pytest.fixture(scope="module")
def done(tiny_base, data, tmp_path_factory):
    """A finished run, for the tests that only look at what came out."""
    values = RSFT | {"base_model": str(tiny_base), "dataset": str(data)}
    return train(values, Recorder(tmp_path_factory.mktemp("done")))


# What comes out


def test_the_losses_are_the_recorded_ones_and_fall(done):
    losses = done.column("loss")
    assert losses == pytest.approx(PINNED, abs=1e-3)
    assert losses == sorted(losses, reverse=True)


def test_every_step_has_its_numbers(done):
    assert [step for step, _ in done.rows] == [1, 2, 3, 4]
    for _, values in done.rows:
        assert {"loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second"} <= set(values)
        assert values["grad_norm"] > 0
        assert values["tokens_per_second"] > 0
    assert done.column("tokens") == sorted(done.column("tokens"))
    assert done.column("learning_rate")[0] == pytest.approx(5e-3)
    assert done.steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_adapter_folder_holds_all_that_it_needs(done, tiny_base):
    ((kind, folder, name, details),) = done.made
    assert (kind, name) == ("adapter", f"R-SFT of {tiny_base}")
    assert details == {"base_model": str(tiny_base), "method": "lora", "rows": 8}
    assert {path.name for path in folder.iterdir()} >= {
        "adapter_config.json", "adapter_model.safetensors", "guard_template.json",
        "tokenizer.json", "tokenizer_config.json", "training_info.json",
    }  # fmt: skip
    assert not list(folder.glob("*.bin"))
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (4, str(tiny_base))


def test_the_template_is_the_rows_own(done):
    assert GuardTemplate.load(done.made[0][1]) == GuardTemplate(instruction=INSTRUCTION)


def test_the_record_says_what_was_done(done, data, tiny_base):
    info = json.loads((done.made[0][1] / "training_info.json").read_text())
    assert (info["stage"], info["base_model"]) == ("rsft", str(tiny_base))
    assert info["dataset"]["rows"] == 8
    assert info["dataset"]["sha256"] == read_dataset(str(data)).sha256
    assert info["config"]["learning_rate"] == 5e-3
    assert info["config"]["seed"] == 42
    metrics = info["metrics"]
    assert (metrics["steps"], metrics["epochs"]) == (4, 2.0)
    assert metrics["final_loss"] == pytest.approx(PINNED[-1], abs=1e-3)
    assert metrics["first_loss"] == pytest.approx(PINNED[0], abs=1e-3)
    assert {"torch", "transformers", "trl", "peft", "python"} <= set(info["versions"])


def test_it_loads_in_plain_peft_and_differs_from_the_base(done, tiny_base):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    ids = torch.tensor([AutoTokenizer.from_pretrained(done.made[0][1])("Human user:")["input_ids"]])
    with torch.no_grad():
        before = base(ids).logits
        after = PeftModel.from_pretrained(base, done.made[0][1])(ids).logits
    assert not torch.allclose(before, after)


def test_it_moderates_with_its_own_template(done, home):
    guard = open_moderator(done.made[0][1], home)
    assert guard.template.instruction == INSTRUCTION
    assert list(guard.stream("Tell me of tea", max_new_tokens=4))[-1].verdict is not None


# What is trained


def test_the_mask_covers_the_answer_with_its_end_token_alone(data, tiny_base):
    tokenizer = base_models.load_tokenizer(tiny_base)
    template = GuardTemplate(instruction=INSTRUCTION)
    dataset = read_dataset(str(data))
    for row, example in zip(
        rsft.tokenize(dataset, template, tokenizer), dataset.examples, strict=True
    ):
        ids, mask = row["input_ids"], row["completion_mask"]
        assert len(ids) == len(mask)
        assert mask == sorted(mask)
        asked, told = ids[: mask.index(1)], ids[mask.index(1) :]
        assert tokenizer.decode(asked) == template.prompt_text(example, tokenizer)
        assert tokenizer.decode(told) == example.reasoning + "<|im_end|>"


def test_the_loss_is_that_of_the_answer_alone(values, tiny_base, tmp_path):
    """Against the mean negative log-likelihood computed from the base model's logits."""
    import torch
    import torch.nn.functional as F

    path = write_rows(tmp_path / "one.jsonl", rows(1))
    context = train(values | {"dataset": str(path), "max_steps": 1}, Recorder(tmp_path / "job"))
    tokenizer = base_models.load_tokenizer(tiny_base)
    (row,) = rsft.tokenize(
        read_dataset(str(path)), GuardTemplate(instruction=INSTRUCTION), tokenizer
    )
    ids, mask = torch.tensor([row["input_ids"]]), torch.tensor(row["completion_mask"])
    with torch.no_grad():
        logits = base_models.load_model(tiny_base)(ids).logits[0, :-1]
    each = F.cross_entropy(logits, ids[0, 1:], reduction="none")
    assert context.column("loss")[0] == pytest.approx(each[mask[1:] == 1].mean().item(), abs=1e-4)
    assert abs(each[mask[1:] == 1].mean() - each.mean()) > 1e-3


def test_rows_without_reasoning_train_the_answers(tmp_path, tiny_base):
    path = write_rows(tmp_path / "bare.jsonl", [{"text": "How?", "label": "harmful"}])
    tokenizer = base_models.load_tokenizer(tiny_base)
    (row,) = rsft.tokenize(read_dataset(str(path)), GuardTemplate.default(), tokenizer)
    told = row["input_ids"][row["completion_mask"].index(1) :]
    verdict = GuardTemplate.default().parse(tokenizer.decode(told, skip_special_tokens=True))
    assert verdict.error is None
    assert verdict.label(GuardTask.PROMPT_HARMFULNESS) == "harmful"


def test_rows_too_long_are_left_out_whole(values, tmp_path, caplog):
    long = rows(4)
    long[0]["output"] = "It is very clear. " * 200 + long[0]["output"]
    path = write_rows(tmp_path / "long.jsonl", long)
    with caplog.at_level(logging.WARNING):
        context = train(
            values | {"dataset": str(path), "max_length": 200, "max_steps": 1},
            Recorder(tmp_path / "job"),
        )
    assert context.made[0][3]["rows"] == 3
    assert "1 of 4 rows are over 200 tokens and left out" in caplog.text


def test_nothing_but_rows_too_long_is_refused(values, tmp_path):
    with pytest.raises(InputError, match=r"max_length=20: every row is longer \(the shortest has"):
        train(values | {"max_length": 20}, Recorder(tmp_path / "job"))


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_an_adapter_on_a_quantised_base(values, tmp_path, quantization):
    context = train(
        values | {"quantization": quantization, "max_steps": 3}, Recorder(tmp_path / "job")
    )
    losses = context.column("loss")
    assert losses[0] == pytest.approx(PINNED[0], abs=5e-3)
    assert losses[2] < losses[0]
    # The adapter is none the wiser: it loads onto the base as it is.
    base_models.load_adapter(base_models.read_adapter(context.made[0][1]))


def test_full_fine_tuning_writes_whole_weights(values, tmp_path, home):
    context = train(values | {"method": "full", "max_steps": 2}, Recorder(tmp_path / "job"))
    folder = context.made[0][1]
    found = base_models.read_adapter(folder)
    assert found.full
    assert found.base_model == values["base_model"]
    assert (folder / "model.safetensors").is_file()
    assert context.column("loss")[1] < context.column("loss")[0]
    assert open_moderator(folder, home).template.instruction == INSTRUCTION


def test_checkpointing_grouping_and_accumulation_change_the_steps_not_the_sum(values, tmp_path):
    options = {
        "gradient_checkpointing": True,
        "group_by_length": True,
        "accumulation": 2,
        "epochs": 1,
    }
    context = train(values | options, Recorder(tmp_path / "job"))
    assert context.steps[-1] == (1, 1)
    # One step over all eight rows: their mean, whatever the order.
    assert context.column("loss")[0] == pytest.approx(5.838, abs=2e-3)


def test_an_adapter_is_continued(values, done, tmp_path):
    folder = str(done.made[0][1])
    context = train(values | {"adapter": folder, "max_steps": 2}, Recorder(tmp_path / "job"))
    assert context.column("loss")[0] < PINNED[-1]
    config = json.loads((context.made[0][1] / "adapter_config.json").read_text())
    assert config["r"] == 4
    before, info = (base_models.read_adapter(one.made[0][1]).info for one in (done, context))
    assert (info["parent"], before["parent"]) == (before, None)


def test_whole_weights_with_a_record_come_before_too(values, tiny_base, tmp_path):
    exported = shutil.copytree(tiny_base, tmp_path / "exported")
    (exported / "training_info.json").write_text('{"stage": "export"}')
    config = rsft.RsftConfig(base_model=str(exported))
    assert rsft.before(config, base_models.resolve_base(str(exported))) == {"stage": "export"}


def test_an_adapter_of_another_base_is_refused_with_both_names(values, done, tmp_path):
    other = make_tiny_base(tmp_path / "other", seed=7)
    wrong = values | {"adapter": str(done.made[0][1]), "base_model": str(other)}
    with pytest.raises(InputError) as caught:
        rsft.check(build_config(rsft.STAGE, None, wrong))
    assert values["base_model"] in str(caught.value)
    assert f"base_model={other}" in str(caught.value)
    with pytest.raises(InputError, match="made for base model"):
        train(wrong, Recorder(tmp_path / "job"))


# What is refused beforehand


def check(values):
    return rsft.check(build_config(rsft.STAGE, None, values))


def test_the_check_tells_of_the_rows(values, tmp_path):
    assert any("8 rows of" in remark for remark in check(values))
    bare = write_rows(tmp_path / "bare.jsonl", [{"text": "How?", "label": "harmful"}])
    assert any("1 rows carry no reasoning" in one for one in check(values | {"dataset": str(bare)}))


def test_full_fine_tuning_of_quantised_weights_is_refused(values):
    with pytest.raises(InputError, match="quantization=nf4: full fine-tuning needs"):
        check(values | {"method": "full", "quantization": "nf4"})


def test_a_malformed_dataset_lists_every_fault(values, tmp_path):
    bad = rows(3)
    bad[0]["input"] = ""
    bad[2]["output"] = "No answers here"
    with pytest.raises(DataError) as caught:
        check(values | {"dataset": str(write_rows(tmp_path / "bad.jsonl", bad))})
    assert {fault.split(":")[1] for fault in caught.value.faults} == {"1", "3"}


def test_a_pickled_base_is_refused(values, tiny_base, tmp_path):
    shutil.copy(tiny_base / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin, which is never loaded"):
        check(values | {"base_model": str(tmp_path)})


def test_a_gpu_that_is_not_there_is_named(values, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="device=cuda:1: no CUDA device here"):
        train(values | {"device": "cuda:1"}, Recorder(tmp_path / "job"))


# Stopping and failing


def test_a_stopped_run_goes_on_to_the_same_end(values, tmp_path):
    """Stopped in the middle of an epoch; fp32 without dropout, so the losses must agree."""
    values = values | {"batch_size": 2}
    whole = train(values, Recorder(tmp_path / "whole"))
    first = Recorder(tmp_path / "job", stop_at=3)
    with pytest.raises(StopRequested, match="stopped at step 3 of 8"):
        train(values, first)
    assert first.made == []
    checkpoint = last_checkpoint(first.directory)
    assert checkpoint.name == "checkpoint-3"
    assert (checkpoint / "COMPLETE").is_file()
    second = train(values, Recorder(tmp_path / "job"))
    assert [step for step, _ in second.rows] == [4, 5, 6, 7, 8]
    assert first.column("loss") + second.column("loss") == pytest.approx(
        whole.column("loss"), abs=1e-4
    )
    assert second.column("tokens")[-1] == whole.column("tokens")[-1]


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(values, tmp_path):
    with pytest.raises(StopRequested):
        train(values, Recorder(tmp_path, stop_at=1))
    torn = tmp_path / "checkpoints" / "checkpoint-9"
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"half")
    assert last_checkpoint(tmp_path).name == "checkpoint-1"
    assert train(values, Recorder(tmp_path)).steps[0] == (1, 4)


def test_a_loss_of_nan_ends_the_run(values, tmp_path):
    import torch

    poisoned = base_models.load_model(base_models.Path(values["base_model"]))
    with torch.no_grad():
        poisoned.model.norm.weight.fill_(float("nan"))
    folder = tmp_path / "poisoned"
    shutil.copytree(values["base_model"], folder)
    poisoned.save_pretrained(folder)
    context = Recorder(tmp_path / "job")
    with pytest.raises(DivergedError, match="loss=nan at step 1: the training diverged") as caught:
        train(values | {"base_model": str(folder)}, context)
    assert "learning_rate" in caught.value.advice
    assert context.made == []


# As a job


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    database.dispose()


def test_a_job_records_metrics_and_hands_over_its_adapter(values, database, home):
    job_id = queue.submit(database, "rsft", values, launcher="foreground")
    told = []
    job = run_job(database, job_id, foreground=True, on_event=lambda kind, _data: told.append(kind))
    assert (job.state, job.reason) == ("succeeded", None)
    assert (job.step, job.total_steps) == (4, 4)
    with database.read() as session:
        events = jobs.metrics(session, job_id)
        (made,) = jobs.artifacts(session, job_id=job_id)
    assert [event.data["loss"] for event in events] == pytest.approx(PINNED, abs=1e-3)
    for name in ("learning_rate", "grad_norm", "tokens", "tokens_per_second"):
        assert all(event.data[name] > 0 for event in events), name
    assert (made.kind, len(made.sha256)) == ("adapter", 64)
    assert base_models.read_adapter(made.path).info["stage"] == "rsft"
    assert {"metrics", "progress", "activity", "artifact"} <= set(told)
    folder = queue.job_dir(home, job_id)
    assert "training" in (folder / "log.txt").read_text()
    assert json.loads((folder / "config.json").read_text())["base_model"] == values["base_model"]


def test_a_stopped_job_is_resumed_to_the_same_end(values, database, monkeypatch, tmp_path):
    monkeypatch.setenv("GUARDUI_HEARTBEAT_SECONDS", "0.05")
    get_settings.cache_clear()
    values = values | {"max_steps": 20, "scheduler": "constant", "save_steps": 1000}
    job_id = queue.submit(database, "rsft", values, launcher="foreground")

    def stop(kind, data):
        if kind == "metrics" and data["step"] == 2:
            queue.stop(database, job_id)
        if kind == "metrics" and data["step"] > 2:
            time.sleep(0.1)

    stopped = run_job(database, job_id, on_event=stop)
    assert stopped.state == "stopped"
    assert 2 <= stopped.step < 20
    with database.read() as session:
        assert jobs.artifacts(session, job_id=job_id) == []
    queue.resume(database, job_id, launcher="foreground")
    assert run_job(database, job_id).state == "succeeded"
    whole = train(values, Recorder(tmp_path / "whole"))
    with database.read() as session:
        events = jobs.metrics(session, job_id)
    assert [event.step for event in events] == list(range(1, 21))
    assert [event.data["loss"] for event in events] == pytest.approx(whole.column("loss"), abs=1e-4)
