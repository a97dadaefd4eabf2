"""How much memory a training will need, told from a model's files without loading it.

An estimate: weights, gradients and optimiser state are counted, activations are modelled. What it
gave beside what was measured stands in docs/benchmarks.md.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import psutil

GIB = 1 << 30
BYTES_PER_WEIGHT = {"float32": 4.0, "bfloat16": 2.0, "nf4": 0.56, "int8": 1.06}
ADAM = 8  # two float32 moments
# Fitted to a measured peak: LoRA of SmolLM2-135M, 4 rows of 768 tokens, bf16 autocast on a CPU.
BYTES_PER_ACTIVATION = 5.4
# What torch and the libraries take before any weight is loaded.
OVERHEAD = GIB


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Weights of a model, and the sizes that its activations and adapters grow with."""

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int


def model_size(folder: Path) -> ModelSize:
    """Reads `config.json` and the safetensors headers; no weight is read."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    text: dict[str, Any] = config.get("text_config", config)
    parameters = 0
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length))
        tensors = (value for name, value in header.items() if name != "__metadata__")
        parameters += sum(prod(tensor["shape"]) for tensor in tensors)
    return ModelSize(
        parameters,
        text["num_hidden_layers"],
        text["hidden_size"],
        text["intermediate_size"],
        text["vocab_size"],
    )


def lora_parameters(size: ModelSize, rank: int, targets: int) -> int:
    """Weights of an adapter on `targets` projections a layer, each of about a layer's width."""
    width = (4 * 2 * size.hidden + 3 * (size.hidden + size.intermediate)) / 7
    return round(size.layers * targets * rank * width)


def training_bytes(
    size: ModelSize,
    *,
    trained: int,
    stored: str,
    rows: int,
    length: int,
    checkpointing: bool,
    copies: int = 1,
) -> int:
    """Peak bytes of a training step.

    `trained` weights have gradients and Adam moments in float32; the model is held `copies` times
    as `stored` (a key of BYTES_PER_WEIGHT); a batch has `rows` rows of `length` tokens.
    """
    weights = copies * size.parameters * BYTES_PER_WEIGHT[stored]
    state = trained * (4 + 4 + ADAM)
    layer = 10 * size.hidden + 6 * size.intermediate
    kept = size.hidden * size.layers + layer if checkpointing else layer * size.layers
    activations = round(rows * length * kept * BYTES_PER_ACTIVATION)
    return round(weights + state + activations + OVERHEAD)


def device_bytes(device: str) -> tuple[int, str]:
    """Bytes of a device and what they are: all of a GPU's memory, or what is free of the main."""
    if device != "cpu" and (program := shutil.which("nvidia-smi")):
        asked = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10)
        first = told.stdout.strip().split("\n")[0]
        if told.returncode == 0 and first.isdigit():
            return int(first) << 20, "on the GPU"
    return int(psutil.virtual_memory().available), "free"


def remark(needed: int, device: str) -> str:
    """The estimate beside what the device has, in a sentence."""
    has, where = device_bytes(device)
    free = f"{has / GIB:.1f} GiB {where}"
    if needed > has:
        return (
            f"about {needed / GIB:.1f} GiB of memory needed, more than the {free}: "
            "lower batch_size or max_length, set quantization=nf4 or gradient_checkpointing=true"
        )
    return f"about {needed / GIB:.1f} GiB of memory needed; {free}"
