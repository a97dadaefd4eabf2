"""Scoring many answers, by computation or by a judge, kept in a file so that nothing is scored
twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Literal, Protocol

from pipelines.engines.openai_server import ChatEndpoint
from pipelines.judge import Judge
from pipelines.quality_pairs import Scored, qualities_from, score_row
from pipelines.reasoning_quality import LABEL_FREE, Quality, score_trace
from pipelines.schema import GuardExample, HardSample, Verdict

logger = logging.getLogger(__name__)

Scorer = Literal["computed", "judge"]
Grade = Callable[[Sequence[tuple[Verdict, GuardExample]]], list[Quality | None]]
"""Traces with their conversations -> qualities in the same order, None where the judge failed."""


class ScoringSettings(Protocol):
    """The fields of a stage's config that say who scores."""

    scorer: Scorer
    judge_url: str
    judge_model: str
    judge_key_env: str
    judge_parallel: int
    judge_attempts: int
    judge_requests_per_minute: float


@contextmanager
def grader(config: ScoringSettings, should_stop: Callable[[], bool]) -> Iterator[Grade]:
    """What grades, by the config; the judge's connections are closed at the end."""
    if config.scorer == "computed":
        yield lambda asked: [score_trace(verdict, example) for verdict, example in asked]
        return
    with ChatEndpoint(
        config.judge_url,
        config.judge_model,
        config.judge_key_env,
        requests_per_minute=config.judge_requests_per_minute,
    ) as endpoint:
        judge = Judge(endpoint, attempts=config.judge_attempts, parallel=config.judge_parallel)

        def grade(asked: Sequence[tuple[Verdict, GuardExample]]) -> list[Quality | None]:
            found = judge.judge(asked, should_stop)
            for (_, example), one in zip(asked, found, strict=True):
                if one.error:
                    logger.warning("%s: not judged: %s", example.row_id, one.error)
            return [one.quality for one in found]

        yield grade


def score_answers(
    answered: Sequence[tuple[GuardExample, Sequence[Verdict]]],
    grade: Grade,
    path: Path,
    *,
    at_once: int,
    on_scored: Callable[[int, int], None],
) -> list[Scored]:
    """Conversations with their answers -> the same with scores, `at_once` of them at a time.

    Scores that `path` has already are taken from there, new ones added to it. `on_scored` hears
    of (done, all) after each batch; what it raises ends the scoring with nothing lost.
    """
    known = _read(path)
    waiting = [one for one in answered if one[0].row_id not in known]
    done = len(answered) - len(waiting)
    for start in range(0, len(waiting), at_once):
        batch = waiting[start : start + at_once]
        grades = iter(grade([(v, example) for example, verdicts in batch for v in verdicts]))
        with path.open("a", encoding="utf-8") as file:
            for example, verdicts in batch:
                scored = Scored(example, verdicts, [next(grades) for _ in verdicts])
                known[example.row_id] = scored.qualities
                file.write(json.dumps(score_row(scored), ensure_ascii=False) + "\n")
        done += len(batch)
        on_scored(done, len(answered))
    return [Scored(example, verdicts, known[example.row_id]) for example, verdicts in answered]


def _read(path: Path) -> dict[str, Sequence[Quality | None]]:
    """row id -> scores. A line that was cut off when a run was killed is dropped."""
    if not path.is_file():
        return {}
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn:
        path.write_bytes(whole + b"\n" if whole else b"")
    rows = [json.loads(line) for line in whole.decode("utf-8").split("\n") if line]
    return {row["row_id"]: qualities_from(row) for row in rows}


def summary(scored: Sequence[Scored], samples: Sequence[HardSample]) -> dict[str, float]:
    """Counts of conversations, answers and pairs, and the mean of the score and its parts."""
    every = [one for row in scored for one in row.qualities]
    qualities = [one for one in every if one is not None]
    verdicts = [verdict for row in scored for verdict in row.verdicts]
    found: dict[str, float] = {
        "rows": len(scored),
        "pairs": len(samples),
        "answers": len(verdicts),
        "not_judged": len(every) - len(qualities),
        "parse_failure_rate": sum(bool(one.error) for one in verdicts) / max(len(verdicts), 1),
    }
    if qualities:
        found["score"] = fmean(one.total for one in qualities)
        for name in LABEL_FREE:
            found[name] = fmean(float(getattr(one, name)) for one in qualities)
    return found


def in_words(found: Mapping[str, float]) -> str:
    """The summary as a sentence."""
    text = f"{found['pairs']:,.0f} pairs from {found['rows']:,.0f} conversations"
    if "score" in found:
        parts = ", ".join(f"{name} {found[name]:.2f}" for name in LABEL_FREE)
        text += f"; mean score {found['score']:.2f} ({parts})"
    if found["not_judged"]:
        text += f"; the judge failed on {found['not_judged']:,.0f} of {found['answers']:,.0f}"
    return text
