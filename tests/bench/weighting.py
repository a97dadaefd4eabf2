"""Do the weights of HS-DPO matter? Each gamma on the same pairs with several seeds, held out.

For a trained R-SFT adapter and its mined pairs: HS-DPO with each gamma and seed, then k answers of
every model to the held-out conversations. Held-out hard samples are those on which the R-SFT model
was of two minds in a draw of its own; all models, the R-SFT one too, are then judged on a second
draw, for on the first one the hard ones were selected. Intervals are bootstrapped over
conversations, seeds taken together. Wants GPUs; without one it only tells how to call it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np

from pipelines.settings import get_settings

K, TOP_P, TEMPERATURE = 4, 0.95, 0.7
SELECTING, JUDGING = 1, 2
REPEATS = 2000


def answers(
    adapter: str, rows: str, seed: int, out: Path, batch: int, selected: Path | None
) -> None:
    """Writes {row_id: {task: [right, wrong or None, k times]}} of a moderator on the rows.

    `selected` is what an earlier draw wrote: only what was hard there is asked again.
    """
    from pipelines.classify import classify, open_moderator
    from pipelines.datasets import read_dataset
    from pipelines.engines.base import Sampling
    from pipelines.hard_samples import find_hard_sample, judge
    from pipelines.stages.mine import once_each

    examples = once_each(read_dataset(rows).examples)
    if selected is not None:
        before = json.loads(selected.read_text("utf-8"))
        examples = [example for example in examples if before[example.row_id]["hard"]]
    examples.sort(key=lambda e: len(e.prompt) + len(e.response or ""), reverse=True)
    moderator = open_moderator(adapter, get_settings(), device="cuda")
    sampling = Sampling(TEMPERATURE, TOP_P, 1024, K, seed)
    found: dict[str, Any] = {}
    for start in range(0, len(examples), batch):
        part = examples[start : start + batch]
        given = classify(part, moderator.engine, moderator.template, moderator.tokenizer, sampling)
        for example, verdicts in zip(part, given, strict=True):
            hard = find_hard_sample(example, verdicts)
            found[example.row_id] = {
                "hard": hard.task.value if hard else None,
                "failures": sum(bool(one.error) for one in verdicts),
                "right": {
                    task.value: [judge(one, example.gold, task) for one in verdicts]
                    for task in example.gold
                },
            }
    out.write_text(json.dumps(found), "utf-8")


def accuracies(found: dict[str, Any], asked: list[tuple[str, str]]) -> np.ndarray[Any, Any]:
    """Share of right answers (N,) to each (row, task); one that can't be parsed isn't right."""
    return np.array(
        [sum(one is True for one in found[row]["right"][task]) / K for row, task in asked]
    )


def interval(values: np.ndarray[Any, Any], seed: int = 0) -> str:
    """Mean of (N,) in percent, with a 95% bootstrap interval over the N conversations."""
    drawn = np.random.default_rng(seed).integers(0, len(values), (REPEATS, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return f"{100 * values.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def report(results: dict[str, Any], gammas: list[float], seeds: list[int]) -> dict[str, Any]:
    """The table: accuracy on held-out hard samples, and differences in pairs."""
    selecting = results["rsft-select"]
    hard = [(row, one["hard"]) for row, one in selecting.items() if one["hard"]]
    told: dict[str, Any] = {"hard_samples": len(hard), "conversations": len(selecting)}
    base = accuracies(results["rsft"], hard)
    told["R-SFT, the draw that selected"] = interval(accuracies(selecting, hard))
    told["R-SFT"] = interval(base)
    by_gamma: dict[float, np.ndarray[Any, Any]] = {}
    for gamma in gammas:
        runs = [accuracies(results[f"{gamma}-{seed}"], hard) for seed in seeds]
        by_gamma[gamma] = np.mean(runs, axis=0)
        told[f"gamma {gamma}"] = interval(by_gamma[gamma])
        told[f"gamma {gamma}, by seed"] = [round(100 * float(run.mean()), 1) for run in runs]
        told[f"gamma {gamma} - R-SFT"] = interval(by_gamma[gamma] - base)
    for gamma in gammas[1:]:
        change = interval(by_gamma[gamma] - by_gamma[gammas[0]])
        told[f"gamma {gamma} - gamma {gammas[0]}"] = change
    failures = {
        name: round(100 * sum(one["failures"] for one in found.values()) / (K * len(found)), 2)
        for name, found in results.items()
    }
    return told | {"not parsed, in percent": failures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter")
    parser.add_argument("--pairs")
    parser.add_argument("--heldout")
    parser.add_argument("--out", type=Path, default=Path("weighting"))
    parser.add_argument("--gammas", default="0,0.2,0.5")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--slots", default="0", help="a GPU's number for each process at once")
    parser.add_argument("--batch", type=int, default=256, help="conversations answered at once")
    parser.add_argument("--set", action="append", default=[], help="field=value of HS-DPO")
    parser.add_argument("--answers", nargs=4, metavar=("ADAPTER", "ROWS", "SEED", "OUT"))
    parser.add_argument("--selected", type=Path)
    options = parser.parse_args()
    if options.answers:
        adapter, rows, seed, out = options.answers
        answers(adapter, rows, int(seed), Path(out), options.batch, options.selected)
        return
    if not (options.adapter and options.pairs and options.heldout):
        print("give --adapter, --pairs and --heldout, on a machine with a GPU")
        return
    run(options)


def run(options: argparse.Namespace) -> None:
    """Trains and judges all models, as many at once as there are slots."""
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    free: Queue[str] = Queue()
    for slot in options.slots.split(","):
        free.put(slot)
    start = time.perf_counter()

    def call(name: str, words: list[str]) -> None:
        slot = free.get()
        # A home each: in one home, the jobs of a device would wait for each other.
        home = out / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "models").exists():
            (home / "models").symlink_to(get_settings().models_dir)
        env = os.environ | {"CUDA_VISIBLE_DEVICES": slot, "GUARDUI_HOME": str(home)}
        try:
            with (out / f"{name}.log").open("w") as log:
                done = subprocess.run(words, env=env, stdout=log, stderr=log)
        finally:
            free.put(slot)
        print(f"{time.perf_counter() - start:.0f} s: {name}: exit {done.returncode}", flush=True)
        if done.returncode:
            raise RuntimeError(f"{name} failed: see {out / name}.log")

    def judged(name: str, adapter: str, seed: int) -> dict[str, Any]:
        file = out / f"{name}.json"
        if not file.exists():
            words = [adapter, options.heldout, str(seed), str(file)]
            here = [sys.executable, __file__, "--batch", str(options.batch), "--answers", *words]
            if name != "rsft-select":
                here += ["--selected", str(out / "rsft-select.json")]
            call(f"answers-{name}", here)
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return found

    def trained(gamma: float, seed: int) -> dict[str, Any]:
        name = f"{gamma}-{seed}"
        adapter = out / "homes" / name / "jobs" / "1" / "adapter"
        if not adapter.exists():
            given = [f"adapter={options.adapter}", f"pairs={options.pairs}", f"gamma={gamma}"]
            words = [sys.executable, "-m", "guardui.cli", "run", "hsdpo", "--json"]
            for value in [*given, f"seed={seed}", *options.set]:
                words += ["--set", value]
            call(name, words)
        selecting.result()
        return judged(name, str(adapter), JUDGING)

    gammas = [float(one) for one in options.gammas.split(",")]
    seeds = [int(one) for one in options.seeds.split(",")]
    with ThreadPoolExecutor(max_workers=64) as pool:
        selecting = pool.submit(judged, "rsft-select", options.adapter, SELECTING)
        asked = {"rsft-select": selecting}
        for seed in seeds:
            for gamma in gammas:
                asked[f"{gamma}-{seed}"] = pool.submit(trained, gamma, seed)
        selecting.result()
        asked["rsft"] = pool.submit(judged, "rsft", options.adapter, JUDGING)
        results = {name: one.result() for name, one in asked.items()}
    told = report(results, gammas, seeds)
    (out / "report.json").write_text(json.dumps(told, indent=2), "utf-8")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
