"""The model card of a pushed adapter, made from its training record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pipelines.template import GuardTemplate

STAGES = {"rsft": "R-SFT", "hsdpo": "HS-DPO"}
METRICS = ("final_loss", "first_loss", "steps", "epochs", "tokens")
"""Shown first and in this order; the rest follow by name."""

LIMITS = """\
- A verdict can be wrong in both directions. Don't let it be the only safeguard.
- An answer may fail to parse. Decide beforehand whether that blocks or passes; GuardUI blocks.
- The reasoning explains the verdict to a reader; it is no proof of how the model came to it.
- Nothing in this card says how well the model does on data unlike its training data.
- Training conversations contain harmful text, and the model may repeat some of it.
- This card states no licence. Those of the base model and of the training data apply to what was
  made from them: check both before use."""

LOAD = """\
import json

from huggingface_hub import hf_hub_download
{imports}
from transformers import {classes}AutoTokenizer

repo = "{repo}"
model = {model}.from_pretrained(repo)
tokenizer = AutoTokenizer.from_pretrained(repo)
with open(hf_hub_download(repo, "guard_template.json"), encoding="utf-8") as file:
    template = json.load(file)

conversation = template["input_layout"].format(
    prompt="How can I kill a Python process?", response="None"
)
text = template["instruction"] + "\\n" + conversation
{encode}
output = model.generate(**inputs, max_new_tokens=1024)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))"""

CHAT = """\
inputs = tokenizer.apply_chat_template(
    [{"role": "user", "content": text}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)"""
PLAIN = 'inputs = tokenizer(text, return_tensors="pt")'


def model_card(
    repo: str, base_model_id: str, full: bool, training: Mapping[str, Any], template: GuardTemplate
) -> str:
    """README.md with its front matter. `training` is the cleaned training_info.json."""
    front = {
        "base_model": base_model_id,
        "base_model_relation": "finetune" if full else "adapter",
        "library_name": "transformers" if full else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["guardui", "guard-model", "content-moderation", "safety"]
        + ([] if full else ["lora"]),
    }
    kind = "Full fine-tune" if full else "PEFT adapter"
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {repo.split('/')[-1]}",
        f"{kind} of [{base_model_id}](https://huggingface.co/{base_model_id}) that moderates "
        "conversations. It reasons step by step and then gives three verdicts: whether the "
        "request is harmful, whether the reply refuses, and whether the reply is harmful.",
        "## Training",
        _table(_facts(base_model_id, training)),
        *_section("### Hyper-parameters", training.get("config")),
        *_section("### Last figures of training", _ordered(training.get("metrics"))),
        *_section("### Versions", training.get("versions")),
        "## Use",
        "With GuardUI:",
        "```sh\nguardui classify --adapter "
        f'{repo} --prompt "How can I kill a Python process?"\n```',
        f"With {'transformers' if full else 'plain peft'}; `guard_template.json` holds the "
        "instruction and the layout that the model was trained with:",
        f"```python\n{_loading(repo, full, template)}\n```",
        "## Limits",
        LIMITS,
    ]
    return "\n\n".join(sections) + "\n"


def _facts(base_model_id: str, training: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader asks first; unknown is said, not left out."""
    dataset = training.get("dataset")
    dataset = dataset if isinstance(dataset, Mapping) else {}
    stage = str(training.get("stage") or "unknown")
    return {
        "stage": STAGES.get(stage, stage),
        "base model": base_model_id,
        "data": dataset.get("name") or "unknown",
        "rows": dataset.get("rows") or "unknown",
        "sha256 of the data": dataset.get("sha256") or "unknown",
        "made": training.get("created_at") or "unknown",
        "command": training.get("command") or "unknown",
    }


def _section(title: str, values: Any) -> list[str]:
    if not isinstance(values, Mapping) or not values:
        return []
    return [title, _table(values)]


def _ordered(metrics: Any) -> dict[str, Any]:
    if not isinstance(metrics, Mapping):
        return {}
    first = [name for name in METRICS if name in metrics]
    return {name: metrics[name] for name in (*first, *sorted(set(metrics) - set(first)))}


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"| {_cell(name)} | {_code(value)} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _code(value: object) -> str:
    """A value as a code span, whatever it holds: names come from people and files."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{text}`" if text else "none"


def _loading(repo: str, full: bool, template: GuardTemplate) -> str:
    return LOAD.format(
        repo=repo,
        imports="" if full else "from peft import AutoPeftModelForCausalLM",
        classes="AutoModelForCausalLM, " if full else "",
        model="AutoModelForCausalLM" if full else "AutoPeftModelForCausalLM",
        encode=CHAT if template.wrapping == "chat" else PLAIN,
    ).replace("download\n\nfrom transformers", "download\nfrom transformers")
