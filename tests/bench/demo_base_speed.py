"""The demo base on this machine: bf16 against fp32 in training, rounds against one piece.

Needs the demo base (`guardui fetch`); takes about five minutes on two cores.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from pipelines import base_models
from pipelines.datasets import read_dataset
from pipelines.engines import transformers as engine_module
from pipelines.engines.base import Sampling
from pipelines.engines.transformers import TransformersEngine
from pipelines.stages.rsft import STAGE
from pipelines.template import GuardTemplate

BATCH, LENGTH, STEPS = 4, 400, 3


def train(folder: Any, bf16: bool) -> float:
    """Tokens a second of LoRA steps on random tokens, after one step of warm-up."""
    targets = STAGE.config.model_fields["lora_targets"].default
    model = get_peft_model(base_models.load_model(folder), LoraConfig(target_modules=targets, r=16))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(100, 40_000, (BATCH, LENGTH))
    for step in range(STEPS + 1):
        if step == 1:
            start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return STEPS * BATCH * LENGTH / (time.perf_counter() - start)


def generate(folder: Any, round_length: int) -> float:
    """Seconds for 16 answers of the untrained base, of which some end early."""
    tokenizer = base_models.load_tokenizer(folder)
    engine = TransformersEngine(base_models.load_model(folder, dtype="bfloat16"), tokenizer)
    template = GuardTemplate.default()
    examples = read_dataset("starter", max_rows=16).examples
    prompts = [template.prompt_text(example, tokenizer) for example in examples]
    engine_module.ROUND = round_length
    start = time.perf_counter()
    engine.generate(prompts, Sampling(0.7, 0.95, max_new_tokens=256, seed=1))
    return time.perf_counter() - start


def main() -> None:
    torch.manual_seed(0)
    folder = base_models.resolve_base(base_models.DEMO_BASE).path
    single, half = train(folder, bf16=False), train(folder, bf16=True)
    print(f"training: fp32 {single:.0f} tokens/s, bf16 autocast {half:.0f} tokens/s")
    print(f"ratio {half / single:.2f}")
    whole, rounds = generate(folder, 256), generate(folder, 64)
    print(f"16 answers: in one piece {whole:.1f} s, in rounds of 64 tokens {rounds:.1f} s")
    print(f"ratio {whole / rounds:.2f}")


if __name__ == "__main__":
    main()
