"""The 13 benchmarks of the field by name, and telling whether rows come from one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipelines.schema import GuardTask

PROMPT, REFUSAL, RESPONSE = GuardTask
BENCHMARKS = {
    "ToxicChat": PROMPT,
    "HarmBenchPrompt": PROMPT,
    "OpenAIModeration": PROMPT,
    "AegisSafetyTest": PROMPT,
    "SimpleSafetyTests": PROMPT,
    "WildGuardTestPrompt": PROMPT,
    "HarmBenchResponse": RESPONSE,
    "SafeRLHF": RESPONSE,
    "BeaverTails": RESPONSE,
    "XSTestResponseHarmful": RESPONSE,
    "WildGuardTestResponse": RESPONSE,
    "XSTestResponseRefusal": REFUSAL,
    "WildGuardTestRefusal": REFUSAL,
}
"""name -> its task; as in the paper's tables (arXiv 2501.18492)."""

# What the benchmarks are called elsewhere, and what their files' names have in common.
_STEMS = {re.sub(r"(Prompt|Response|Refusal|Harmful)+$", "", name).lower() for name in BENCHMARKS}
_HELD_OUT = {"test", "tests", "eval", "evaluation", "validation", "val", "heldout", "benchmark"}


def benchmark_rows(dataset: str, split: str, sources: Iterable[str]) -> list[str]:
    """The names, of the rows' sources or of the dataset and its split, that tell of a test set.

    Empty where nothing does. A name with `train` in it is a training set, as those that are
    called after the same project are.
    """
    named = sorted({source for source in sources if _is_benchmark(source)})
    if named:
        return named
    file = re.split(r"[/\\]", dataset.rstrip("/\\"))[-1]
    stem = re.sub(r"\.(jsonl?|parquet|csv)$", "", file, flags=re.I)
    return [name for name in dict.fromkeys((stem, split)) if _is_benchmark(name)]


def benchmark_warning(named: Iterable[str]) -> str:
    """What to tell a person who is about to mine these."""
    return (
        f"{', '.join(named)}: by their names these rows are of a benchmark or a test split. "
        "Mining is meant for training rows: a moderator trained on what is found here has seen "
        "that test, and its scores there count for nothing. The pair set records it."
    )


def _is_benchmark(name: str) -> bool:
    joined = re.sub(r"[^a-z0-9]", "", name.lower())
    if "train" in joined:
        return False
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    pairs = "heldout" in joined
    return pairs or bool(words & _HELD_OUT) or any(stem in joined for stem in _STEMS)
