"""The memory estimate beside what was measured, for models of real sizes with random weights.

On a GPU it takes all cases one after the other in this process, by torch's own peak; without one,
SmolLM2's in a process each, by resident memory. `--out FILE` gets a JSON line a case as it ends;
`--only WORD` takes the cases whose name has that word. No network, no tokenizer, no weights.

    PYTHONPATH=. python tests/bench/memory_estimate.py --out memory.jsonl
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from pipelines import base_models, memory, model_sizes
from pipelines.stages import rsft
from pipelines.stages.hsdpo import HsdpoConfig
from pipelines.stages.rsft import RsftConfig
from pipelines.stages.training import trainer_options
from tests.tiny_model import make_tiny_base

GIB = 1 << 30
L1, L3, L8 = "meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.1-8B"
DEMO = base_models.DEMO_BASE
QLORA = {"quantization": "nf4", "optimizer": "paged_adamw_32bit", "gradient_checkpointing": True}
FULL = {"method": "full", "gradient_checkpointing": True}
CKPT = {"gradient_checkpointing": True}
# name: (what, base, rows or pairs a batch, tokens, other fields)
GPU_CASES: dict[str, tuple[str, str, int, int, dict[str, Any]]] = {
    "1b lora bf16": ("rsft", L1, 4, 1024, {}),
    "1b lora bf16 checkpointing": ("rsft", L1, 4, 2048, CKPT),
    "1b lora nf4 checkpointing": ("rsft", L1, 2, 2048, QLORA),
    "1b lora nf4": ("rsft", L1, 2, 1024, {"quantization": "nf4"}),
    "1b full": ("rsft", L1, 2, 1024, {"method": "full"}),
    "paper-1b": ("rsft", L1, 4, 2048, FULL),
    "1b full 8-bit adam": ("rsft", L1, 4, 2048, FULL | {"optimizer": "adamw_8bit"}),
    "1b hsdpo lora": ("hsdpo", L1, 2, 2048, CKPT),
    "1b hsdpo lora kept": ("hsdpo", L1, 1, 1024, {}),
    "1b hsdpo full": ("hsdpo", L1, 2, 2048, FULL),
    "1b generation": ("mine", L1, 256, 512, {"new": 256}),
    "exp19": ("rsft", L3, 2, 2048, QLORA),
    "3b lora bf16": ("rsft", L3, 2, 1024, {}),
    "paper-3b": ("rsft", L3, 4, 2048, FULL),
    "8b lora bf16 checkpointing": ("rsft", L8, 4, 2048, CKPT),
    "8b lora nf4 checkpointing": ("rsft", L8, 4, 2048, QLORA),
    "8b full 8-bit adam": ("rsft", L8, 1, 2048, FULL | {"optimizer": "adamw_8bit"}),
    "8b generation": ("mine", L8, 64, 512, {"new": 256}),
    "paper-8b": ("rsft", L8, 4, 2048, FULL),
}
CPU_CASES: dict[str, tuple[str, str, int, int, dict[str, Any]]] = {
    "lora 1 x 256": ("rsft", DEMO, 1, 256, {}),
    "lora 2 x 384": ("rsft", DEMO, 2, 384, {}),
    "lora 4 x 384": ("rsft", DEMO, 4, 384, {}),
    "lora 4 x 768": ("rsft", DEMO, 4, 768, {}),
    "lora 4 x 768 checkpointing": ("rsft", DEMO, 4, 768, CKPT),
    "lora 2 x 384 dropout": ("rsft", DEMO, 2, 384, {"lora_dropout": 0.05}),
    "lora 2 x 384 fp32": ("rsft", DEMO, 2, 384, {"precision": "fp32"}),
    "full 2 x 384": ("rsft", DEMO, 2, 384, {"method": "full"}),
    "full 4 x 768 checkpointing": ("rsft", DEMO, 4, 768, FULL),
    "hsdpo lora 1 x 384": ("hsdpo", DEMO, 1, 384, {}),
    "hsdpo lora 2 x 768 checkpointing": ("hsdpo", DEMO, 2, 768, CKPT),
    "hsdpo full 1 x 384": ("hsdpo", DEMO, 1, 384, {"method": "full"}),
    "generation 16 x 768": ("mine", DEMO, 16, 512, {"new": 128}),
}


def random_model(ref: str, device: str, dtype: str, quantization: str) -> Any:
    """A Llama of this base's size, its random weights made where they are to be."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    known = dict(model_sizes.CONFIGS[ref.lower()])
    config = LlamaConfig(**known, eos_token_id=2, pad_token_id=1, bos_token_id=None)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    if quantization == "nf4":
        quantize(model, device)
    return model


def quantize(model: Any, device: str) -> None:
    """Makes the layers' linear maps nf4, doubly quantised, as `base_models.load_model` has them."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    for layer in model.model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, old in list(block.named_children()):
                if not isinstance(old, torch.nn.Linear):
                    continue
                new = Linear4bit(
                    old.in_features,
                    old.out_features,
                    bias=False,
                    compute_dtype=torch.bfloat16,
                    compress_statistics=True,
                    quant_type="nf4",
                    device="meta",
                )
                new.weight = Params4bit(
                    old.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
                ).to(device)
                setattr(block, name, new)
    model.is_loaded_in_4bit = True


def ids(rows: int, length: int) -> list[list[int]]:
    import torch

    return torch.randint(3, 40_000, (rows, length)).tolist()


def sft(ref: str, device: str, config: RsftConfig, length: int, folder: Path, tiny: Path) -> None:
    """Two steps of R-SFT with the stage's own loading and options."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    def load(_path: Path, *, device: str, dtype: str, quantization: str) -> Any:
        return random_model(ref, device, dtype, quantization)

    base_models.load_model = load  # type: ignore[assignment]
    model, peft_config = rsft.load_model(config, base_models.BaseModel(ref, tiny, None), device)
    mask = [0] * (length // 2) + [1] * (length - length // 2)
    rows = [
        {"input_ids": row, "completion_mask": mask} for row in ids(4 * config.batch_size, length)
    ]
    SFTTrainer(
        model=model,
        args=SFTConfig(
            **trainer_options(config, folder, device) | {"save_strategy": "no"},
            max_length=length,
            completion_only_loss=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=base_models.load_tokenizer(tiny),
        peft_config=peft_config,
    ).train()


def dpo(ref: str, device: str, config: RsftConfig, length: int, folder: Path, tiny: Path) -> None:
    """Two steps of HS-DPO; LoRA's reference is a copy of the adapter, the full one's a model."""
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from trl import DPOConfig

    from pipelines.hsdpo_trainer import HSDPOTrainer, WeightedPreferenceCollator

    full = config.method == "full"
    dtype = "float32" if full or device == "cpu" else "bfloat16"
    model = random_model(ref, device, dtype, config.quantization)
    if not full:
        targets = config.lora_targets
        model = get_peft_model(
            model, LoraConfig(r=16, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM")
        )
    asked, told = length // 2, length - length // 2
    rows = [
        {
            "prompt_ids": row[:asked],
            "chosen_ids": row[asked:],
            "rejected_ids": row[:told],
            "weight": 1.0,
        }
        for row in ids(4 * config.batch_size, length)
    ]
    shared = HsdpoConfig.model_validate(
        {k: v for k, v in config.model_dump().items() if k in HsdpoConfig.model_fields}
        | {"adapter": "", "max_length": length}
    )
    HSDPOTrainer(
        rho=2.0,
        model=model,
        ref_model=random_model(ref, device, dtype, "none") if full else None,
        args=DPOConfig(
            **trainer_options(shared, folder, device) | {"save_strategy": "no"},
            beta=0.01,
            max_length=length,
        ),
        train_dataset=Dataset.from_list(rows),
        data_collator=WeightedPreferenceCollator(pad_token_id=1, max_length=length),
        processing_class=base_models.load_tokenizer(tiny),
    ).train()


def generate(ref: str, device: str, rows: int, prompt: int, new: int, tiny: Path) -> None:
    """One batch of answers, drawn by the engine that mining uses."""
    from pipelines.engines.base import Sampling
    from pipelines.engines.transformers import TransformersEngine

    dtype = "bfloat16" if base_models.fast_bf16(device) else "float32"
    model = random_model(ref, device, dtype, "none")
    engine = TransformersEngine(model, base_models.load_tokenizer(tiny))
    engine._tokens = lambda texts: ids(len(texts), prompt)  # type: ignore[method-assign]
    engine.stop_ids = []
    engine.generate([""] * (rows // 4), Sampling(0.7, 0.95, new, 4, seed=1))


def estimate(case: tuple[str, str, int, int, dict[str, Any]], device: str) -> memory.Estimate:
    """What `pipelines/memory.py` says of a case."""
    what, ref, rows, length, fields = case
    size = model_sizes.of_config(model_sizes.CONFIGS[ref.lower()])
    gpu, fast = device != "cpu", base_models.fast_bf16(device)
    if what == "mine":
        return memory.generation(size, memory.Generation(rows, length, fields["new"], fast, gpu))
    config = made_config(case, device)
    return memory.training(
        size,
        memory.Training(
            full=config.method == "full",
            quantization=config.quantization,
            bf16=fast if config.precision == "auto" else config.precision == "bf16",
            gpu=gpu,
            rows=rows * (2 if what == "hsdpo" else 1),
            length=length,
            checkpointing=config.gradient_checkpointing,
            optimizer=config.optimizer,
            lora_r=config.lora_r,
            lora_targets=config.lora_targets,
            dropout=config.lora_dropout > 0,
            pairs=what == "hsdpo",
        ),
    )


def made_config(case: tuple[str, str, int, int, dict[str, Any]], device: str) -> RsftConfig:
    _what, ref, rows, length, fields = case
    dropout = 0.0 if device == "cpu" else 0.05
    values: dict[str, Any] = {"base_model": ref, "batch_size": rows, "max_length": length}
    values |= {"max_steps": 2, "accumulation": 2, "lora_dropout": dropout, "device": device}
    return RsftConfig.model_validate(values | fields)


def run_case(name: str, case: tuple[str, str, int, int, dict[str, Any]], device: str) -> None:
    what, ref, rows, length, fields = case
    with tempfile.TemporaryDirectory() as folder:
        tiny = make_tiny_base(Path(folder) / "tiny")
        if what == "mine":
            generate(ref, device, rows, length, fields["new"], tiny)
            return
        config = made_config(case, device)
        (sft if what == "rsft" else dpo)(ref, device, config, length, Path(folder), tiny)


def on_gpu(name: str, case: tuple[str, str, int, int, dict[str, Any]]) -> dict[str, Any]:
    """Runs a case here; the peak is torch's, which knows nothing of CUDA's own context."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    start, failure = time.perf_counter(), None
    try:
        run_case(name, case, "cuda")
    except Exception as error:  # noqa: BLE001  the next case is to be measured all the same
        failure = f"{type(error).__name__}: {error}"[:300]
    peak, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    said = estimate(case, "cuda")
    return told(name, said, said.total - said.parts["libraries"], peak, start, failure) | {
        "reserved_gib": round(reserved / GIB, 2)
    }


def on_cpu(name: str, case: tuple[str, str, int, int, dict[str, Any]]) -> dict[str, Any]:
    """Runs a case in a process of its own, whose peak is all that it ever held."""
    start = time.perf_counter()
    words = [sys.executable, __file__, "--case", name]
    done = subprocess.run(words, capture_output=True, text=True)
    last = done.stdout.strip().rpartition("\n")[2]
    failure = None if done.returncode == 0 else done.stderr[-300:]
    said = estimate(case, "cpu")
    peak = int(last) if last.isdigit() else 0
    return told(name, said, said.total, peak, start, failure)


def told(
    name: str, said: memory.Estimate, compared: int, peak: int, start: float, failure: str | None
) -> dict[str, Any]:
    return {
        "case": name,
        "estimate_gib": round(compared / GIB, 2),
        "measured_gib": round(peak / GIB, 2),
        "ratio": round(compared / peak, 2) if peak else None,
        "parts_gib": {part: round(count / GIB, 2) for part, count in said.parts.items()},
        "seconds": round(time.perf_counter() - start, 1),
        "failure": failure,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ |= {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    if given.case:
        run_case(given.case, CPU_CASES[given.case], "cpu")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    import torch

    gpu = torch.cuda.is_available()
    cases = GPU_CASES if gpu else CPU_CASES
    print(torch.cuda.get_device_name() if gpu else "CPU", "torch", torch.__version__, flush=True)
    for name, case in cases.items():
        if given.only not in name:
            continue
        line = on_gpu(name, case) if gpu else on_cpu(name, case)
        print(
            f"{name:34} estimate {line['estimate_gib']:7.2f} GiB, measured "
            f"{line['measured_gib']:7.2f}, ratio {line['ratio']}, {line['seconds']} s"
            + (f", reserved {line['reserved_gib']}" if gpu else "")
            + (f"\n  {line['failure']}" if line["failure"] else ""),
            flush=True,
        )
        if given.out:
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
