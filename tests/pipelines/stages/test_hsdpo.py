"""HS-DPO of a tiny adapter on a pair set made by hand."""

import json

import pytest

from pipelines import base_models
from pipelines.classify import open_moderator
from pipelines.demo_base import sha256
from pipelines.schema import DataError, InputError, ModelError, NotFoundError, StopRequested
from pipelines.stages import hsdpo
from pipelines.stages.base import build_config
from pipelines.template import GuardTemplate
from tests.tiny_runs import INSTRUCTION, Recorder, make_pairs, pair_rows

OPTIONS = {
    "learning_rate": 5e-3,
    "batch_size": 2,
    "precision": "fp32",
    "device": "cpu",
    "beta": 0.1,
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def values(tiny_adapter, pairs):
    return OPTIONS | {"adapter": str(tiny_adapter), "pairs": str(pairs)}


def tune(values, context):
    hsdpo.run(build_config(hsdpo.STAGE, None, values), context)
    return context


@pytest.fixture(scope="module")
def files_before(tiny_base, tiny_adapter):
    return {p: sha256(p) for folder in (tiny_base, tiny_adapter) for p in folder.iterdir()}


@pytest.fixture(scope="module")
def done(files_before, tiny_adapter, pairs, tmp_path_factory):
    values = OPTIONS | {"adapter": str(tiny_adapter), "pairs": str(pairs)}
    return tune(values, Recorder(tmp_path_factory.mktemp("done")))


def test_every_step_has_both_terms_and_the_rewards(done):
    assert [step for step, _ in done.rows] == [1, 2, 3, 4, 5, 6]
    for _, values in done.rows:
        assert {
            "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "loss_dpo",
            "loss_sft", "reward_chosen", "reward_rejected", "reward_margin", "reward_accuracy",
        } <= set(values)  # fmt: skip
        assert values["loss"] == pytest.approx(
            values["loss_dpo"] + 2.0 * values["loss_sft"], abs=1e-3
        )


def test_it_starts_at_the_reference_and_learns_to_prefer(done):
    first, last = done.rows[0][1], done.rows[-1][1]
    assert first["reward_margin"] == pytest.approx(0, abs=1e-4)
    assert last["reward_margin"] > 0.005
    assert last["loss_sft"] < first["loss_sft"]


def test_rho_of_nought_leaves_the_preference_alone(values, tmp_path):
    context = tune(values | {"rho": 0.0, "max_steps": 1}, Recorder(tmp_path))
    first = context.rows[0][1]
    assert first["loss"] == pytest.approx(first["loss_dpo"], abs=1e-4)
    # At the reference each pair adds weight x log 2.
    assert 0.8 * 0.6931 <= first["loss"] <= 1.2 * 0.6932


def test_the_adapter_folder_has_one_adapter(done, tiny_base):
    ((kind, folder, name, details),) = done.made
    assert (kind, name) == ("adapter", f"HS-DPO of {tiny_base}")
    assert details == {"base_model": str(tiny_base), "pairs": 6}
    assert not [path for path in folder.iterdir() if path.is_dir()]
    assert (folder / "adapter_model.safetensors").is_file()
    assert GuardTemplate.load(folder) == GuardTemplate(instruction=INSTRUCTION)


def test_the_record_names_parent_and_pairs(done, pairs, tiny_base):
    info = json.loads((done.made[0][1] / "training_info.json").read_text())
    assert (info["stage"], info["base_model"]) == ("hsdpo", str(tiny_base))
    assert info["parent"]["stage"] == "rsft"
    assert info["dataset"]["rows"] == 6
    assert info["dataset"]["sha256"] == sha256(pairs / "pairs.jsonl")


def test_it_loads_and_differs_from_its_parent(done, tiny_adapter, home):
    import torch
    from safetensors.torch import load_file

    old = load_file(tiny_adapter / "adapter_model.safetensors")
    new = load_file(done.made[0][1] / "adapter_model.safetensors")
    assert old.keys() == new.keys()
    assert any(not torch.equal(old[name], new[name]) for name in old)
    assert open_moderator(done.made[0][1], home).template.instruction == INSTRUCTION


def test_base_and_parent_stay_as_they_were(done, files_before):
    assert {path: sha256(path) for path in files_before} == files_before


def test_whole_weights_are_tuned_against_a_copy(values, tiny_base, tmp_path):
    folder = tmp_path / "full"
    base_models.load_model(tiny_base).save_pretrained(folder)
    base_models.load_tokenizer(tiny_base).save_pretrained(folder)
    GuardTemplate(instruction=INSTRUCTION).save(folder)
    context = tune(values | {"adapter": str(folder), "max_steps": 3}, Recorder(tmp_path / "job"))
    assert context.column("reward_margin")[0] == pytest.approx(0, abs=1e-4)
    assert context.column("reward_margin")[-1] > 0
    assert base_models.read_adapter(context.made[0][1]).full


def test_a_stopped_run_goes_on_to_the_same_end(values, done, tmp_path):
    first = Recorder(tmp_path, stop_at=2)
    with pytest.raises(StopRequested, match="stopped at step 2 of 6"):
        tune(values, first)
    second = tune(values, Recorder(tmp_path))
    for name in ("loss", "reward_margin"):
        assert first.column(name) + second.column(name) == pytest.approx(
            done.column(name), abs=1e-4
        )


# What is refused


def check(values):
    return hsdpo.check(build_config(hsdpo.STAGE, None, values))


def test_the_check_counts_the_pairs(values):
    assert check(values) == ["6 pairs"]


@pytest.mark.parametrize("name", ["adapter", "pairs"])
def test_both_are_needed(values, name):
    with pytest.raises(InputError, match=f"{name}: a value is needed"):
        check(values | {name: ""})


def test_missing_pairs_are_named(values, tmp_path):
    with pytest.raises(NotFoundError, match=f"pairs={tmp_path}: no such pair set"):
        check(values | {"pairs": str(tmp_path)})


def test_a_missing_adapter_is_named(values, tmp_path):
    with pytest.raises(ModelError, match=f"adapter={tmp_path}"):
        check(values | {"adapter": str(tmp_path)})


def test_malformed_pairs_list_every_fault(values, tmp_path):
    good, bad = pair_rows(2)
    del bad["chosen"]
    bad["k_correct"] = "3"
    lines = [json.dumps(good), "{not json", json.dumps(bad), '["a", "list"]']
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        check(values | {"pairs": str(tmp_path)})
    faults = caught.value.faults
    assert faults[0].startswith("pairs.jsonl:2: not JSON")
    assert "pairs.jsonl:3: chosen: None is not a str" in faults
    assert "pairs.jsonl:3: k_correct: '3' is not a int" in faults
    assert faults[-1] == "pairs.jsonl:4: not a JSON object"


def test_an_empty_pair_set_is_refused(values, tmp_path):
    (tmp_path / "pairs.jsonl").write_text("")
    with pytest.raises(DataError, match=f"pairs={tmp_path}"):
        check(values | {"pairs": str(tmp_path)})


def test_pairs_of_another_template_are_refused(values, tmp_path):
    other = make_pairs(tmp_path / "other")
    GuardTemplate(instruction="Another one.\n").save(other)
    with pytest.raises(InputError, match=f"pairs={other}: they were made with another guard_temp"):
        tune(values | {"pairs": str(other)}, Recorder(tmp_path / "job"))


def test_pairs_that_are_all_too_long_are_refused(values, tmp_path):
    with pytest.raises(InputError, match="max_length=64: every row is longer"):
        tune(values | {"max_length": 64}, Recorder(tmp_path))
