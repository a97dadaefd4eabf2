"""The named settings of each stage. What a preset doesn't name is the field's default.

Those of the paper are read off what the authors published (GuardReasoner, arXiv 2501.18492);
`exp18`, `exp19` and `single-gpu` are this project's own earlier runs. `ABOUT` says in words what a
preset is, and which of its settings are written down nowhere and were filled in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.demo_base import NAME as DEMO_BASE

Presets = Mapping[str, Mapping[str, Any]]

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

EXP19: Mapping[str, Any] = {
    "base_model": "meta-llama/Llama-3.2-3B-Instruct",
    "method": "lora",
    "quantization": "nf4",
    "lora_r": 16,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "lora_targets": PROJECTIONS,
    "batch_size": 2,
    "accumulation": 64,
    "learning_rate": 5e-5,
    "epochs": 3,
    "optimizer": "paged_adamw_32bit",
    "precision": "bf16",
    "max_length": 0,  # found in the data, up to 2048
    "gradient_checkpointing": True,
}
PAPER: Mapping[str, Any] = {
    "method": "full",
    "epochs": 3,
    "learning_rate": 5e-5,
    "scheduler": "cosine",
    "warmup": 0.0,
    # One device; the authors took 6 rows x 16 batches x 4 GPUs for the 1B.
    "batch_size": 4,
    "accumulation": 96,
    "max_length": 2048,
    "precision": "bf16",
    "gradient_checkpointing": True,
}

RSFT: Presets = {
    "smollm2-demo": {
        "base_model": DEMO_BASE,
        "max_rows": 96,
        "max_length": 768,
        "epochs": 2,
        # Two rows at once do with 4 GiB.
        "batch_size": 2,
        "accumulation": 2,
        "learning_rate": 2e-3,
        "lora_r": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.0,
        "group_by_length": True,
        "save_steps": 20,
    },
    "exp19": EXP19,
    "exp18": {**EXP19, "epochs": 1},
    "exp18-continue": {**EXP19, "epochs": 2},
    "sample-efficiency": {**EXP19, "max_rows": 500, "epochs": 50},
    "paper-1b": {**PAPER, "base_model": "meta-llama/Llama-3.2-1B"},
    "paper-3b": {**PAPER, "base_model": "meta-llama/Llama-3.2-3B"},
    "paper-8b": {**PAPER, "base_model": "meta-llama/Llama-3.1-8B"},
}

MINE: Presets = {
    "smollm2-demo": {"max_rows": 24, "batch_size": 4, "max_new_tokens": 512},
    "paper": {
        "k": 4,
        "temperature": 0.7,
        "top_p": 0.95,
        "max_new_tokens": 2048,
        "gamma": 0.2,
        "batch_size": 256,
    },
}

_HSDPO: Mapping[str, Any] = {
    "learning_rate": 5e-6,
    "epochs": 2,
    "beta": 0.01,
    "rho": 2.0,
    "max_length": 2048,
    "precision": "bf16",
    "gradient_checkpointing": True,
}
HSDPO: Presets = {
    "smollm2-demo": {
        "epochs": 2,
        "batch_size": 1,
        "accumulation": 2,
        "learning_rate": 5e-5,
        "save_steps": 10,
    },
    # One device; the authors took 1 pair x 64 batches x 4 GPUs for the 1B.
    "paper": {**_HSDPO, "batch_size": 2, "accumulation": 128, "gamma": 0.2},
    "single-gpu": {**_HSDPO, "batch_size": 4, "accumulation": 64, "gamma": 0.5},
}

_QUALITY: Mapping[str, Any] = {
    "k": 4,
    "temperature": 0.7,
    "top_p": 0.95,
    "max_new_tokens": 2048,
    "answers_at_once": 64,
    "scorer": "computed",
    "pair_weights": "uniform",
    **_HSDPO,
    "batch_size": 4,
    "accumulation": 16,
}
QUALITY: Presets = {
    "smollm2-demo": {
        "max_rows": 24,
        "max_new_tokens": 512,
        "answers_at_once": 4,
        "epochs": 2,
        "batch_size": 1,
        "accumulation": 2,
        "learning_rate": 5e-5,
        "save_steps": 10,
    },
    "toy": {**_QUALITY, "max_rows": 1_000},
    "full": {**_QUALITY, "max_rows": 10_000, "accumulation": 64},
}

EVALUATE: Presets = {
    "smollm2-demo": {"max_rows": 24, "max_new_tokens": 512, "batch_size": 4},
    "quick": {"max_rows": 200, "batch_size": 64},
    "full": {"max_rows": 0, "batch_size": 128, "max_new_tokens": 2048},
}

STUDY: Presets = {
    "toy": {
        "items": 50,
        "max_rows": 200,
        "target": 0.6,
        "ratings_per_pair": 1,
        "overlap_share": 0.0,
        "practice": False,
        "attention_items": 3,
    },
    "full": {
        "items": 300,
        "max_rows": 1_000,
        "target": 0.65,
        "ratings_per_pair": 1,
        "overlap_share": 0.2,
        "overlap_ratings": 3,
        "attention_items": 20,
        "batch_size": 64,
        "max_new_tokens": 2048,
    },
}

BASES: tuple[str, ...] = tuple(dict.fromkeys(str(preset["base_model"]) for preset in RSFT.values()))
"""The base models that presets name, in their order."""

_LIKE_EXP19 = "Written down are the rows, the epochs and no more; the rest is that of exp19."
_PAPER = (
    "Full fine-tuning as published, on one device: 4 rows x 96 batches are the 384 of the paper. "
    "The optimiser and its decay are written down nowhere: AdamW without decay, on float32 "
    "weights beneath bf16 arithmetic."
)
ABOUT: Mapping[str, Mapping[str, str]] = {
    "rsft": {
        "smollm2-demo": "The demo base on 96 rows: minutes on two CPU cores.",
        "exp19": (
            "QLoRA of Llama-3.2-3B-Instruct on one GPU. The schedule is written down nowhere: "
            "cosine without warm-up, as in the paper."
        ),
        "exp18": (
            "One epoch on binary ChatML rows, which you name as the dataset. Only the form of the "
            "rows and the epochs are written down; the rest is that of exp19."
        ),
        "exp18-continue": (
            "Two more epochs on an adapter of exp18, three in all. How the rate went on is written "
            "down nowhere: a new cosine begins at the peak, with fresh optimiser state."
        ),
        "sample-efficiency": f"500 rows, 50 times over. {_LIKE_EXP19}",
        "paper-1b": _PAPER,
        "paper-3b": _PAPER,
        "paper-8b": _PAPER,
    },
    "mine": {
        "smollm2-demo": "24 conversations, four answers each: minutes on two CPU cores.",
        "paper": "As published. How many go at once is ours; what doesn't fit is halved.",
    },
    "hsdpo": {
        "smollm2-demo": "A few pairs on two CPU cores.",
        "paper": "As published, on one device: 2 pairs x 128 batches are the 256 of the paper.",
        "single-gpu": (
            "4 pairs x 64 batches and weights spread by 0.5. Written down are the batch and gamma; "
            "the rest is that of the paper."
        ),
    },
    "quality": {
        "smollm2-demo": "24 conversations, four answers each, on two CPU cores.",
        "toy": (
            "1,000 conversations, four answers each. Written down are these two; sampling and "
            "training are those of mining and HS-DPO, in batches of 64 pairs."
        ),
        "full": (
            "10,000 conversations, four answers each. Written down are these two; sampling and "
            "training are those of mining and HS-DPO, in batches of 256 pairs."
        ),
    },
    "study": {
        "toy": (
            "50 pairs, one rating each: for trying everything out, and for a large difference. "
            "With three ties in ten it takes about 63% seen, ties as halves, to rule out chance; a "
            "truth of 60%, its target, passes 40 times in a hundred, one of 66% 80 times."
        ),
        "full": (
            "300 pairs, a fifth of them rated by three. With three ties in ten, 210 pairs decide: "
            "80% power to tell 60% from chance, and more than the 121 that 90% power takes for "
            "65%. Its target of 65% must be seen, too: a truth of 65% passes 52 times in a "
            "hundred, one of 67% 83 times."
        ),
    },
}


def about(stage: str, preset: str | None) -> str:
    """What a preset is, in a sentence or two; empty where nothing is said of it."""
    return ABOUT.get(stage, {}).get(preset or "", "")
