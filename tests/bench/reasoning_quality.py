"""The reasoning score on real predictions and traces: distributions, what it tells, how fast.

Prints the tables of `docs/reasoning_quality.md` as Markdown. Needs the real data, in
`GUARDUI_REALDATA` or beside the project; about a minute on two cores.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from pipelines.benchmarks import BENCHMARKS
from pipelines.reasoning_quality import LABEL_FREE, Quality, right, score_trace
from pipelines.schema import GuardExample, Verdict
from pipelines.template import GuardTemplate

ROOT = Path(__file__).parents[2]
TEMPLATE = GuardTemplate.default()
RESAMPLES, SEED = 1000, 0
LABEL_FREE_SCORE = "the three together"


def real_data() -> Path:
    return Path(os.environ.get("GUARDUI_REALDATA", ROOT / ".." / "shared" / "data")).resolve()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def predictions(folder: Path) -> Iterator[tuple[GuardExample, Verdict]]:
    """Every stored prediction of one model, with the conversation and its gold label."""
    for path in sorted(folder.glob("*.jsonl")):
        for row in lines(path):
            start = row["prompt"].index("Human user:\n")
            prompt, response = TEMPLATE.split_input(row["prompt"][start:])
            gold = {BENCHMARKS[path.stem].task: row["label"]}
            example = GuardExample(prompt, response, gold, source=path.stem)
            yield example, TEMPLATE.parse(row["predict"], example)


def label_free(quality: Quality) -> float:
    """The score without the label, over its three parts."""
    return Quality(None, quality.coherence, quality.relevance, quality.specificity).total


def parts(qualities: Sequence[Quality]) -> dict[str, np.ndarray]:
    found = {name: np.array([getattr(one, name) for one in qualities]) for name in LABEL_FREE}
    return found | {LABEL_FREE_SCORE: np.array([label_free(one) for one in qualities])}


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """The share of (positive, negative) pairs in which the positive one is higher, ties a half."""
    count = int(positive.sum())
    ranks = rankdata(values)
    least = count * (count + 1) / 2
    return float((ranks[positive].sum() - least) / (count * (len(values) - count)))


def auc_within(values: np.ndarray, positive: np.ndarray, groups: np.ndarray) -> float:
    """The same over pairs of one group only, so that no group's mix of right and wrong tells."""
    total = weight = 0.0
    for group in np.unique(groups):
        here = groups == group
        pairs = int(positive[here].sum()) * int((~positive[here]).sum())
        if pairs:
            total += pairs * auc(values[here], positive[here])
            weight += pairs
    return total / weight


def interval(values: np.ndarray, positive: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """95% by the bootstrap over rows, within each group and class."""
    chance = np.random.default_rng(SEED)
    strata = [
        np.flatnonzero((groups == group) & (positive == side))
        for group in np.unique(groups)
        for side in (True, False)
    ]
    found = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([chance.choice(rows, len(rows)) for rows in strata if len(rows)])
        found.append(auc_within(values[rows], positive[rows], groups[rows]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        print("| " + " | ".join(cells) + " |")
    print()


def of_predictions(name: str, folder: Path) -> None:
    """Distributions; AUC of right against wrong; `length` is Spearman's correlation with it."""
    rows = list(predictions(folder))
    # Of this process alone: the machine may be busy.
    start = time.process_time()
    qualities = [score_trace(verdict, example) for example, verdict in rows]
    speed = len(rows) / (time.process_time() - start)
    is_right = np.array([right(verdict, example) for example, verdict in rows])
    groups = np.array([example.source for example, _ in rows])
    print(f"### {name}\n\n{len(rows):,} predictions, {speed:,.0f} scored a second, "
          f"{is_right.mean():.1%} right.\n")  # fmt: skip
    lengths = [len(verdict.raw) for _, verdict in rows]
    shown: list[list[object]] = []
    for part, values in parts(qualities).items():
        quantiles = [float(q) for q in np.quantile(values, [0.05, 0.25, 0.5, 0.75])]
        low, high = interval(values, is_right, groups)
        within = f"{auc_within(values, is_right, groups):.3f} ({low:.3f} to {high:.3f})"
        by_length = float(spearmanr(values, lengths).statistic)
        row = [part, float(values.mean()), *quantiles, auc(values, is_right), within, by_length]
        shown.append(row)
    head = ["part", "mean", "5%", "25%", "median", "75%", "AUC", "AUC within benchmark", "length"]
    table(head, shown)
    ranks = rankdata(parts(qualities)[LABEL_FREE_SCORE]) / len(rows)
    low_rows = []
    for (example, verdict), quality, rank in zip(rows, qualities, ranks, strict=True):
        repetition = next(one for one in quality.checks if one.name == "repetition")
        if verdict.error or repetition.value < 0.5:
            why = "not parsed" if verdict.error else "repeats itself"
            low_rows.append([example.source, len(verdict.raw), why, label_free(quality),
                             f"{rank:.1%}"])  # fmt: skip
    print("The predictions that weren't parsed or repeat themselves, and where they stand:\n")
    table(["benchmark", "characters", "fault", "score without label", "rank from below"], low_rows)


def of_traces(path: Path) -> None:
    """Teachers' traces against the same traces shuffled among conversations of the same kind."""
    rows = lines(path)
    talks = [GuardExample(*TEMPLATE.split_input(row["input"])) for row in rows]
    chance, own, other = random.Random(SEED), [], []
    for kind in (True, False):
        here = [i for i, talk in enumerate(talks) if (talk.response is None) is kind]
        shuffled = chance.sample(here, len(here))
        for i, j in zip(here, shuffled, strict=True):
            if talks[i].prompt != talks[j].prompt:
                for which, found in ((i, own), (j, other)):
                    verdict = TEMPLATE.parse(rows[which]["output"], talks[i])
                    found.append(score_trace(verdict, talks[i]))
    print(f"### Teachers' traces\n\n{len(own):,} traces, each under its own conversation and "
          "under another one of the same kind.\n")  # fmt: skip
    positive = np.array([True] * len(own) + [False] * len(other))
    groups = np.zeros(len(positive))
    shown = []
    for part in parts(own):
        first, second = parts(own)[part], parts(other)[part]
        both = np.concatenate([first, second])
        low, high = interval(both, positive, groups)
        shown.append([part, float(first.mean()), float(second.mean()),
                      f"{auc(both, positive):.3f} ({low:.3f} to {high:.3f})"])  # fmt: skip
    table(["part", "own conversation", "another's", "AUC"], shown)


def main() -> None:
    data = real_data()
    if not data.is_dir():
        print(f"no real data at {data}: nothing was measured")
        return
    for size in ("1B", "8B"):
        of_predictions(f"GuardReasoner-{size}", data / "predictions" / f"GuardReasoner-{size}")
    of_traces(data / "traces" / "train.jsonl")


if __name__ == "__main__":
    main()
