"""Pushing to the Hub: what is written, and what is kept back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from pipelines.hub import check_model, clean, push
from pipelines.schema import DiskFullError, InputError, ModelError
from pipelines.template import GuardTemplate

TOKEN = "hf_plantedTOKENthatMustNotLeak123"
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter folder as a training job leaves it, with all that must not be pushed."""
    folder = tmp_path / "jobs" / "3" / "adapter"
    (folder / "ref").mkdir(parents=True)
    weights = {"base_model.model.q.lora_A.weight": np.ones((2, 4), np.float32)}
    save_file(weights, folder / "adapter_model.safetensors")
    save_file(weights, folder / "ref" / "adapter_model.safetensors")
    for name in ("optimizer.pt", "trainer_state.json", "COMPLETE", "adapter_model.bin", ".env"):
        (folder / name).write_text("must stay")
    (folder / "checkpoint-5").mkdir()
    (folder / "checkpoint-5" / "adapter_model.safetensors").write_text("must stay")
    _json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "r": 2,
            "target_modules": ["q_proj"],
            "base_model_name_or_path": f"{tmp_path}/models/smollm2-135m-instruct",
            "corda_config": {"cache_file": f"{tmp_path}/Jane Doe/x", "n": [1, f"{tmp_path}/y"]},
        },
    )
    _json(folder / "tokenizer.json", {"model": {"vocab": {"/home/": 1}}})
    _json(
        folder / "tokenizer_config.json",
        {
            "pad_token": "<|im_end|>",
            "chat_template": "{{ messages[0].content + ' /think' }}",
            "name_or_path": f"{tmp_path}/models/smollm2",
        },
    )
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    GuardTemplate.default().save(folder)
    _json(
        folder / "training_info.json",
        {
            "base_model": "smollm2-135m-instruct",
            "base_model_id": BASE,
            "stage": "rsft",
            "config": {
                "dataset": f"{tmp_path}/data/train|all.jsonl",
                "learning_rate": 5e-5,
                "epochs": 3.0,
                "hub_token": TOKEN,
                "max_new_tokens": 64,
            },
            "dataset": {"name": "train.jsonl", "sha256": "ab" * 32, "rows": 120},
            "metrics": {"final_loss": 0.4831, "steps": 40},
            "versions": {"torch": "2.13.0"},
            "command": f"guardui run rsft --set dataset='{tmp_path}/my data/train.jsonl' "
            f"--set token={TOKEN}",
            "created_at": "2026-01-02T03:04:05+00:00",
            "job": 3,
        },
    )
    return folder


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "training_info.json"
    _json(path, json.loads(path.read_text()) | changes)


def test_dry_run_writes_what_would_be_pushed_and_nothing_else(
    adapter: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pushed = push(adapter, "ada/guard", dry_run=out)
    assert pushed.files == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "guard_template.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_info.json",
    ]
    assert pushed.url is None
    assert sorted(path.name for path in out.iterdir()) == pushed.files
    weights = load_file(out / "adapter_model.safetensors")
    assert weights["base_model.model.q.lora_A.weight"].shape == (2, 4)
    assert GuardTemplate.load(out) == GuardTemplate.default()


def test_no_local_path_and_no_secret_leaves(adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = {"config": {"adapter": f"{tmp_path}/first", "hub_token": TOKEN}}
    _edit(adapter, parent={"base_model": f"{tmp_path}/base", "parent": before})
    push(adapter, "ada/guard", dry_run=out)
    for path in out.iterdir():
        content = path.read_bytes().decode("utf-8", "replace")
        assert str(tmp_path) not in content, path.name
        assert TOKEN not in content, path.name
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == BASE
    assert config["target_modules"] == ["q_proj"]
    assert config["corda_config"] == {"cache_file": "x", "n": [1, "y"]}
    tokenizer = json.loads((out / "tokenizer_config.json").read_text())
    assert tokenizer == {
        "pad_token": "<|im_end|>",
        "chat_template": "{{ messages[0].content + ' /think' }}",
        "name_or_path": BASE,
    }
    info = json.loads((out / "training_info.json").read_text())
    assert info["config"]["dataset"] == "train|all.jsonl"
    assert info["config"]["max_new_tokens"] == 64
    assert "hub_token" not in info["config"]
    assert info["command"] == "guardui run rsft --set dataset=train.jsonl --set token=[removed]"


def test_the_card_says_what_is_known(adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    push(adapter, "ada/guard", dry_run=out)
    card = (out / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == BASE
    assert front["base_model_relation"] == "adapter"
    assert front["library_name"] == "peft"
    assert front["pipeline_tag"] == "text-generation"
    assert "guardui" in front["tags"]
    assert "license" not in front
    for known in ("R-SFT", "ab" * 32, "`120`", "`5e-05`", "`0.4831`", "train\\|all.jsonl"):
        assert known in card
    assert "guardui classify --adapter ada/guard" in card
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert "AutoPeftModelForCausalLM.from_pretrained(repo)" in code


def test_a_full_fine_tune_goes_as_a_model(adapter: Path, tmp_path: Path) -> None:
    (adapter / "adapter_config.json").unlink()
    (adapter / "adapter_model.safetensors").rename(adapter / "model.safetensors")
    _json(adapter / "config.json", {"model_type": "llama", "_name_or_path": "/srv/models/x"})
    out = tmp_path / "out"
    files = push(adapter, "guard", dry_run=out).files
    assert {"model.safetensors", "config.json"} < set(files)
    assert json.loads((out / "config.json").read_text())["_name_or_path"] == BASE
    card = (out / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert (front["library_name"], front["base_model_relation"]) == ("transformers", "finetune")
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert "peft" not in code


def test_the_base_needs_a_hub_id(adapter: Path, tmp_path: Path) -> None:
    _edit(adapter, base_model="/srv/models/mine", base_model_id=None)
    with pytest.raises(ModelError, match="base_model=/srv/models/mine") as caught:
        push(adapter, "ada/guard", dry_run=tmp_path / "out")
    assert caught.value.advice
    assert not (tmp_path / "out").exists()
    _edit(adapter, base_model="smollm2-135m-instruct")
    assert check_model(adapter, "ada/guard")[1] == BASE
    _edit(adapter, base_model="meta-llama/Llama-3.2-1B")
    assert check_model(adapter, "ada/guard")[1] == "meta-llama/Llama-3.2-1B"


@pytest.mark.parametrize("repo", ["", "a/b/c", "white space", "-bad-", "../up"])
def test_a_bad_repository_name_is_refused(adapter: Path, repo: str) -> None:
    with pytest.raises(InputError, match="must be NAME or OWNER/NAME"):
        push(adapter, repo)


@pytest.mark.parametrize("missing", ["guard_template.json", "tokenizer.json"])
def test_an_adapter_nobody_could_load_is_refused(adapter: Path, missing: str) -> None:
    (adapter / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        push(adapter, "ada/guard")


def test_a_missing_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"adapter={tmp_path}/none"):
        push(tmp_path / "none", "ada/guard", dry_run=tmp_path / "out")


def test_a_used_folder_is_left_alone(adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="must be new or empty"):
        push(adapter, "ada/guard", dry_run=out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_no_half_made_folder(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.hub.shutil.copyfile", full)
    with pytest.raises(DiskFullError, match="disk is full"):
        push(adapter, "ada/guard", dry_run=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/data/train.jsonl", "train.jsonl"),
        ("~/data/", "data"),
        ("../shared/x.jsonl", "x.jsonl"),
        ("file:///srv/x.csv", "x.csv"),
        ("run --set a=/srv/x.csv --set b=C:\\Users\\ada\\y.csv", "run --set a=x.csv --set b=y.csv"),
        ('run --set a="/srv/my files/x.csv"', "run --set a=x.csv"),
        ("see https://huggingface.co/ada/guard", "see https://huggingface.co/ada/guard"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("harmful / unharmful, 1/2", "harmful / unharmful, 1/2"),
        ("token hf_abcdefghijkl", "token [removed]"),
    ],
)
def test_clean_cuts_paths_and_secrets_only(text: str, expected: str) -> None:
    assert clean(text) == expected
    assert clean({"a": [text], "password": "x", "my_api_key": "y"}) == {"a": [expected]}
