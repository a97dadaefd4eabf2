"""Finding, checking and loading base models and adapters."""

import ast
import json
import shutil
import time
from pathlib import Path

import pytest
from huggingface_hub import errors

from pipelines import base_models
from pipelines.schema import HubError, InputError, ModelError, NotFoundError
from tests.tiny_model import make_tiny_base
from tests.tiny_runs import make_adapter

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def adapter(tiny_base, tmp_path_factory):
    return make_adapter(tiny_base, tmp_path_factory.mktemp("adapter"))


@pytest.fixture
def no_hub(monkeypatch):
    """A Hub where nothing listens, whatever network there is."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")


# Base models


def test_a_local_folder_is_its_own_name(tiny_base, home):
    found = base_models.resolve_base(str(tiny_base))
    assert found == base_models.BaseModel(str(tiny_base), tiny_base.resolve(), None)
    base_models.check_base(str(tiny_base))


@pytest.mark.parametrize("ref", sorted(base_models.demo_base.ALIASES))
def test_the_demo_base_goes_by_two_names(ref, home, monkeypatch):
    monkeypatch.setattr(base_models.demo_base, "fetch", lambda models, _progress: models / "it")
    found = base_models.resolve_base(ref)
    assert found.name == "smollm2-135m-instruct"
    assert found.hub_id == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert found.path == home.models_dir / "it"
    base_models.check_base(ref)


@pytest.mark.parametrize("ask", [base_models.resolve_base, base_models.check_base])
class TestBothRefuse:
    """What can't be resolved is refused by the check too, with the same words."""

    @pytest.mark.parametrize("ref", ["./nowhere", "/no/such/folder", "~/no-such", "plain", "a/b/c"])
    def test_a_missing_folder(self, ask, ref, home):
        with pytest.raises(NotFoundError, match="there is no such folder; give smollm2-135m"):
            ask(ref)

    def test_a_folder_without_config(self, ask, tmp_path, home):
        with pytest.raises(NotFoundError, match=r"has no config\.json"):
            ask(str(tmp_path))

    def test_a_pickled_model(self, ask, tiny_base, tmp_path, home):
        shutil.copy(tiny_base / "config.json", tmp_path)
        (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
        with pytest.raises(ModelError, match=r"no safetensors weights \(found pytorch_model\.bin"):
            ask(str(tmp_path))

    def test_a_hub_out_of_reach(self, ask, no_hub, home):
        start = time.perf_counter()
        with pytest.raises(HubError, match="model=nobody/no-model: the Hub can't be reached") as e:
            ask("nobody/no-model")
        assert time.perf_counter() - start < 10
        assert "smollm2-135m-instruct" in e.value.advice

    def test_no_hub_id(self, ask, no_hub, home):
        with pytest.raises(InputError, match="model=no body/-x-: not a Hub id"):
            ask("no body/-x-")


@pytest.mark.parametrize("status", [401, 404, 500])
def test_the_hubs_refusal_names_model_and_status(status):
    class Response:
        status_code, headers, request = status, {}, None

    with (
        pytest.raises(HubError, match=f"model=a/b: the Hub answered {status}") as caught,
        base_models.hub_errors("a/b"),
    ):
        raise errors.HfHubHTTPError("no", response=Response())
    assert "hf auth login" in caught.value.advice


@pytest.mark.parametrize(
    "error", [errors.HTTPError("timed out"), errors.OfflineModeIsEnabled("off"), OSError("disk")]
)
def test_every_way_not_to_reach_the_hub_is_named(error):
    with pytest.raises(HubError, match="model=a/b"), base_models.hub_errors("a/b"):
        raise error


def test_a_bug_is_not_the_hubs_fault():
    with pytest.raises(KeyError), base_models.hub_errors("a/b"):
        raise KeyError("x")


# Adapters


def test_an_adapter_folder_is_read(adapter, tiny_base):
    found = base_models.read_adapter(adapter)
    assert (found.path, found.base_model, found.full) == (adapter, str(tiny_base), False)
    assert found.has_template
    assert found.info["stage"] == "rsft"


def test_an_adapter_of_plain_peft_is_read(adapter, tiny_base, tmp_path):
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, tmp_path)
    found = base_models.read_adapter(tmp_path)
    assert (found.base_model, found.info, found.has_template) == (str(tiny_base), {}, False)


def test_whole_weights_are_an_adapter_too(tiny_base):
    found = base_models.read_adapter(tiny_base)
    assert found.full
    assert base_models.load_adapter(found).config.hidden_size == 32


@pytest.mark.parametrize("ref", ["/no/adapter", "nothing"])
def test_a_missing_adapter(ref):
    with pytest.raises(NotFoundError, match=f"adapter={ref}: there is no such folder; give art"):
        base_models.read_adapter(ref)


def test_an_adapter_on_a_hub_out_of_reach(no_hub):
    with pytest.raises(HubError, match="nobody/no-adapter"):
        base_models.read_adapter("nobody/no-adapter")


def test_a_folder_that_is_no_adapter(tmp_path):
    with pytest.raises(ModelError, match=r"no adapter_config\.json or config\.json"):
        base_models.read_adapter(tmp_path)


def test_an_adapter_without_safetensors(adapter, tmp_path):
    shutil.copy(adapter / "adapter_config.json", tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        base_models.read_adapter(tmp_path)


def test_a_broken_file_is_named(adapter, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"adapter_config\.json: not readable as JSON"):
        base_models.read_adapter(tmp_path)


def test_an_adapter_of_another_base_is_refused_by_name(adapter, tiny_base):
    found = base_models.read_adapter(adapter)
    base_models.check_same_base(found, str(tiny_base))
    with pytest.raises(InputError, match=f"made for base model {tiny_base}, but base_model=a/b"):
        base_models.check_same_base(found, "a/b")


def test_the_demo_bases_names_are_one_base(adapter):
    found = base_models.Adapter(adapter, "HuggingFaceTB/SmolLM2-135M-Instruct", False, {})
    base_models.check_same_base(found, "smollm2-135m-instruct")


def test_weights_of_another_size_do_not_fit(adapter, tmp_path):
    other = make_tiny_base(tmp_path / "wide", hidden=64)
    found = base_models.Adapter(adapter, str(other), False, {})
    with pytest.raises(ModelError, match=f"does not fit the base model {other}"):
        base_models.load_adapter(found)


def test_an_adapter_that_names_no_base(adapter):
    with pytest.raises(ModelError, match="doesn't say which base model"):
        base_models.load_adapter(base_models.Adapter(adapter, "", False, {}))


@pytest.mark.parametrize("trainable", [True, False])
def test_only_the_adapter_is_trained(adapter, trainable):
    model = base_models.load_adapter(base_models.read_adapter(adapter), trainable=trainable)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert bool(trained) is trainable
    assert all("lora_" in name for name in trained)


def test_a_truncated_adapter_is_named(adapter, tmp_path):
    shutil.copytree(adapter, tmp_path, dirs_exist_ok=True)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\x10\0")
    with pytest.raises(ModelError, match=f"adapter={tmp_path}: does not fit .*header"):
        base_models.load_adapter(base_models.read_adapter(tmp_path))


# Loading


def test_the_tokenizer_pads_on_the_left(tiny_base):
    tokenizer = base_models.load_tokenizer(tiny_base)
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token == "<|endoftext|>"


def test_a_tokenizer_without_pad_token_takes_its_end(tiny_base, tmp_path):
    for path in tiny_base.iterdir():
        shutil.copy(path, tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": None}))
    assert base_models.load_tokenizer(tmp_path).pad_token == "<|im_end|>"


def test_an_unreadable_tokenizer_is_named(tmp_path, tiny_base):
    shutil.copy(tiny_base / "config.json", tmp_path)
    with pytest.raises(ModelError, match=f"model={tmp_path}: its tokenizer can't be read"):
        base_models.load_tokenizer(tmp_path)


@pytest.mark.parametrize("damage", ["weights", "config"])
def test_an_unreadable_model_is_named(tiny_base, tmp_path, damage):
    shutil.copytree(tiny_base, tmp_path, dirs_exist_ok=True)
    if damage == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not a header")
    else:
        (tmp_path / "config.json").write_text('{"model_type": "no-such-architecture"}')
    with pytest.raises(ModelError, match=f"model={tmp_path}: can't be loaded"):
        base_models.load_model(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_dtype_is_as_asked(tiny_base, dtype):
    assert str(base_models.load_model(tiny_base, dtype=dtype).dtype) == f"torch.{dtype}"


@pytest.mark.parametrize(
    ("quantization", "layer"), [("nf4", "Linear4bit"), ("int8", "Linear8bitLt")]
)
def test_quantised_on_the_cpu(tiny_base, quantization, layer):
    model = base_models.load_model(tiny_base, quantization=quantization)
    projection = model.model.layers[0].self_attn.q_proj
    assert type(projection).__name__ == layer
    if quantization == "nf4":
        state = projection.weight.quant_state
        assert (state.quant_type, state.nested) == ("nf4", True)


def test_answers_end_with_each_end_token(tiny_base):
    model, tokenizer = base_models.load_model(tiny_base), base_models.load_tokenizer(tiny_base)
    assert base_models.stop_tokens(model, tokenizer) == [tokenizer.eos_token_id]
    model.generation_config.eos_token_id = [0, 5]
    assert base_models.stop_tokens(model, tokenizer) == sorted({0, 5, tokenizer.eos_token_id})


def test_remote_code_is_never_run():
    loads = 0
    for folder in ("pipelines", "guardui", "db", "spaces"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    for word in node.keywords:
                        if word.arg == "trust_remote_code":
                            loads += 1
                            assert ast.unparse(word.value) == "False", f"{path}:{node.lineno}"
    assert loads >= 2
