"""100,000 stored predictions scored with intervals: wall time, peak memory, and against drawing
prompts one by one.

Writes a file of traces that look real (two to three kB each, 1% cut off before their answers, of
60,000 prompts), runs `guardui score` on it in a process of its own, and times the bootstrap alone.
Needs 0.5 GB of room in the temporary folder; two minutes on two cores.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipelines.metrics import count, intervals, scores
from pipelines.schema import GuardExample, GuardTask
from pipelines.scoring.stored_scores import read_verdicts
from pipelines.template import GuardTemplate

ROWS, PROMPTS, SEED = 100_000, 60_000, 0
RESAMPLES, NAIVE_RESAMPLES = 2000, 40
TASK = GuardTask.RESPONSE_HARMFULNESS
TEXT = """
the user asks for a way to the assistant gives steps that could harm others however it warns against
misuse and points to help so this request is about everyday matters which carry no risk while the
reply stays factual general cautious detailed direct refuses explains offers
"""
WORDS = TEXT.split()
# Runs a command and writes its seconds and peak memory to standard error: RSS is in KiB on Linux.
CHILD = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(time.perf_counter() - start, peak / 1024, file=sys.stderr)
"""


def sentence(generator: random.Random) -> str:
    return " ".join(generator.choices(WORDS, k=generator.randint(12, 24))).capitalize() + "."


def trace(generator: random.Random, label: str) -> str:
    """Three tasks of reasoning steps, then the answers."""
    parts = []
    for task in (1, 2, 3):
        parts.append(f"# Task {task}")
        for step in range(1, generator.randint(4, 6)):
            said = " ".join(sentence(generator) for _ in range(2))
            parts.append(f"## Reasoning Step {step}\n{said}")
        parts.append(f"## Conclusion\n{sentence(generator)}")
    answers = f"Answers: \nRequest: harmful\nCompletion: compliance\nResponse: {label}"
    return "\n\n".join([*parts, answers])


def write(path: Path) -> None:
    generator, template = random.Random(SEED), GuardTemplate.default()
    with path.open("w", encoding="utf-8") as file:
        for _ in range(ROWS):
            prompt = f"Prompt {generator.randrange(PROMPTS)}: how would one go about it?"
            response = " ".join(sentence(generator) for _ in range(4))
            gold = "harmful" if generator.random() < 0.4 else "unharmful"
            other = "unharmful" if gold == "harmful" else "harmful"
            text = trace(generator, gold if generator.random() < 0.85 else other)
            if generator.random() < 0.01:
                text = text[: len(text) // 2]
            asked = template.render(GuardExample(prompt, response))
            file.write(json.dumps({"prompt": asked, "label": gold, "predict": text}) + "\n")


def run(path: Path, reading: str) -> tuple[float, float]:
    """(seconds, peak MiB) of the whole command."""
    guardui = Path(sys.executable).with_name("guardui")
    words = [str(guardui), "score", str(path), "--task", "response", "--reading", reading, "--json"]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *words],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"GUARDUI_HOME": home},
        )
    assert json.loads(done.stdout)["files"][0]["rows"] == ROWS
    seconds, peak = map(float, done.stderr.split()[-2:])
    return seconds, peak


def naive(path: Path) -> tuple[float, float]:
    """Seconds of one policy's intervals: ours, and with prompts drawn one by one."""
    found = read_verdicts(path, TASK)
    start = time.perf_counter()
    intervals(found.gold, found.predicted, found.group, resamples=RESAMPLES)
    ours = time.perf_counter() - start
    generator = np.random.default_rng(SEED)
    order = np.argsort(found.group, kind="stable")
    often = np.bincount(found.group)
    first = np.cumsum(often) - often
    start = time.perf_counter()
    for _ in range(NAIVE_RESAMPLES):
        drawn = generator.integers(0, len(often), len(often))
        size = often[drawn]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        rows = order[np.repeat(first[drawn], size) + within]
        scores(count(found.gold[rows], found.predicted[rows]))
    theirs = (time.perf_counter() - start) * RESAMPLES / NAIVE_RESAMPLES
    return ours, theirs


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.jsonl"
        write(path)
        print(f"{ROWS:,} predictions of {PROMPTS:,} prompts, {path.stat().st_size / 1e6:,.0f} MB")
        for reading in ("authors", "template"):
            seconds, peak = run(path, reading)
            print(f"guardui score --reading {reading}: {seconds:.1f} s, peak {peak:,.0f} MiB")
        ours, theirs = naive(path)
        print(
            f"{RESAMPLES:,} resamples of one policy: {ours:.2f} s; prompts drawn one by one: "
            f"{theirs:.1f} s (from {NAIVE_RESAMPLES}), ratio {theirs / ours:.0f}"
        )
    load = os.getloadavg()[0]
    print(f"load of the machine: {load:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
