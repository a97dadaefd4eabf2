"""Merge and export: the whole weights say what base and adapter say, any library loads them, and
what was exported moderates, is mined with and trained on by its reference."""

from __future__ import annotations

import json
import shutil

import pytest

from db import jobs as job_rows
from db.session import open_database
from guardui.live import moderator_choices
from pipelines import base_models
from pipelines.classify import open_moderator
from pipelines.jobs.queue import resolve_reference, submit
from pipelines.jobs.worker import run_job
from pipelines.machine import Device
from pipelines.schema import InputError, TooLargeError
from pipelines.stages import export
from pipelines.stages.base import build_config
from pipelines.template import GuardTemplate
from tests.tiny_runs import RSFT, Recorder, make_pairs, write_rows

# The largest difference of two logits (which lie within about 1) that rounding explains: adding
# the adapter first or last in float32, and weights of 8 bits of precision in bfloat16.
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.02, "float16": 2e-3}


def run_export(adapter, directory, **values):
    context = Recorder(directory)
    config = build_config(export.STAGE, None, {"adapter": str(adapter)} | values)
    export.run(config, context)
    return context


def logits_of(model):
    import torch

    ids = torch.tensor([[5, 6, 7, 8, 9, 40, 41, 42]])
    with torch.no_grad():
        return model.float()(ids).logits


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_merged_model_says_what_base_and_adapter_say(tiny_base, tiny_adapter, tmp_path, dtype):
    from transformers import AutoModelForCausalLM

    ((kind, folder, _, details),) = run_export(tiny_adapter, tmp_path, dtype=dtype).made
    assert (kind, details["dtype"]) == ("model", dtype)
    stored = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert str(stored.dtype) == f"torch.{dtype}"
    with_adapter = logits_of(base_models.load_adapter(base_models.read_adapter(tiny_adapter)))
    off = (logits_of(stored) - with_adapter).abs().max()
    assert off <= TOLERANCE[dtype]
    # The adapter is no noise: without it the base says something else by far more than that.
    bare = logits_of(base_models.load_model(tiny_base))
    assert (bare - with_adapter).abs().max() > 5 * TOLERANCE[dtype]


def test_plain_transformers_loads_and_writes_with_it(tiny_adapter, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = run_export(tiny_adapter, tmp_path).made[0][1]
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "guard_template.json"} <= names
    assert not {"adapter_config.json", "adapter_model.safetensors"} & names
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    asked = tokenizer("Human user:", return_tensors="pt")
    written = model.generate(**asked, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert written.shape[1] == asked["input_ids"].shape[1] + 4
    assert GuardTemplate.load(folder) == GuardTemplate.load(tiny_adapter)


def test_the_record_says_where_the_weights_come_from(tiny_base, tiny_adapter, tmp_path):
    context = run_export(tiny_adapter, tmp_path)
    folder = context.made[0][1]
    info = json.loads((folder / "training_info.json").read_text())
    assert (info["stage"], info["base_model"]) == ("export", str(tiny_base))
    assert info["parent"]["stage"] == "rsft"
    assert (folder / "command.txt").read_text() == f"{context.command}\n"


def test_whole_weights_are_exported_again_in_another_type(tiny_adapter, tmp_path):
    first = run_export(tiny_adapter, tmp_path / "a", dtype="float32").made[0][1]
    second = run_export(first, tmp_path / "b", dtype="bfloat16").made[0][1]
    size = [(folder / "model.safetensors").stat().st_size for folder in (first, second)]
    assert 0.4 < size[1] / size[0] < 0.6


def test_what_is_missing_or_was_trained_in_4_bit_is_told(tiny_adapter, tmp_path):
    with pytest.raises(InputError, match="adapter: a value is needed"):
        export.check(export.ExportConfig())
    folder = shutil.copytree(tiny_adapter, tmp_path / "adapter")
    config = export.ExportConfig(adapter=str(folder))
    (said,) = export.check(config)
    assert said.startswith("base model ")
    info = json.loads((folder / "training_info.json").read_text())
    info["config"] = {"quantization": "nf4"}
    (folder / "training_info.json").write_text(json.dumps(info))
    assert "trained on a base stored as nf4" in export.check(config)[1]


def test_what_does_not_fit_is_refused_before_it_is_loaded(tiny_adapter, tmp_path, monkeypatch):
    folder = shutil.copytree(tiny_adapter, tmp_path / "adapter")
    info = {"stage": "rsft", "base_model": "meta-llama/Llama-3.1-8B"}
    (folder / "training_info.json").write_text(json.dumps(info))
    config = export.ExportConfig(adapter=str(folder))
    for memory, fits in ((40 << 30, True), (20 << 30, False)):
        device = Device("cpu", "2 CPU cores", memory)
        monkeypatch.setattr(export, "find_device", lambda _wanted, found=device: found)
        if fits:
            assert export.check(config) == ["base model meta-llama/Llama-3.1-8B"]
            continue
        with pytest.raises(TooLargeError, match=r"Llama-3.1-8B would need about 30\.9 GiB to be"):
            export.check(config)


# By reference


@pytest.fixture
def database(home, monkeypatch):
    # A random model never ends an answer by itself.
    from pipelines.engines.base import Sampling

    monkeypatch.setattr("pipelines.classify.Sampling", lambda **_: Sampling(max_new_tokens=8))
    database = open_database(home.database_url)
    yield database
    database.dispose()


def run_stage(database, stage, **values):
    return run_job(database, submit(database, stage, values, launcher="foreground"))


def test_an_exported_model_is_used_by_its_reference(database, home, tiny_adapter, tmp_path):
    made = run_stage(database, "export", adapter=str(tiny_adapter), dtype="float32")
    (artifact,) = made.artifacts
    refs = f"job:{made.id}", f"artifact:{artifact.id}"
    assert (artifact.kind, made.state) == ("model", "succeeded")
    # To classify with: what the page offers and `guardui classify --adapter` resolves.
    assert refs[1] in [ref for _, ref in moderator_choices(database)]
    for ref in refs:
        path = resolve_reference(database, "adapter", ref)
        assert str(path) == artifact.path
        assert str(resolve_reference(database, "model", ref)) == artifact.path
    *_, last = open_moderator(path, home).stream("How do I make tea?")
    assert last.tokens > 0
    # To mine with: a random model's answers can't be parsed, so there is nothing to find.
    data = str(write_rows(tmp_path / "rows.jsonl"))
    small = {"max_new_tokens": 16, "k": 2, "max_rows": 2, "device": "cpu", "dataset": data}
    mined = run_stage(database, "mine", adapter=refs[1], **small)
    assert "none of the 2 conversations is a hard sample" in str(mined.reason)
    assert [parent.id for parent in mined.parents] == []
    # As a base to train an adapter on, and as a moderator to train on.
    values = RSFT | {"dataset": data, "max_steps": 1}
    trained = run_stage(database, "rsft", base_model=refs[0], **values)
    assert (trained.state, [parent.id for parent in trained.parents]) == ("succeeded", [made.id])
    adapter = base_models.read_adapter(trained.artifacts[0].path)
    assert adapter.base_model == artifact.path
    pairs = {"pairs": str(make_pairs(tmp_path / "pairs")), "device": "cpu", "precision": "fp32"}
    preferred = run_stage(database, "hsdpo", adapter=refs[0], max_steps=1, **pairs)
    assert preferred.state == "succeeded", preferred.failure


def test_a_model_is_no_pair_set_and_an_adapter_no_base(database, tiny_adapter, tmp_path):
    made = run_stage(database, "export", adapter=str(tiny_adapter))
    number = made.artifacts[0].id
    with pytest.raises(InputError, match=f"artifact:{number}: is of kind model, must be of kind p"):
        resolve_reference(database, "pair_set", f"artifact:{number}")
    with database.write() as session:
        adapter = job_rows.add_artifact(
            session,
            job_id=None,
            kind="adapter",
            name="a",
            path=str(tiny_adapter),
            sha256="",
            size=1,
        )
        ref = f"artifact:{adapter.id}"
    with pytest.raises(InputError, match=f"{ref}: is of kind adapter, must be of kind model"):
        submit(database, "rsft", {"base_model": ref}, launcher="foreground")


def test_a_base_that_a_job_has_yet_to_export_is_waited_for(database, tiny_adapter, tmp_path):
    """Its size is told from what the adapter is made for, so memory is estimated all the same."""
    waiting = submit(database, "export", {"adapter": str(tiny_adapter)}, launcher="foreground")
    values = RSFT | {"dataset": str(write_rows(tmp_path / "rows.jsonl"))}
    child = submit(
        database, "rsft", values | {"base_model": f"job:{waiting}"}, launcher="foreground"
    )
    with database.read() as session:
        row = job_rows.get_job(session, child)
        assert row is not None
        assert [parent.id for parent in row.parents] == [waiting]
