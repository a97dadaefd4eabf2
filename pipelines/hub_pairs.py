"""A pair set as a dataset for the Hub: its rows in TRL's form, and a card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.hub import CARD, Prepared, prepared_folder
from pipelines.hub_clean import clean
from pipelines.pair_export import COLUMNS, export_pairs
from pipelines.pair_sets import describe_pair_set, read_pairs, read_template
from pipelines.pair_writing import INFO, file_sha256
from pipelines.studies.card import SIZES, WARNING
from pipelines.template import GuardTemplate

DATA = "data/pairs.parquet"
MEANINGS = {
    "prompt": "what the moderator is asked: instruction and conversation, as `trl.DPOTrainer` "
    "takes it",
    "chosen": "the preferred answer: reasoning and right verdicts",
    "rejected": "the other answer, with a wrong verdict",
    "weight": "how much the pair counts in HS-DPO's loss; 1 is average",
    "row_id": "which row of the training data it comes from",
    "source": "which part of the training data",
    "model": "which moderator gave the answers",
    "task": "the task that the answers differ in",
    "conversation": "prompt and response without the instruction, as JSON",
    "gold": "the gold labels, as JSON",
    "chosen_index": "which of the answers drawn was chosen",
    "rejected_index": "which was rejected",
    "k_correct": "answers that were right, of those drawn",
    "k_incorrect": "answers that were wrong",
    "d_min": "the least (wrong - right) among the pairs that were weighed together",
    "d_max": "the most",
    "sampling": "how the answers were drawn, as JSON",
    "human_edited": "whether a person changed the pair",
    "guard_template": "the template as JSON, so that the file alone can be imported again",
}
USE = """\
```python
from datasets import load_dataset

pairs = load_dataset("{repo}", split="train")
```

```sh
guardui pairs import pairs.parquet   # the file under data/: a pair set again, to the byte
```"""
LIMITS = """\
- No licence is stated. Those of the training data and of the models that wrote the answers apply.
- Answers were written by a model and chosen by rule: the longest right one, the longest wrong one,
  unless the settings above say otherwise. A right verdict doesn't make its reasoning right.
- Gold labels are the training data's own, with their errors."""


def prepare_pairs(ref: Path | str, repo: str, folder: Path) -> Prepared:
    """Writes the dataset into `folder`. Raises NotFoundError, DataError or InputError."""
    rows, info = read_pairs(str(ref)), describe_pair_set(str(ref))
    template = read_template(str(ref)) or GuardTemplate.default()
    export_pairs(str(ref), folder / DATA, change=_without_paths)
    template.save(folder)
    shown = clean(info)
    (folder / INFO).write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", "utf-8")
    hashes = {
        "pairs, as frozen": info["sha256"],
        "samples they come from": info.get("samples_sha256"),
        DATA: file_sha256(folder / DATA),
    }
    (folder / CARD).write_text(pairs_card(repo, rows, shown, hashes), "utf-8")
    return prepared_folder(folder, repo, "pair_set")


def _without_paths(row: dict[str, Any]) -> dict[str, Any]:
    """A moderator may be named by its folder."""
    return row | {"model": clean(row["model"])}


def pairs_card(
    repo: str,
    rows: Sequence[Mapping[str, Any]],
    info: Mapping[str, Any],
    hashes: Mapping[str, str | None],
) -> str:
    """README.md with its front matter, which `datasets.load_dataset` reads."""
    size = next((word for limit, word in SIZES if len(rows) < limit), "100K<n<1M")
    front = {
        "pretty_name": str(info.get("name") or repo.split("/")[-1]),
        "tags": ["guardui", "preference", "dpo", "safety", "reasoning", "not-for-all-audiences"],
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": DATA}]}],
    }
    settings = {
        "weights": info.get("weighting"),
        "gamma": info.get("gamma"),
        "pairs chosen": info.get("pairing"),
        "name": info.get("name"),
        "version": info.get("version"),
        "made from": info.get("parent"),
    }
    weights = [float(row.get("weight", 1.0)) for row in rows]
    counts = {
        "pairs": len(rows),
        "changed by a person": sum(bool(row.get("human_edited")) for row in rows),
        "weights": f"{min(weights):.3g} to {max(weights):.3g}",
        **{f"source {name or 'unnamed'}": n for name, n in _counted(rows, "source")},
        **{f"task {name or 'unnamed'}": n for name, n in _counted(rows, "task")},
    }
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {repo.split('/')[-1]}",
        WARNING,
        "Preference pairs of a reasoning guard model: two of its own answers to one conversation, "
        "one with the right verdict and one with a wrong one. Made with GuardUI by hard-sample "
        "mining, for HS-DPO.",
        "## Counts",
        _table({name: value for name, value in counts.items() if value != ""}),
        "## How it was made",
        _table({name: value for name, value in settings.items() if value is not None}),
        *_record(info.get("record")),
        "## Hashes (sha256)",
        _table({name: value for name, value in hashes.items() if value}),
        "## Columns",
        "\n".join(
            ["| column | meaning |", "|---|---|"]
            + [f"| `{name}` | {MEANINGS[name]} |" for name in COLUMNS]
        ),
        "## Use",
        USE.format(repo=repo),
        "## Limits",
        LIMITS,
    ]
    return "\n\n".join(sections) + "\n"


def _counted(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[str, int]]:
    return sorted(Counter(str(row.get(name) or "") for row in rows).items())


def _record(record: Any) -> list[str]:
    """The settings of the mining, where they are known."""
    config = record.get("config") if isinstance(record, Mapping) else None
    return ["### Settings of the mining", _table(config)] if isinstance(config, Mapping) else []


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"| {_plain(name)} | `{_plain(value)}` |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _plain(value: object) -> str:
    text = " ".join(str(value).split()).replace("`", "'").replace("<", "&lt;")
    return text.replace("|", "\\|") or "none"
