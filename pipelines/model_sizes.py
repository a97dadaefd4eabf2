"""How large a model is: from its files where it is here, from a table of known bases where not."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from pipelines import base_models, demo_base


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The sizes that memory grows with; `parameters` counts a tied embedding once."""

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @property
    def query(self) -> int:
        """Width of all heads' queries together."""
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        """Width of all heads' keys together; the values' is the same."""
        return self.kv_heads * self.head_dim

    @property
    def embedding(self) -> int:
        """Weights of the embedding and, where it has its own, of the output head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    def projections(self) -> dict[str, tuple[int, int]]:
        """name -> (width in, width out) of a layer's linear maps, named as Llama names them."""
        return {
            "q_proj": (self.hidden, self.query),
            "k_proj": (self.hidden, self.key),
            "v_proj": (self.hidden, self.key),
            "o_proj": (self.query, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }


def of_config(config: Mapping[str, Any], parameters: int = 0) -> ModelSize:
    """From what stands in a `config.json`; `parameters` are counted by Llama's layout where 0."""
    text: Mapping[str, Any] = config.get("text_config", config)
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    size = ModelSize(
        parameters=parameters,
        layers=text["num_hidden_layers"],
        hidden=hidden,
        intermediate=text["intermediate_size"],
        heads=heads,
        kv_heads=text.get("num_key_value_heads") or heads,
        head_dim=text.get("head_dim") or hidden // heads,
        vocabulary=text["vocab_size"],
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
    )
    if parameters:
        return size
    layer = sum(wide * high for wide, high in size.projections().values()) + 2 * hidden
    fields = {name: getattr(size, name) for name in ModelSize.__slots__}
    return ModelSize(**fields | {"parameters": size.embedding + size.layers * layer + hidden})


def of_folder(folder: Path) -> ModelSize:
    """Reads `config.json` and the safetensors headers; no weight is read.

    Raises KeyError or ValueError for a config that doesn't say what it should.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    parameters = 0
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length))
        tensors = (value for name, value in header.items() if name != "__metadata__")
        parameters += sum(prod(tensor["shape"]) for tensor in tensors)
    return of_config(config, parameters)


def _llama(
    layers: int, hidden: int, intermediate: int, heads: tuple[int, int, int], tied: bool
) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "head_dim": heads[2],
        "vocab_size": 128_256,
        "tie_word_embeddings": tied,
    }


# As their published config.json files say; a test counts the parameters.
_LLAMA_1B = _llama(16, 2048, 8192, (32, 8, 64), tied=True)
_LLAMA_3B = _llama(28, 3072, 8192, (24, 8, 128), tied=True)
_LLAMA_8B = _llama(32, 4096, 14_336, (32, 8, 128), tied=False)
_SMOLLM2 = _llama(30, 576, 1536, (9, 3, 64), tied=True) | {"vocab_size": 49_152}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "meta-llama/llama-3.2-1b": _LLAMA_1B,
    "meta-llama/llama-3.2-1b-instruct": _LLAMA_1B,
    "meta-llama/llama-3.2-3b": _LLAMA_3B,
    "meta-llama/llama-3.2-3b-instruct": _LLAMA_3B,
    "meta-llama/llama-3.1-8b": _LLAMA_8B,
    "meta-llama/llama-3.1-8b-instruct": _LLAMA_8B,
    **{name.lower(): _SMOLLM2 for name in demo_base.ALIASES},
}
"""Hub id in small letters -> what its config says."""


def find_size(ref: str) -> ModelSize | None:
    """The size of a base model; None where it isn't here and not in the table."""
    folder = base_models.cached_base(ref)
    if folder is not None and list(folder.glob("*.safetensors")):
        try:
            return of_folder(folder)
        except (KeyError, TypeError, ValueError, OSError, struct.error):
            return None  # not a language model of a kind that can be told
    known = CONFIGS.get(ref.lower())
    return of_config(known) if known else None
