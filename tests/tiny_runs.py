"""What stage tests run with: rows, adapters, pairs, scripted answers, a context to report to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.engines.base import Answer
from pipelines.hub_history import History, Publication
from pipelines.schema import NotFoundError
from pipelines.template import GuardTemplate

# Read before any test takes GUARDUI_* out of the environment.
TEST_MODELS = Path(os.environ.get("GUARDUI_TEST_MODELS", "~/.guardui/models")).expanduser()

INSTRUCTION = "Judge the talk.\n"
WORDS = ("tea", "rain", "a kite", "chess", "bread", "the moon", "a lamp", "paint")
RSFT: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 5e-3,
    "precision": "fp32",
    "device": "cpu",
    "lora_r": 4,
    "lora_dropout": 0.0,
}


def answer(request: str = "harmful", completion: str = "None", response: str = "None") -> str:
    return f"Answers: \nRequest: {request}\nCompletion: {completion}\nResponse: {response}"


def rows(count: int = 8) -> list[dict[str, str]]:
    """Rows in the three-column form; every other one is harmful, none has a response."""
    return [
        {
            "instruction": INSTRUCTION,
            "input": f"Human user:\nTell me of {WORDS[i % 8]} {i}\n\nAI assistant:\nNone\n\n",
            "output": "# Task 1\n\n## Reasoning Step 1\nIt is clear.\n\n---\n\n"
            + answer(("harmful", "unharmful")[i % 2]),
        }
        for i in range(count)
    ]


def write_rows(path: Path, found: Sequence[Mapping[str, Any]] | None = None) -> Path:
    lines = [json.dumps(row) for row in (rows() if found is None else found)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def make_adapter(base: Path, folder: Path, seed: int = 1) -> Path:
    """A trained-looking adapter: random weights instead of LoRA's zeros."""
    import torch
    from peft import LoraConfig, get_peft_model

    from pipelines import base_models

    torch.manual_seed(seed)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(base_models.load_model(base), config).save_pretrained(folder)
    base_models.load_tokenizer(base).save_pretrained(folder)
    GuardTemplate(instruction=INSTRUCTION).save(folder)
    info = {"stage": "rsft", "base_model": str(base), "base_model_id": None}
    (folder / "training_info.json").write_text(json.dumps(info), "utf-8")
    return folder


def pair_rows(count: int = 6) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"Tell me of {WORDS[i % 8]}",
            "response": None,
            "chosen": "It is clear.\n\n" + answer("harmful"),
            "rejected": "It is not clear.\n\n" + answer("unharmful"),
            "k_correct": 1 + i % 3,
            "k_incorrect": 3 - i % 3,
        }
        for i in range(count)
    ]


def make_pairs(folder: Path, count: int = 6) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in pair_rows(count)]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    GuardTemplate(instruction=INSTRUCTION).save(folder)
    return folder


class Recorder:
    """A StageContext that keeps what it is told; `stop_at` is the step after which it stops."""

    def __init__(self, directory: Path, stop_at: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.stop_at = directory, stop_at
        self.activities: list[str] = []
        self.steps: list[tuple[int, int]] = []
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.made: list[tuple[str, Path, str, dict[str, Any]]] = []
        self.found: list[Any] = []
        self.command = "guardui run a-test"
        self.remarks: list[tuple[str, dict[str, Any]]] = []
        self.publications: list[Publication] = []

    def activity(self, text: str) -> None:
        self.activities.append(text)

    def progress(self, step: int, total: int) -> None:
        self.steps.append((step, total))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.rows.append((step, dict(values)))

    def rewind(self, step: int) -> None:
        self.rows = [row for row in self.rows if row[0] <= step]

    def remark(self, text: str, data: Mapping[str, Any]) -> None:
        self.remarks.append((text, dict(data)))

    def artifact(self, kind: str, path: Path, name: str, details: Mapping[str, Any]) -> None:
        self.made.append((kind, path, name, dict(details)))

    def hard_samples(self, samples: Sequence[Any]) -> None:
        self.found = list(samples)

    def should_stop(self) -> bool:
        return self.stop_at is not None and bool(self.steps) and self.steps[-1][0] >= self.stop_at

    def history(self, path: Path) -> History:
        return History()

    def write_study(self, study_id: int, folder: Path) -> None:
        raise NotFoundError(f"study={study_id}: there is no such study")

    def published(self, publication: Publication) -> None:
        self.publications.append(publication)

    def column(self, name: str) -> list[float]:
        return [values[name] for _, values in self.rows]


class ScriptedEngine:
    """Answers by a function of (prompt, number of the answer) instead of a model."""

    def __init__(self, script: Callable[[str, int], str], context_length: int = 2048) -> None:
        self.script, self.context_length = script, context_length
        self.prompts: list[str] = []
        self.samplings: list[Any] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(
        self, prompts: Sequence[str], sampling: Any, should_stop: Any = None, on_ended: Any = None
    ) -> list[list[Answer]]:
        self.prompts += prompts
        self.samplings.append(sampling)
        if on_ended:
            on_ended(len(prompts), len(prompts) * sampling.n)
        texts = [[self.script(prompt, i) for i in range(sampling.n)] for prompt in prompts]
        return [[Answer(text, len(text.split()), True) for text in given] for given in texts]

    def stream(self, prompt: str, sampling: Any, should_stop: Any = None) -> Any:
        self.prompts.append(prompt)
        self.samplings.append(sampling)
        for word in self.script(prompt, 0).split(" "):
            yield word + " "
