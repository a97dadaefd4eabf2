"""How a pushed model is loaded: the pieces of code on its card."""

from __future__ import annotations

from pipelines.template import GuardTemplate

PREPARE = """\
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

TRANSFORMERS = """\
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{repo}")  # with peft installed"""

ADAPTER_SERVER = """\
vllm serve {base} --enable-lora --max-lora-rank {rank} \\
  --lora-modules guard={repo}"""

ASK_CHAT = """\
curl -s http://localhost:8000/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "INSTRUCTION AND \
CONVERSATION"}}], "temperature": 0, "max_tokens": 1024}}'"""
ASK_PLAIN = """\
curl -s http://localhost:8000/v1/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "prompt": "INSTRUCTION AND CONVERSATION", "temperature": 0, \
"max_tokens": 1024}}'"""


def loading(repo: str, base: str, full: bool, template: GuardTemplate, rank: int) -> list[str]:
    """Headings, sentences and code: GuardUI, peft, transformers, vLLM."""
    chat = template.wrapping == "chat"
    code = PREPARE.format(
        repo=repo,
        imports="" if full else "from peft import AutoPeftModelForCausalLM",
        classes="AutoModelForCausalLM, " if full else "",
        model="AutoModelForCausalLM" if full else "AutoPeftModelForCausalLM",
        encode=CHAT if chat else PLAIN,
    ).replace("download\n\nfrom transformers", "download\nfrom transformers")
    sections = [
        "### GuardUI",
        f"```sh\nguardui pull {repo}\n"
        f'guardui classify --adapter {repo} --prompt "How can I kill a Python process?"\n```',
        f"### {'transformers' if full else 'peft'}",
        "`guard_template.json` holds the instruction and the layout that the model was trained "
        "with; other wordings cost it accuracy.",
        f"```python\n{code}\n```",
    ]
    if not full:
        sections += [
            "### transformers",
            "The tokenizer, the template and the rest are as above.",
            f"```python\n{TRANSFORMERS.format(repo=repo)}\n```",
        ]
    served = (
        f"vllm serve {repo}"
        if full
        else ADAPTER_SERVER.format(repo=repo, base=base, rank=max(16, rank))
    )
    ask = (ASK_CHAT if chat else ASK_PLAIN).format(model=repo if full else "guard")
    return [
        *sections,
        "### vLLM",
        f"```sh\n{served}\n```",
        "Ask it with the instruction and the conversation put together as above:",
        f"```sh\n{ask}\n```",
    ]
