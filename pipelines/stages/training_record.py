"""What a training leaves behind: the adapter folder and the record of how it came about."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipelines.failures import device_peak, peak_memory

LIBRARIES = ("guardui", "torch", "transformers", "trl", "peft", "accelerate")


def save_adapter(
    trainer: Any, tokenizer: Any, template: Any, info: Mapping[str, Any], directory: Path
) -> Path:
    """Writes the adapter folder: weights, tokenizer, template and record. Returns its path."""
    folder = directory / "adapter"
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "peft_config"):
        # The reference copy that DPO trains against is not part of the result.
        model.save_pretrained(folder, selected_adapters=["default"])
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    template.save(folder)
    state = trainer.state
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    metrics = {
        "steps": state.global_step,
        "epochs": state.epoch,
        "tokens": state.num_input_tokens_seen,
        "first_loss": losses[0] if losses else None,
        "final_loss": losses[-1] if losses else None,
    }
    write_record(folder, {**info, "metrics": metrics})
    return folder


def write_record(folder: Path, info: Mapping[str, Any]) -> None:
    """`training_info.json`, with the libraries' versions and the time, and `command.txt`."""
    record = {
        **info,
        "versions": versions(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (folder / "training_info.json").write_text(json.dumps(record, indent=2), "utf-8")
    if command := info.get("command"):
        (folder / "command.txt").write_text(f"{command}\n", "utf-8")


def versions() -> dict[str, str]:
    """Name -> version of what the result depends on; without GuardUI's where it isn't installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def device_name(device: str) -> str:
    """A device by its maker's name."""
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(torch.device(device)))
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n") if cpuinfo.is_file() else []
    named = next((line for line in lines if line.startswith("model name")), "")
    return named.partition(":")[2].strip() or platform.processor() or platform.machine()


def memory_used() -> dict[str, int | None]:
    """Peak bytes: of this process's main memory, and on the GPU where there is one."""
    return {"main": peak_memory(), "device": device_peak()}


def lower_precision(folder: Path, dtype: str) -> None:
    """Writes the safetensors of a folder again, their floating-point weights as `dtype`."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    wanted = getattr(torch, dtype)
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata()
        weights = {
            name: tensor.to(wanted) if tensor.is_floating_point() else tensor
            for name, tensor in load_file(path).items()
        }
        part = path.with_suffix(".part")
        save_file(weights, part, metadata)
        part.replace(path)
    config = folder / "config.json"
    if config.is_file():  # whole weights: the model's config names their type too
        content = json.loads(config.read_text("utf-8"))
        config.write_text(json.dumps({**content, "dtype": dtype}, indent=2) + "\n", "utf-8")
