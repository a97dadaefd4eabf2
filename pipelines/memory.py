"""How much memory a training or a generation will need at its peak, told without loading anything.

Weights, gradients and optimiser state are counted; activations are modelled on what transformers,
PEFT and TRL 1.16 keep for the backward pass of a Llama-like layer. What it gave beside what was
measured stands in docs/benchmarks.md; `tests/bench/memory_estimate.py` measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.engines.transformers import ROUND
from pipelines.model_sizes import ModelSize

GIB = 1 << 30
# 4-bit blocks with doubly quantised scales; int8 with a scale a row.
BYTES_PER_WEIGHT = {"nf4": 0.516, "int8": 1.01}
# TRL never holds the logits of all tokens: its head works on tiles of so many tokens and words.
TILE_TOKENS, TILE_WORDS = 4096, 32_768
# What a tile takes in float32 where the head is plain torch: five tensors, a mask, temporaries.
TILE_BYTES_CPU = 33
# What torch and the libraries take before any weight is loaded; a GPU's holds CUDA's context.
OVERHEAD_CPU, OVERHEAD_GPU = GIB, GIB
# Copies of a step's logits that drawing a token makes: softmax, sorted values and places, sums.
SAMPLING_COPIES = 8


@dataclass(frozen=True, slots=True)
class Training:
    """What a training step's memory depends on.

    `rows` sequences of `length` tokens stand in one batch (for pairs, chosen and rejected count
    each). `pairs` is preference training: a frozen copy of what is trained is held too.
    """

    full: bool
    quantization: str
    bf16: bool
    gpu: bool
    rows: int
    length: int
    checkpointing: bool
    optimizer: str = "adamw_torch"
    lora_r: int = 0
    lora_targets: Sequence[str] = ()
    dropout: bool = False
    pairs: bool = False

    @property
    def width(self) -> int:
        """Bytes of a number that is computed with."""
        return 2 if self.bf16 else 4

    @property
    def stream(self) -> int:
        """Bytes of a number between two layers: bf16 only over weights that are bf16."""
        return 2 if self.bf16_weights else 4

    @property
    def bf16_weights(self) -> bool:
        """Whether the weights are stored as bf16, as frozen ones on a GPU are."""
        return self.gpu and self.bf16 and not self.full and self.quantization == "none"


Part = Literal["weights", "gradients", "optimizer", "activations", "head", "cache", "libraries"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes at the peak, by what takes them."""

    parts: dict[Part, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def lora_parameters(size: ModelSize, rank: int, targets: Sequence[str]) -> int:
    """Weights of an adapter; a target that Llama doesn't have counts as the widest one."""
    known = size.projections()
    widest = max(known.values(), key=sum)
    return size.layers * rank * sum(sum(known.get(name, widest)) for name in targets)


def trained_parameters(size: ModelSize, run: Training) -> int:
    """Weights that get a gradient."""
    return size.parameters if run.full else lora_parameters(size, run.lora_r, run.lora_targets)


def training(size: ModelSize, run: Training) -> Estimate:
    """The peak of a training step: in the backward pass, or where the optimiser takes its step."""
    trained = trained_parameters(size, run)
    weights = stored_weights(size, run)
    if not run.full:
        weights += 4 * trained
    if run.pairs:
        weights += 4 * trained  # the reference: a second model, or a second adapter
    gradients = 4 * trained
    states, moment = optimizer_bytes(size, trained, run)
    activations, head = activation_bytes(size, run), head_bytes(size, run)
    # The optimiser's own temporaries come when the activations have gone.
    states += max(0, moment - activations - head)
    return Estimate(
        {
            "weights": weights,
            "gradients": gradients,
            "optimizer": states,
            "activations": activations,
            "head": head,
            "libraries": OVERHEAD_GPU if run.gpu else OVERHEAD_CPU,
        }
    )


def stored_weights(size: ModelSize, run: Training) -> int:
    """The base model as it is held, without adapters."""
    if run.quantization == "none":
        return size.parameters * run.stream
    # Only the layers' linear maps are quantised; PEFT makes the rest float32 for training.
    rest = size.embedding
    return round((size.parameters - rest) * BYTES_PER_WEIGHT[run.quantization] + rest * 4)


def optimizer_bytes(size: ModelSize, trained: int, run: Training) -> tuple[int, int]:
    """(state that stays, temporaries of the step itself). Moments are two numbers a weight."""
    if run.optimizer == "adamw_8bit":
        # transformers keeps the embedding's moments in 32 bits.
        embedding = size.vocabulary * size.hidden if run.full else 0
        return 2 * (trained - embedding) + 8 * embedding, 0
    if run.optimizer == "paged_adamw_32bit" and run.gpu:
        return 0, 0  # CUDA moves it to the main memory when there is no room
    # On a GPU torch takes the step for all weights at once and holds a square root of each.
    return 8 * trained, 4 * trained if run.gpu and run.optimizer == "adamw_torch" else 0


def layer_bytes(size: ModelSize, run: Training) -> int:
    """Bytes a token that one layer keeps for its backward pass."""
    hidden, query, inter = size.hidden, size.query, size.intermediate
    width, stream = run.width, run.stream
    # Linear4bit and its kin give back the dtype they were given.
    out = stream if run.quantization != "none" else width
    norms = 2 * 4 * hidden + (2 * stream * hidden if run.full else 0)
    attention = 4 * width * query  # queries, repeated keys and values, what comes out
    gates = 3 * out * inter
    if run.full:
        copies = 5 * hidden if run.bf16 else 0  # autocast casts each map's input anew
        inputs = width * (copies + inter)
    else:
        known = size.projections()
        wide = sum(known[name][0] for name in run.lora_targets if name in known)
        inputs = wide * (width + (1 if run.dropout else 0))
    return norms + attention + gates + inputs


def activation_bytes(size: ModelSize, run: Training) -> int:
    """What all layers keep, with the casts of the weights that autocast makes."""
    tokens = run.rows * run.length
    layer = layer_bytes(size, run)
    if run.checkpointing:
        # Each layer's input, and one layer whole with the gradients on their way through it.
        a_token = size.layers * size.hidden * run.stream + 1.5 * layer
    else:
        a_token = size.layers * layer + 0.5 * layer
    ends = 12 * size.hidden  # embedding and last norm
    return round(tokens * (a_token + ends)) + cast_bytes(size, run)


def cast_bytes(size: ModelSize, run: Training) -> int:
    """bf16 copies of float32 weights: kept for the whole pass, or of one layer at a time."""
    if not run.bf16 or run.bf16_weights or run.quantization != "none":
        return 0
    linear = 2 * (size.parameters - size.embedding)
    # Autocast keeps the copies of weights that are trained; those of frozen ones are kept by the
    # backward pass, and checkpointing has none until it comes to their layer.
    return linear // size.layers if run.checkpointing and not run.full else linear


def head_bytes(size: ModelSize, run: Training) -> int:
    """The output head's tiles and gradients, which come when all activations are there."""
    tokens = run.rows * run.length
    words = min(TILE_WORDS, size.vocabulary)
    tile = min(tokens, TILE_TOKENS) * words
    used = tile * run.width + tokens * size.hidden * (4 + run.width)
    if not run.gpu:
        used += tile * TILE_BYTES_CPU
    if run.width != run.stream or run.quantization != "none":
        used += words * size.hidden * 2
    if run.full:
        # The gradient of the head in float32, before it is added to what is there already.
        used += size.vocabulary * size.hidden * 4
    return used


@dataclass(frozen=True, slots=True)
class Generation:
    """What drawing answers depends on: `rows` of them at once, `prompt` + `new` tokens long."""

    rows: int
    prompt: int
    new: int
    bf16: bool
    gpu: bool


def generation(size: ModelSize, run: Generation) -> Estimate:
    """The peak of generation: the prompts read in at the end of a round, or the longest cache."""
    width = 2 if run.bf16 else 4
    length = run.prompt + run.new
    cache = run.rows * length * size.layers * 2 * size.key * width
    cache += cache // size.layers  # a layer's cache is copied as it grows
    # Prompts, and what was written to them, are read at the beginning of each round.
    read = run.prompt + (run.new - 1) // ROUND * ROUND
    # Of a layer either its gates and products are held, or its norms in float32 with queries, keys
    # and values.
    layer = max(3 * width * size.intermediate, 12 * size.hidden + 4 * width * size.query)
    return Estimate(
        {
            "weights": size.parameters * width,
            "activations": run.rows * read * layer,
            "head": run.rows * size.vocabulary * 4 * SAMPLING_COPIES,
            "cache": cache,
            "libraries": OVERHEAD_GPU if run.gpu else OVERHEAD_CPU,
        }
    )
