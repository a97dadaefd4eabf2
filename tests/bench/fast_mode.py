"""Fast against reason mode on one labelled file: right or wrong, and seconds a conversation.

python tests/bench/fast_mode.py --adapter FOLDER --dataset FILE [--rows 40] [--device cpu]

Both modes see the same rows in the same batches, one after the other in one process; a first
batch of each, not counted, warms up. Needs the adapter's base model in the cache, and no page.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.classify import MODES, Mode, Moderator, classify, open_moderator
from pipelines.datasets import read_dataset
from pipelines.engines.base import Sampling
from pipelines.metrics import count, scores
from pipelines.schema import GuardExample, GuardTask, Verdict
from pipelines.settings import get_settings


def sample(examples: Sequence[GuardExample], rows: int, seed: int) -> list[GuardExample]:
    """About as many rows of each (task, label), drawn with a seed; all where `rows` is 0."""
    if not rows or rows >= len(examples):
        return list(examples)
    groups: dict[Any, list[GuardExample]] = defaultdict(list)
    for example in examples:
        groups[tuple(sorted(example.gold.items()))].append(example)
    draw = random.Random(seed)
    for group in groups.values():
        draw.shuffle(group)
    taken: list[GuardExample] = []
    while len(taken) < rows:
        taken += [groups[key].pop() for key in sorted(groups) if groups[key]]
    draw.shuffle(taken)
    return taken[:rows]


def verdicts(
    guard: Moderator, examples: Sequence[GuardExample], mode: Mode, batch: int, length: int
) -> tuple[list[Verdict], float]:
    """(a verdict for each row, seconds for all of them)."""
    sampling = Sampling(max_new_tokens=length)

    def run(part: Sequence[GuardExample]) -> list[Verdict]:
        found = classify(part, guard.engine, guard.template, guard.tokenizer, sampling, mode=mode)
        return [given[0] for given in found]

    run(examples[: min(batch, 2)])
    start = time.perf_counter()
    done: list[Verdict] = []
    for first in range(0, len(examples), batch):
        done += run(examples[first : first + batch])
        spent = time.perf_counter() - start
        print(f"{mode}: {len(done)} of {len(examples)} rows, {spent:.0f} s", flush=True)
    return done, time.perf_counter() - start


def judged(examples: Sequence[GuardExample], given: Sequence[Verdict]) -> dict[str, Any]:
    """Scores by task and over all, a missing verdict counted wrong once; None is undefined."""
    rows: dict[str, list[tuple[bool, int]]] = defaultdict(list)
    for example, verdict in zip(examples, given, strict=True):
        for task, gold in example.gold.items():
            label = verdict.label(task)
            said = -1 if label is None else int(label == task.labels[0])
            rows[task.value].append((gold == task.labels[0], said))
            rows["all"].append((gold == task.labels[0], said))
    found = {}
    for name in (*GuardTask, "all"):
        if pairs := rows.get(str(name)):
            gold_column, said_column = (np.array(column) for column in zip(*pairs, strict=True))
            one = scores(count(gold_column.astype(bool), said_column.astype(np.int8)))
            found[str(name)] = {
                "rows": one.rows,
                "accuracy": one.accuracy,
                "f1": one.f1,
                "failure_rate": one.failure_rate,
            }
    return found


def agreement(one: Sequence[Verdict], other: Sequence[Verdict]) -> float:
    """The share of labels given by both that are the same."""
    pairs = [
        (a.label(task), b.label(task))
        for a, b in zip(one, other, strict=True)
        for task in GuardTask
        if a.label(task) and b.label(task)
    ]
    return sum(a == b for a, b in pairs) / max(len(pairs), 1)


def machine(device: str) -> str:
    if device == "cpu":
        return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--adapter")
    parser.add_argument("--dataset")
    parser.add_argument("--rows", type=int, default=40, help="0 takes all")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--fast-batch", type=int, default=0, help="0: as --batch")
    parser.add_argument("--max-new-tokens", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if not (asked.adapter and asked.dataset):
        print("name --adapter and --dataset: it measures a moderator of yours")
        return
    guard = open_moderator(asked.adapter, get_settings(), device=asked.device)
    examples = sample(read_dataset(asked.dataset).examples, asked.rows, asked.seed)
    found: dict[str, Any] = {
        "adapter": str(asked.adapter),
        "dataset": str(asked.dataset),
        "rows": len(examples),
        "seed": asked.seed,
        "batch": asked.batch,
        "max_new_tokens": asked.max_new_tokens,
        "machine": machine(asked.device),
    }
    given: dict[str, list[Verdict]] = {}
    for mode in MODES:
        size = asked.fast_batch if mode == "fast" and asked.fast_batch else asked.batch
        given[mode], seconds = verdicts(guard, examples, mode, size, asked.max_new_tokens)
        found[mode] = {
            "batch": size,
            "seconds_per_conversation": seconds / len(examples),
            "tokens_per_verdict": sum(v.tokens for v in given[mode]) / len(examples),
            "scores": judged(examples, given[mode]),
        }
    found["agreement"] = agreement(given["reason"], given["fast"])
    times = [found[mode]["seconds_per_conversation"] for mode in MODES]
    found["times_as_fast"] = times[0] / times[1]
    for mode in MODES:
        for task, one in found[mode]["scores"].items():
            f1 = "undefined" if one["f1"] is None else f"{one['f1']:.3f}"
            failed = one["failure_rate"]
            print(
                f"{mode:6} {task:20} {one['rows']:4} rows: accuracy {one['accuracy']:.3f}, "
                f"F1 {f1}, no verdict {failed:.3f}"
            )
    print(f"the same label: {found['agreement']:.3f} of those that both gave")
    print(f"seconds a conversation: reason {times[0]:.3f}, fast {times[1]:.3f}")
    print(f"ratio {found['times_as_fast']:.1f}")
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
