"""Finding and loading base models and adapters.

A base model is named by `smollm2-135m-instruct` (the demo base), a Hub id, or a local folder. What
a training stage writes, an *adapter folder*, holds a PEFT adapter or, after full fine-tuning, whole
weights; beside them lie the tokenizer, `guard_template.json` and `training_info.json`.
Only safetensors are read and remote code is never run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import demo_base
from pipelines.adapter_files import base_of, check_fetched
from pipelines.adapter_files import read_json as read_json
from pipelines.schema import HubError, InputError, ModelError, NotFoundError
from pipelines.settings import Settings, get_settings

logger = logging.getLogger(__name__)

DEMO_BASE = demo_base.NAME
MODEL_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja"]
Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model on this machine: its folder, what it is called, and its Hub id if it has one."""

    name: str
    path: Path
    hub_id: str | None


def resolve_base(
    ref: str, settings: Settings | None = None, progress: Progress | None = None
) -> BaseModel:
    """Finds a base model, fetching it where it isn't here yet.

    Raises NotFoundError for a folder that is no model, ModelError where it holds no safetensors,
    HubError where the Hub refuses or can't be reached.
    """
    settings = settings or get_settings()
    if ref in demo_base.ALIASES:
        return BaseModel(
            DEMO_BASE, demo_base.fetch(settings.models_dir, progress), demo_base.HUB_ID
        )
    if folder := local_folder("base_model", ref):
        check_model_folder(folder)
        return BaseModel(ref, folder, None)
    return BaseModel(ref, fetch_from_hub(ref), ref)


def check_base(ref: str) -> None:
    """Raises what `resolve_base` would raise, but fetches nothing."""
    if ref in demo_base.ALIASES:
        return
    if folder := local_folder("base_model", ref):
        check_model_folder(folder)
        return
    from huggingface_hub import HfApi, try_to_load_from_cache

    with hub_errors(ref):
        if not isinstance(try_to_load_from_cache(ref, "config.json"), str):
            HfApi().model_info(ref, timeout=5)


def cached_base(ref: str, settings: Settings | None = None) -> Path | None:
    """Where a base model lies on this machine; None where it would have to be fetched."""
    from huggingface_hub import try_to_load_from_cache

    if ref in demo_base.ALIASES:
        folder = (settings or get_settings()).models_dir / DEMO_BASE
        if (folder / "model.safetensors").is_file():
            return folder
        ref = demo_base.HUB_ID
    if Path(ref).expanduser().is_dir():
        return Path(ref).expanduser()
    if ref.startswith((".", "/", "~")) or ref.count("/") != 1:
        return None  # no Hub id; the cache would raise at it
    found = try_to_load_from_cache(ref, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def local_folder(field: str, ref: str) -> Path | None:
    """The folder that `ref` names, or None for a Hub id. Raises NotFoundError for neither."""
    folder = Path(ref).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if ref.startswith((".", "/", "~")) or ref.count("/") != 1:
        named = {
            "base_model": f"{DEMO_BASE}, a Hub id such as owner/name, or a folder with safetensors",
            "adapter": "artifact:ID, job:ID, a Hub id such as owner/name, or a folder",
        }
        raise NotFoundError(f"{field}={ref}: there is no such folder; give {named[field]}")
    return None


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Turns what the Hub's client raises into an error that names the repository."""
    # The client's HTTPError is httpx's in one version of it and httpx2's in another.
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    try:
        yield
    except HFValidationError as error:
        raise InputError(f"model={repo}: not a Hub id ({error})") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise HubError(
            f"model={repo}: the Hub answered {status}",
            advice="Check the name; a gated or private model needs `hf auth login` first.",
        ) from error
    except (HTTPError, OSError) as error:
        raise HubError(
            f"model={repo}: the Hub can't be reached and the model is not in the cache",
            advice=f"Check the connection, or use {DEMO_BASE} or a local folder.",
        ) from error


def fetch_from_hub(repo: str) -> Path:
    """Downloads a model or adapter repository (safetensors, configs, tokenizer) into the cache."""
    from huggingface_hub import snapshot_download

    with hub_errors(repo):
        path = Path(snapshot_download(repo, allow_patterns=MODEL_FILES, etag_timeout=10))
    if not (path / "adapter_config.json").is_file():
        check_model_folder(path)
    return path


def check_model_folder(folder: Path) -> None:
    """Raises unless the folder has a config and safetensors weights."""
    if not (folder / "config.json").is_file():
        raise NotFoundError(f"model={folder}: the folder has no config.json")
    if not list(folder.glob("*.safetensors")):
        others = sorted(path.name for path in folder.glob("*.bin"))
        found = f" (found {', '.join(others)}, which is never loaded)" if others else ""
        raise ModelError(f"model={folder}: no safetensors weights{found}")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter folder as read from disk. `full` means whole weights instead of a PEFT adapter."""

    path: Path
    base_model: str
    full: bool
    info: dict[str, Any]

    @property
    def has_template(self) -> bool:
        return (self.path / "guard_template.json").is_file()


def read_adapter(ref: str | Path) -> Adapter:
    """Reads what an adapter folder, or an adapter on the Hub, says of itself; loads no weights.

    Raises NotFoundError for a missing folder and ModelError for one that is not an adapter.
    """
    folder = local_folder("adapter", str(ref))
    if folder is None:
        folder = check_fetched(fetch_from_hub(str(ref)), str(ref))
    info = read_json(folder / "training_info.json")
    config = read_json(folder / "adapter_config.json")
    if config:
        if not (folder / "adapter_model.safetensors").is_file():
            raise ModelError(f"adapter={ref}: no adapter_model.safetensors in the folder")
        return Adapter(folder.resolve(), base_of(folder), False, info)
    if not (folder / "config.json").is_file():
        raise ModelError(f"adapter={ref}: the folder has no adapter_config.json or config.json")
    check_model_folder(folder)
    return Adapter(folder.resolve(), str(info.get("base_model") or folder), True, info)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, with a pad token and left padding, as generation needs."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"model={folder}: its tokenizer can't be read ({error})") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(
    folder: Path, *, device: str = "cpu", dtype: str = "float32", quantization: str = "none"
) -> Any:
    """A causal language model on `device`.

    `dtype` is a torch dtype's name; `quantization` is `none`, `nf4` (4-bit, double-quantised) or
    `int8`. Raises ModelError where the weights can't be read.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "device_map": {"": device}}
    if quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    elif quantization == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(f"model={folder}: can't be loaded ({error})") from error
    return model


def load_adapter(
    adapter: Adapter,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    quantization: str = "none",
    trainable: bool = False,
    progress: Progress | None = None,
) -> Any:
    """The moderator of an adapter folder: base model plus adapter, or the whole weights.

    Raises ModelError where the adapter was made for another base.
    """
    if adapter.full:
        return load_model(adapter.path, device=device, dtype=dtype, quantization=quantization)
    from peft import PeftModel
    from safetensors import SafetensorError

    if not adapter.base_model:
        raise ModelError(f"adapter={adapter.path}: it doesn't say which base model it is for")
    base = resolve_base(adapter.base_model, progress=progress)
    model = load_model(base.path, device=device, dtype=dtype, quantization=quantization)
    if quantization != "none" and trainable:
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model)
    try:
        return PeftModel.from_pretrained(model, adapter.path, is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"adapter={adapter.path}: does not fit the base model {adapter.base_model}: {error}"
        ) from error


def fast_bf16(device: str) -> bool:
    """Whether the device computes in bfloat16 faster than in float32."""
    if device != "cpu":
        return True
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and bool(
        {"avx512_bf16", "amx_bf16"} & set(cpuinfo.read_text().split())
    )


def check_same_base(adapter: Adapter, base_model: str) -> None:
    """Raises InputError where an adapter is asked to continue on another base than its own."""

    def same(ref: str) -> str:
        return DEMO_BASE if ref in demo_base.ALIASES else ref

    if adapter.base_model and same(adapter.base_model) != same(base_model):
        raise InputError(
            f"adapter={adapter.path}: made for base model {adapter.base_model}, "
            f"but base_model={base_model}"
        )


def stop_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The ids that end an answer: the tokenizer's end token and those the model itself names."""
    named = model.generation_config.eos_token_id
    ids = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
    return sorted(token for token in ids if token is not None)
