"""The model card of what is pushed, made from its training record and its evaluations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pipelines.hub_loading import loading
from pipelines.hub_results import (
    Shown,
    contamination,
    eval_results,
    results_section,
    sources_of,
)
from pipelines.template import GuardTemplate

STAGES = {"rsft": "R-SFT", "hsdpo": "HS-DPO", "quality": "reasoning-quality DPO"}
METRICS = ("final_loss", "first_loss", "steps", "epochs", "tokens")
"""Shown first and in this order; the rest follow by name."""

USE = """\
It is for moderating conversations with language models: filtering, routing to people, labelling \
data, and research on reasoning moderators. A person should stand behind decisions that matter to \
somebody. It is not for judging people, for deciding without appeal, or for texts unlike its \
training data without an evaluation of your own."""

LIMITS = """\
- A verdict can be wrong in both directions. Don't let it be the only safeguard.
- An answer may fail to parse. Decide beforehand whether that blocks or passes; GuardUI blocks.
- The reasoning explains the verdict to a reader; it is no proof of how the model came to it.
- Nothing in this card says how well the model does on data unlike what it was evaluated on.
- Training conversations contain harmful text, and the model may repeat some of it.
- This card states no licence. Those of the base model and of the training data apply to what was
  made from them: check both before use."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a card is about. `training` is the cleaned training_info.json; `curve` says whether a
    picture of the training curve lies beside the card."""

    repo: str
    base: str
    full: bool
    training: Mapping[str, Any]
    template: GuardTemplate
    curve: bool = False

    @property
    def merged(self) -> bool:
        """Whether an adapter was folded into its base."""
        return self.training.get("stage") == "export"

    @property
    def trained(self) -> Mapping[str, Any]:
        """The record of the training itself."""
        parent = self.training.get("parent")
        return parent if self.merged and isinstance(parent, Mapping) else self.training


def model_card(subject: Subject, results: Sequence[Shown] = ()) -> str:
    """README.md with its front matter."""
    name, base = subject.repo.split("/")[-1], subject.base
    kind = "Full fine-tune" if subject.full else "PEFT adapter"
    if subject.merged:
        kind = "Whole weights, an adapter folded into its base,"
    trained = subject.trained
    sections = [
        f"---\n{_front(subject, results)}---",
        f"# {name}",
        f"{kind} of [{base}](https://huggingface.co/{base}) that moderates conversations. It "
        "reasons step by step and then gives three verdicts: whether the request is harmful, "
        "whether the reply refuses, and whether the reply is harmful.",
        "## Intended use",
        USE,
        "## Evaluation",
        *results_section(results),
        "## Contamination",
        *contamination(results),
        "## Training",
        _table(_facts(subject, sources_of(results))),
        *(["![Training curve](training_curve.png)"] if subject.curve else []),
        *_before(trained),
        *_section("### Hyper-parameters", trained.get("config")),
        *_section("### Last figures of training", _ordered(trained.get("metrics"))),
        *_section("### Versions", trained.get("versions")),
        "## Use",
        *loading(subject.repo, base, subject.full, subject.template, _rank(trained)),
        "## Limits",
        LIMITS,
    ]
    return "\n\n".join(sections) + "\n"


def _front(subject: Subject, results: Sequence[Shown]) -> str:
    """The metadata as YAML, with the evaluations as `model-index`."""
    from huggingface_hub import ModelCardData

    datasets = [one for one in (_hub_dataset(subject.trained),) if one]
    data = ModelCardData(
        base_model=subject.base,
        library_name="transformers" if subject.full else "peft",
        pipeline_tag="text-generation",
        tags=["guardui", "guard-model", "content-moderation", "safety"]
        + ([] if subject.full else ["lora"]),
        datasets=datasets or None,
        model_name=subject.repo.split("/")[-1],
        eval_results=list(eval_results(results)) or None,
        base_model_relation="finetune" if subject.full else "adapter",
    )
    return yaml.safe_dump(data.to_dict(), sort_keys=False, allow_unicode=True)


def _hub_dataset(training: Mapping[str, Any]) -> str | None:
    """The dataset's Hub id, where it came from there."""
    config = training.get("config")
    name = str(config.get("dataset") or "") if isinstance(config, Mapping) else ""
    found = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name)
    return name if found and not name.endswith((".jsonl", ".json", ".csv", ".parquet")) else None


def _facts(subject: Subject, sources: Sequence[str]) -> dict[str, Any]:
    """What a reader asks first; unknown is said, not left out."""
    training = subject.trained
    found = training.get("dataset")
    dataset: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    stage = str(training.get("stage") or "unknown")
    facts = {
        "stage": STAGES.get(stage, stage),
        "base model": subject.base,
        "data": dataset.get("name") or "unknown",
        "sources": ", ".join(sources),
        "rows": dataset.get("rows") or "unknown",
        "sha256 of the data": dataset.get("sha256") or "unknown",
        "made": training.get("created_at") or "unknown",
        "command": training.get("command") or "unknown",
    }
    if subject.merged:
        facts["merged as"] = subject.training.get("dtype") or "unknown"
    return {name: value for name, value in facts.items() if value}


def _before(training: Mapping[str, Any]) -> list[str]:
    """A table of what the training went on from, the nearest first."""
    rows, parent = [], training.get("parent")
    while isinstance(parent, Mapping) and parent:
        found = parent.get("dataset")
        dataset: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        stage = str(parent.get("stage") or "unknown")
        cells = (dataset.get("name"), dataset.get("rows"), dataset.get("sha256"))
        rows.append(
            f"| {_code(STAGES.get(stage, stage))} | "
            + " | ".join(_code(cell or "unknown") for cell in cells)
            + " |"
        )
        parent = parent.get("parent")
    if not rows:
        return []
    head = ["| stage | data | rows | sha256 of the data |", "|---|---|---|---|"]
    return ["### Trained before this", "\n".join([*head, *rows])]


def _rank(training: Mapping[str, Any]) -> int:
    config = training.get("config")
    rank = config.get("lora_r") if isinstance(config, Mapping) else None
    return rank if isinstance(rank, int) else 16


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
