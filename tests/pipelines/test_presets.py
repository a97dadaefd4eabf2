"""Every preset, field by field, against the values of the design written out here."""

import os
import re

import pytest

from pipelines.preferences.intervals import tango
from pipelines.preferences.power import pass_chance
from pipelines.presets import ABOUT, about
from pipelines.stages import all_stages, get_stage
from pipelines.stages.base import build_config
from pipelines.stages.rsft import load_model

ALL_LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
# The design: "Llama-3.2-3B-Instruct, 4-bit NF4 double-quantised, LoRA r=16 alpha=16 dropout 0.05
# on all attention and MLP projections, per-device 2 x 64 accumulation, lr 5e-5, 3 epochs, paged
# AdamW 32-bit, bf16, length detected from the data up to 2048".
EXP19 = {
    "base_model": "meta-llama/Llama-3.2-3B-Instruct",
    "method": "lora",
    "quantization": "nf4",
    "lora_r": 16,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "lora_targets": ALL_LINEAR,
    "batch_size": 2,
    "accumulation": 64,
    "learning_rate": 0.00005,
    "epochs": 3,
    "optimizer": "paged_adamw_32bit",
    "precision": "bf16",
    "max_length": 0,  # detected
    "max_rows": 0,
    "max_steps": 0,
    "packing": False,
    "adapter": "",
    "target": "reasoning",
    "tasks": set(),
    # Written down nowhere: how the rate falls is the paper's, activations are computed twice.
    "scheduler": "cosine",
    "warmup": 0,
    "gradient_checkpointing": True,
}
# "Full fine-tuning of the base Llama; 3 epochs; lr 5e-5, cosine, no warm-up; global batch 384;
# cutoff 2048; bf16".
PAPER = {
    "method": "full",
    "quantization": "none",
    "epochs": 3,
    "learning_rate": 0.00005,
    "scheduler": "cosine",
    "warmup": 0,
    "max_length": 2048,
    "precision": "bf16",
    "max_rows": 0,
    "max_steps": 0,
    "packing": False,
    "adapter": "",
    "target": "reasoning",
    "tasks": set(),
    # 4 x 96 = 384 on one device.
    "batch_size": 4,
    "accumulation": 96,
    # Written down nowhere.
    "optimizer": "adamw_torch",
    "weight_decay": 0,
    "gradient_checkpointing": True,
}
# "beta = 0.01, rho = 2, lr 5e-6, 2 epochs", and the paper's arithmetic and cutoff.
PREFERENCE = {
    "beta": 0.01,
    "rho": 2,
    "learning_rate": 0.000005,
    "epochs": 2,
    "max_length": 2048,
    "precision": "bf16",
    "gradient_checkpointing": True,
    "quantization": "none",
    "max_steps": 0,
}
# What runs on two cores: few rows, small batches.
DEMO_PREFERENCE = {
    "epochs": 2,
    "beta": 0.01,
    "rho": 2,
    "gamma": 0.2,
    "batch_size": 1,
    "accumulation": 2,
    "learning_rate": 0.00005,
    "save_steps": 10,
}
# "k = 4 generations, temperature 0.7, top_p 0.95, max 2048 tokens".
DRAWING = {"k": 4, "temperature": 0.7, "top_p": 0.95, "max_new_tokens": 2048}
QUALITY = DRAWING | {
    "scorer": "computed",
    "pair_weights": "uniform",
    "answers_at_once": 64,
    "batch_size": 4,
}
EXPECTED = {
    ("rsft", "exp19"): EXP19,
    ("rsft", "exp18"): EXP19 | {"epochs": 1},
    ("rsft", "exp18-continue"): EXP19 | {"epochs": 2},  # 1 and then 2 more are 3
    ("rsft", "sample-efficiency"): EXP19 | {"max_rows": 500, "epochs": 50},
    ("rsft", "paper-1b"): PAPER | {"base_model": "meta-llama/Llama-3.2-1B"},
    ("rsft", "paper-3b"): PAPER | {"base_model": "meta-llama/Llama-3.2-3B"},
    ("rsft", "paper-8b"): PAPER | {"base_model": "meta-llama/Llama-3.1-8B"},
    ("rsft", "smollm2-demo"): {
        "base_model": "smollm2-135m-instruct",
        "method": "lora",
        "quantization": "none",
        "max_rows": 96,
        "max_length": 768,
        "epochs": 2,
        "learning_rate": 0.002,
        "batch_size": 2,
        "accumulation": 2,
        "lora_r": 16,
        "lora_alpha": 32,
        "lora_dropout": 0,
        "lora_targets": ALL_LINEAR,
        "group_by_length": True,
        "save_steps": 20,
    },
    # The longest right over the longest wrong; gamma 0.2, on all rows.
    ("mine", "paper"): DRAWING
    | {"pairing": "longest", "gamma": 0.2, "max_rows": 0, "batch_size": 256},
    ("mine", "smollm2-demo"): DRAWING | {"max_rows": 24, "max_new_tokens": 512, "batch_size": 4},
    # "global batch 256", gamma 0.2, by the range within each model and source.
    ("hsdpo", "paper"): PREFERENCE
    | {"batch_size": 2, "accumulation": 128, "gamma": 0.2, "weighting": "paper"},
    # "4 x 64, gamma 0.5".
    ("hsdpo", "single-gpu"): PREFERENCE
    | {"batch_size": 4, "accumulation": 64, "gamma": 0.5, "weighting": "paper"},
    ("hsdpo", "smollm2-demo"): DEMO_PREFERENCE | {"weighting": "paper"},
    # "toy = 1k samples x 4, full = 10k x 4".
    ("quality", "toy"): PREFERENCE | QUALITY | {"max_rows": 1000, "accumulation": 16},
    ("quality", "full"): PREFERENCE | QUALITY | {"max_rows": 10_000, "accumulation": 64},
    ("quality", "smollm2-demo"): DEMO_PREFERENCE
    | {"max_rows": 24, "k": 4, "max_new_tokens": 512, "answers_at_once": 4},
}
ROWS_A_STEP = {
    ("rsft", "sample-efficiency"): 128,
    ("quality", "toy"): 64,
    ("quality", "full"): 256,
    ("rsft", "exp18"): 128,
    ("rsft", "exp18-continue"): 128,
    ("rsft", "exp19"): 128,
    ("rsft", "paper-1b"): 384,
    ("rsft", "paper-3b"): 384,
    ("rsft", "paper-8b"): 384,
    ("hsdpo", "paper"): 256,
    ("hsdpo", "single-gpu"): 256,
}


def plain(config, name):
    value = getattr(config, name)
    return set(value) if isinstance(value, list) else value


@pytest.mark.parametrize(("stage", "preset"), EXPECTED)
def test_a_preset_is_what_was_specified(stage, preset):
    config = build_config(get_stage(stage), preset)
    expected = EXPECTED[stage, preset]
    assert {name: plain(config, name) for name in expected} == expected


@pytest.mark.parametrize(("stage", "preset"), EXPECTED)
def test_no_field_of_a_preset_goes_unchecked(stage, preset):
    assert set(get_stage(stage).presets[preset]) <= set(EXPECTED[stage, preset])


@pytest.mark.parametrize(("stage", "preset"), ROWS_A_STEP)
def test_a_step_takes_as_many_rows_as_was_specified(stage, preset):
    config = build_config(get_stage(stage), preset)
    assert config.batch_size * config.accumulation == ROWS_A_STEP[stage, preset]


@pytest.mark.parametrize("stage", ["rsft", "mine", "hsdpo", "quality"])
def test_no_preset_goes_unchecked(stage):
    assert set(get_stage(stage).presets) == {p for s, p in EXPECTED if s == stage}


def test_every_preset_here_is_told_of():
    for stage, presets in ABOUT.items():
        assert set(presets) == set(all_stages()[stage].presets)
        assert all(about(stage, preset).endswith(".") for preset in presets)
    assert about("rsft", None) == ""


@pytest.mark.parametrize(("preset", "truths"), [("toy", (60, 66)), ("full", (65, 67))])
def test_what_a_study_can_show_is_said_as_it_is(preset, truths):
    values, said = get_stage("study").presets[preset], about("study", preset)
    assert values["target"] == truths[0] / 100
    for truth in truths:
        chance = pass_chance(values["items"], truth / 100, values["target"], tie_rate=0.3)
        assert re.search(rf"of {truth}%[^.;]* {100 * chance:.0f} times", said), (truth, chance)


def test_a_toy_takes_so_many_to_rule_out_chance():
    # 35 of 50 decide; 24 of them is the first count whose lower bound is over one half.
    assert tango(24, 11, 50).low > 0.5 > tango(23, 12, 50).low
    assert f"{(24 + 15 / 2) / 50:.0%} seen" in about("study", "toy")


def test_exp18_continues_as_it_began():
    first, second = (build_config(get_stage("rsft"), p) for p in ("exp18", "exp18-continue"))
    assert first.epochs + second.epochs == 3
    assert first.model_dump(exclude={"epochs"}) == second.model_dump(exclude={"epochs"})


class Captured(Exception):
    """Carries what the loader of transformers was called with."""


def test_exp19_loads_nf4_doubly_quantised_and_computes_in_bf16(monkeypatch, tiny_base):
    import torch
    from transformers import AutoModelForCausalLM

    from pipelines.base_models import BaseModel

    def capture(*_args, **options):
        raise Captured(options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", capture)
    config = build_config(get_stage("rsft"), "exp19", {"base_model": os.fspath(tiny_base)})
    with pytest.raises(Captured) as caught:
        load_model(config, BaseModel("tiny", tiny_base, None), "cuda")
    options = caught.value.args[0]
    stored = options["quantization_config"]
    assert stored.load_in_4bit is True
    assert stored.bnb_4bit_quant_type == "nf4"
    assert stored.bnb_4bit_use_double_quant is True
    assert stored.bnb_4bit_compute_dtype == torch.bfloat16
    assert options["dtype"] == torch.bfloat16
