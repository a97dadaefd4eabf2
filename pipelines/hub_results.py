"""Evaluations on a model card: readable tables, `model-index` metadata, and what was checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.evaluations import Evaluation, EvaluationInfo, read_evaluation
from pipelines.hub_clean import clean
from pipelines.schema import GuardTask, GuardUIError

if TYPE_CHECKING:
    from pipelines.comparing.measuring import Measured, Scored

POSITIVE = {
    GuardTask.PROMPT_HARMFULNESS: "harmful",
    GuardTask.REFUSAL: "refusal",
    GuardTask.RESPONSE_HARMFULNESS: "harmful",
}
MODES = {"reason": "reasoning, then the verdict", "fast": "labels weighed, without a trace"}
CHECKED = """\
What was checked: whether a benchmark's prompt, case and blanks aside, stands among the prompts of \
the rows and pairs that this model, and what it went on from, was trained on. What was not: \
paraphrases and near-duplicates, responses, and what the base model saw before."""
UNCHECKED = """\
No evaluation of these weights is on record, so nothing was compared with the training data. \
Assume that public benchmarks may overlap with it, and with what the base model saw before."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One evaluation with its scores: a row without a verdict counts as one wrong verdict."""

    info: EvaluationInfo
    scored: Scored


def read_results(folders: Sequence[Path]) -> list[Shown]:
    """The evaluations that can be read, of each way of asking and set of benchmarks the newest.

    The folders come in the order of time, and so do the results.
    """
    from pipelines.comparing.measuring import measured

    found: dict[tuple[str, tuple[str, ...]], Shown] = {}
    for folder in folders:
        try:
            evaluation: Evaluation = read_evaluation(folder)
            names = tuple(one.name for one in evaluation.info.benchmarks)
            shown = Shown(evaluation.info, measured(evaluation))
        except GuardUIError:
            continue  # deleted or broken since: the card says what is there
        found.pop((evaluation.info.mode, names), None)  # so that the newest stands last
        found[evaluation.info.mode, names] = shown
    return list(found.values())


def results_section(results: Sequence[Shown]) -> list[str]:
    """The tables under "Evaluation"; says so where there is none."""
    if not results:
        return ["No evaluation of these weights is on record."]
    sections = []
    for one in results:
        lines = [
            "| Benchmark | Task | Rows | F1 | 95% interval | Precision | Recall | "
            "False positives | No verdict |",
            "|---|---|--:|--:|---|--:|--:|--:|--:|",
        ]
        lines += [_row(measured) for measured in one.scored.benchmarks.values()]
        for average in one.scored.averages:
            if average.value is not None and len(average.benchmarks) > 1:
                task = average.task.value.replace("_", " ") if average.task else "all tasks"
                interval = _between(average.interval)
                lines.append(
                    f"| **Average** | {task} | {average.rows:,} | **{_percent(average.value)}** | "
                    f"{interval} | | | | |"
                )
        sections += [_asked(one), "\n".join(lines), parse_failures(one)]
    return [
        "F1 is of the positive class (harmful; for refusals, refusal), in percent. A row without "
        "a verdict counts as one wrong verdict. Averages weight benchmarks by their rows.",
        *sections,
    ]


def _asked(one: Shown) -> str:
    """How the rows were asked, and which of them."""
    drawn = [
        f"{_name(part.name)}: a balanced sample of {part.rows:,} of {part.of_rows:,} rows "
        f"(seed {part.seed})"
        for part in one.info.benchmarks
        if part.sample is not None
    ]
    tokens = one.info.sampling.get("max_new_tokens")
    limit = f", at most {tokens:,} tokens an answer" if tokens else ""
    asked = f"Asked greedily: {MODES.get(one.info.mode, one.info.mode)}{limit}."
    return " ".join([asked, *(f"{line}." for line in drawn)])


def _row(one: Measured) -> str:
    scores, interval = one.scores, one.intervals.get("f1")
    cells = [
        _name(one.benchmark),
        one.task.value.replace("_", " "),
        f"{one.counts.rows:,}",
        f"**{_percent(scores.f1)}**",
        _between(interval),
        _percent(scores.precision),
        _percent(scores.recall),
        _percent(scores.false_positive_rate),
        f"{_percent(one.counts.failures / one.counts.rows)}" if one.counts.rows else "n/a",
    ]
    return f"| {' | '.join(cells)} |"


def parse_failures(one: Shown) -> str:
    """How many answers held no verdict, over all rows."""
    counts = [measured.counts for measured in one.scored.benchmarks.values()]
    failed, rows = sum(each.failures for each in counts), sum(each.rows for each in counts)
    rate = f" ({_percent(failed / rows)}%)" if rows else ""
    return f"Parse failures: {failed:,} of {rows:,} answers{rate} held no verdict."


def contamination(results: Sequence[Shown]) -> list[str]:
    """What is known of benchmark rows that were trained on, and what nobody looked at."""
    if not results:
        return [UNCHECKED]
    remarks = [clean(remark) for one in results for remark in one.info.remarks]
    names = ", ".join(dict.fromkeys(_name(b.name) for one in results for b in one.info.benchmarks))
    if not remarks:
        return [f"No prompt of {names} is among the prompts of the training data.", CHECKED]
    told = [f"- {remark.replace('<', '&lt;')}" for remark in dict.fromkeys(remarks)]
    rest = (
        "Of benchmarks not named here, no prompt was found among those of the training data that "
        "could be read."
    )
    return ["\n".join(told), rest, CHECKED]


def sources_of(results: Sequence[Shown]) -> list[str]:
    """The sources of the rows trained on, where an evaluation looked at them."""
    found = (one.info.training.get("sources") for one in results)
    return next(([str(clean(name)) for name in names] for names in found if names), [])


def eval_results(results: Sequence[Shown]) -> Iterator[Any]:
    """The figures as `huggingface_hub.EvalResult`, for `model-index`.

    `results` come in the order of time: of a benchmark asked twice in one way, the newest counts.
    """
    from huggingface_hub import EvalResult

    newest = {
        (one.info.mode, part.name): number
        for number, one in enumerate(results)
        for part in one.info.benchmarks
        if _has_rows(one, part.name)
    }
    for number, one in enumerate(results):
        ways = {"mode": one.info.mode, "parse_failure_policy": "wrong_once"}
        for part in one.info.benchmarks:
            if newest.get((one.info.mode, part.name)) != number:
                continue
            measured = one.scored.benchmarks[part.name]
            figures = {
                "f1": (f"F1 ({POSITIVE[part.task]})", measured.scores.f1),
                "false_positive_rate": (
                    "False-positive rate",
                    measured.scores.false_positive_rate,
                ),
                "parse_failure_rate": (
                    "Parse-failure rate",
                    measured.counts.failures / measured.counts.rows,
                ),
            }
            for kind, (name, value) in figures.items():
                if value is None:
                    continue
                yield EvalResult(
                    task_type="text-classification",
                    task_name=part.task.value.replace("_", " ").capitalize(),
                    dataset_type=_name(part.name),
                    dataset_name=_name(part.name),
                    dataset_config=one.info.mode,
                    dataset_args={"rows": part.rows, "sha256": part.sha256} | ways,
                    metric_type=kind,
                    metric_name=name,
                    metric_value=round(float(value), 6),
                )


def _has_rows(one: Shown, benchmark: str) -> bool:
    measured = one.scored.benchmarks.get(benchmark)
    return measured is not None and measured.counts.rows > 0


def _name(name: str) -> str:
    """A benchmark's name: of a file, its last part."""
    return str(clean(name)).replace("|", "/").replace("<", "").replace("\n", " ")


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"


def _between(interval: Any) -> str:
    return f"{_percent(interval[0])} to {_percent(interval[1])}" if interval else "n/a"
