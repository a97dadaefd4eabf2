"""Evaluation: subjects answer the rows of benchmarks, and every answer is kept.

A subject is a moderator, a bare base model, a file of answers that were stored before, or a
baseline. Each gets an evaluation of its own; a conversation that several benchmarks share is
answered once. Gates, written before, say what the moderators must come to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from pipelines import presets
from pipelines.asking import conversations
from pipelines.baselines import ALWAYS, NEVER, WORDS
from pipelines.classify import Mode
from pipelines.evaluations import Evaluation
from pipelines.gates import check_gates, parse_gates
from pipelines.plan import Workload, accept
from pipelines.schema import GuardTask, InputError
from pipelines.stages.base import ESSENTIAL, PairSetRef, Stage, StageConfig, StageContext
from pipelines.stages.data import is_to_come
from pipelines.stages.evaluate_rows import read_benchmarks, read_stored
from pipelines.stages.evaluate_work import FIRST, Work, judge_all
from pipelines.stages.workloads import Trained, generation_workload
from pipelines.subjects import Subject, subjects_of
from pipelines.token_counts import count_tokens, prompt_overhead


def _list(kind: str = "", **extra: Any) -> dict[str, Any]:
    return ({"reference": kind} if kind else {}) | extra


class EvaluateConfig(StageConfig):
    """Ask moderators the rows of benchmarks, and keep every answer."""

    adapters: list[str] = Field(
        [],
        description="Moderators: artifact:ID, job:ID, folders or Hub ids.",
        json_schema_extra=_list("adapter", **ESSENTIAL),
    )
    base_models: list[str] = Field(
        [],
        description="Bare base models, asked in the default format.",
        json_schema_extra=_list("model"),
    )
    predictions: list[str] = Field(
        [],
        description="Stored answers: files with prompt, label and predict in each line, or folders "
        "of them named after their benchmarks.",
        json_schema_extra=_list("predictions"),
    )
    baselines: list[str] = Field(
        [ALWAYS, NEVER, WORDS],
        description=f"What stands beside them: {ALWAYS}, {NEVER}, {WORDS}.",
    )
    benchmarks: list[str] = Field(
        [],
        description="Benchmarks by name, or labelled files; `guardui benchmarks` lists the names.",
        json_schema_extra=_list("benchmark", **ESSENTIAL),
    )
    folder: str = Field(
        "",
        description="A folder of benchmark files in the authors' form; what it lacks is fetched "
        "from the Hub.",
        json_schema_extra=_list("folder", **ESSENTIAL),
    )
    hard_samples: PairSetRef = Field(
        "",
        description="A pair set whose hard samples are asked too: compare a moderator before and "
        "after HS-DPO on them.",
    )
    max_rows: int = Field(
        0,
        ge=0,
        description="Quick mode: a balanced sample of so many rows of each benchmark; 0: all.",
        json_schema_extra=ESSENTIAL,
    )
    mode: Mode = Field(
        "reason",
        description="Let them reason, or weigh the labels at once without a trace (fast).",
    )
    probabilities: bool = Field(
        True, description="Weigh both labels after each trace; costs one more reading of it."
    )
    gates: list[str] = Field(
        [],
        description="What the moderators must come to, such as: accuracy >= 0.60, parse_failures < "
        "1%, overall within 2 points. One that is missed fails the job, and what waits for it.",
        json_schema_extra={"group": "Gates"},
    )
    gate_reference: str = Field(
        "",
        description="What gates compare with: an evaluation, or `first`, the first moderator here, "
        "which is held to the gates that compare with nothing.",
        json_schema_extra=_list("evaluation", group="Gates"),
    )
    names: list[str] = Field(
        [], description="Names for the moderators and files in tables, in their order."
    )
    train_dataset: str = Field(
        "",
        description="Rows that tf-idf learns from; empty: those that the first moderator here was "
        "trained on.",
        json_schema_extra=_list("dataset"),
    )
    prediction_task: GuardTask | None = Field(
        None, description="The task of stored answers whose file isn't named after a benchmark."
    )
    batch_size: int = Field(8, ge=1, le=4096, description="Conversations answered together.")
    max_new_tokens: int = Field(1024, ge=16, le=32_768, description="Longest answer, in tokens.")
    seed: int = Field(42, ge=0, description="Seed of the sample.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )
    ignore_memory: bool = Field(
        False, description="Run it even where the estimate says that memory won't do."
    )
    k: ClassVar[int] = 1


def check(config: EvaluateConfig) -> list[str]:
    """Looks at the subjects, the rows, the gates and the memory; raises for what can't work."""
    return accept(workload(config))


def workload(config: EvaluateConfig) -> Workload:
    """What the run asks of a machine. Raises for what can't work."""
    subjects = known_subjects(config)
    if not subjects:
        raise InputError(
            "adapters: a value is needed (artifact:ID, job:ID, a folder or a Hub id), or "
            "base_models, or predictions"
        )
    asked = [one for one in subjects if one.asked]
    rows = read_benchmarks(config) if asked or config.benchmarks else []
    stored = [read_stored(one, config) for one in subjects if one.kind == "predictions"]
    if asked and not rows:
        raise InputError(
            "benchmarks: a value is needed (a benchmark's name, or a labelled file), or "
            "hard_samples"
        )
    if gates := parse_gates(config.gates):
        judged = [*rows, *(part for one in stored for part in one.asked)]
        tasks = {one.benchmark: one.task for one in judged}
        check_gates(gates, tasks, reference=bool(config.gate_reference))
        if config.gate_reference == FIRST and len(subjects) < 2:
            raise InputError(
                f"gate_reference={FIRST}: there is one moderator; the first of several is what "
                "the others are compared with"
            )
    examples = conversations(rows)
    remarks = [f"{len(examples):,} conversations, {len(asked):,} moderators"] if asked else []
    remarks += [f"{one.info.name}: {remark}" for one in rows for remark in one.info.remarks]
    remarks += [f"{one.subject.name}: {one.rows:,} stored answers" for one in stored]
    base = base_asked(config, asked)
    fixed = prompt_overhead((), base)
    texts = [partial("{}\n{}".format, one.prompt, one.response or "") for one in examples]
    prompts = [length + fixed for length in count_tokens(texts, base)] * len(asked)
    return generation_workload(config, base, prompts, remarks=remarks)


def known_subjects(config: EvaluateConfig, baselines: bool = False) -> list[Subject]:
    """All subjects but those that jobs have yet to make; with the baselines where asked."""
    adapters = [one for one in config.adapters if not is_to_come(one)]
    to_come = [Subject(one, "adapter", one) for one in config.adapters if is_to_come(one)]
    names = config.names if not to_come else []
    found = subjects_of(
        adapters,
        config.base_models,
        config.predictions,
        config.baselines if baselines else [],
        names,
    )
    return [*to_come, *found]


def base_asked(config: EvaluateConfig, asked: Sequence[Subject]) -> str:
    """The base model of the first that is asked; empty where it isn't known yet."""
    if not asked:
        return ""
    first = asked[0]
    return first.reference if first.kind == "base" else Trained.of_adapter(first.reference).base


def run(config: EvaluateConfig, context: StageContext) -> None:
    """Asks all subjects, hands over an evaluation of each, and holds them to the gates."""
    context.activity("reading the benchmarks")
    subjects = known_subjects(config, baselines=True)
    asked = [one for one in subjects if one.asked]
    rows = read_benchmarks(config) if asked or config.benchmarks else []
    stored = {one: read_stored(one, config) for one in subjects if one.kind == "predictions"}
    # Baselines stand beside everything that is scored, stored answers too.
    named = {part.benchmark: part for one in stored.values() for part in one.asked}
    everything = list((named | {part.benchmark: part for part in rows}).values())
    work = Work(config, context, len(conversations(rows)) * len(asked))
    made: list[Evaluation] = []
    for subject in subjects:
        if subject.asked:
            made.append(work.ask(subject, rows))
        elif subject.kind == "predictions":
            made.append(work.keep_stored(stored[subject]))
        else:
            if (computed := work.compute(subject, everything, config)) is None:
                continue
            made.append(computed)
        work.hand_over(made[-1])
    judge_all(config, context, made)


STAGE = Stage(
    name="evaluate",
    title="Evaluate",
    summary="Score moderators on benchmarks, beside the published ones and baselines.",
    config=EvaluateConfig,
    run=run,
    check=check,
    workload=workload,
    order=50,
    presets=presets.EVALUATE,
)
