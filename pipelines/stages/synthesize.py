"""Reasoning synthesis: a teacher writes traces for labelled rows; those that hold are kept.

The idea is that of GuardReasoner's training set (arXiv 2501.18492): a strong model is given the
conversation and its labels, and asked to reason its way to them. What is asked and what is kept:
`pipelines/teaching.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, field_validator

from pipelines.attempts import AttemptLog
from pipelines.engines.openai_server import ChatEndpoint, check_base_url, check_key_name
from pipelines.schema import InputError
from pipelines.stages.base import ESSENTIAL, Stage, StageContext
from pipelines.stages.data import DataConfig, is_to_come, load
from pipelines.synthesis import Asking, Terms
from pipelines.teaching import REASONS, once_each
from pipelines.template import GuardTemplate
from pipelines.traces import answer, write_rejects, write_traces
from pipelines.widening import Widening, WideRow, widen

REPORTS = 400
"""About so many points of each curve, however many rows there are."""
TELLING = 10
"""Points of the curve for each line in the log."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to write: the widened rows, each conversation once."""

    rows: list[WideRow]
    template: GuardTemplate
    remarks: list[str]


class SynthesizeConfig(DataConfig):
    """Write reasoning for labelled rows, with a teacher behind an OpenAI-compatible endpoint."""

    base_url: str = Field(
        "",
        title="Endpoint",
        description="Address of the endpoint, such as http://127.0.0.1:8000/v1.",
        json_schema_extra=ESSENTIAL,
    )
    teacher: str = Field(
        "",
        description="The teacher's name at the endpoint. Empty: no reasoning, answers only.",
        json_schema_extra=ESSENTIAL,
    )
    widen: Widening = Field(
        "none",
        description="canned adds refusing and complying responses to prompts; response lets the "
        "teacher decide what is unknown of rows with a response.",
        json_schema_extra=ESSENTIAL,
    )
    max_cost: float = Field(
        0,
        ge=0,
        description="Ask no more where it could cost more than this; 0 means no limit.",
        json_schema_extra=ESSENTIAL,
    )
    price_in: float = Field(
        0,
        ge=0,
        description="Price of a million tokens read, in the money of max_cost.",
        json_schema_extra=ESSENTIAL,
    )
    price_out: float = Field(
        0,
        ge=0,
        description="Price of a million tokens written.",
        json_schema_extra=ESSENTIAL,
    )
    tries: int = Field(3, ge=1, le=20, description="Most attempts at a row.")
    parallel: int = Field(4, ge=1, le=256, description="Requests under way at once.")
    requests_per_minute: float = Field(
        0, ge=0, description="Most requests a minute; 0 means no limit."
    )
    temperature: float | None = Field(
        0.7, ge=0, le=2, description="Spread of the traces; empty leaves it to the server."
    )
    top_p: float = Field(1.0, gt=0, le=1, description="Share of the probability drawn from.")
    max_tokens: int = Field(2048, ge=64, le=131_072, description="Longest trace, in tokens.")
    timeout: float = Field(300, gt=0, le=3600, description="Seconds to wait for one trace.")
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        title="Variable of the key",
        description="Environment variable that holds the key; it may be unset. Never the key.",
    )
    seed: int = Field(42, ge=0, description="Seed of the sample and of the canned responses.")

    # Faults of these two are told without their value, which might be a secret.
    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        return check_base_url(url) if url.strip() else ""

    @field_validator("api_key_env")
    @classmethod
    def _key_name(cls, name: str) -> str:
        return check_key_name(name)


def check(config: SynthesizeConfig) -> list[str]:
    """Reads the rows; raises for what can't work, and says what will be asked."""
    _check_settings(config)
    if is_to_come(config.dataset):
        return [f"{config.dataset} will make the rows"]
    plan = _plan(config)
    rows = len(plan.rows)
    if not config.teacher:
        able = sum(not row.unknown for row in plan.rows)
        if not able:
            raise InputError("teacher: a value is needed, for no row has every label")
        return [*plan.remarks, f"no teacher: {able:,} rows with answers only, no reasoning"]
    remarks = [*plan.remarks, f"{rows:,} to {rows * config.tries:,} requests to {config.teacher}"]
    if config.price_in or config.price_out:
        most = sum(_terms(config).most(row, plan.template) for row in plan.rows) * config.tries
        remarks.append(f"could cost {most:,.2f} at most, and should cost far less")
    return remarks


def _check_settings(config: SynthesizeConfig) -> None:
    if config.max_cost and not (config.price_in or config.price_out):
        raise InputError(
            f"max_cost={config.max_cost:g}: needs price_in or price_out, else nothing is counted"
        )
    if config.teacher and not config.base_url:
        raise InputError("base_url: a value is needed (http(s)://HOST[:PORT]/v1)")


def _plan(config: SynthesizeConfig) -> Plan:
    dataset = load(config, config.seed)
    examples, contradicted = once_each(dataset.examples)
    rows = widen(examples, config.widen, config.seed)
    remarks = [f"{len(dataset.examples):,} rows of {dataset.name}", *dataset.remarks]
    if contradicted:
        remarks.append(f"{contradicted:,} conversations left out: their rows contradict each other")
    if not rows:
        raise InputError(f"dataset={config.dataset}: no row is left to write for")
    if config.widen != "none":
        changed = sum(bool(row.widened) for row in rows)
        remarks.append(f"widened ({config.widen}): {len(rows):,} rows, {changed:,} of them so made")
    return Plan(rows, GuardTemplate.learn(dataset.instructions), remarks)


def run(config: SynthesizeConfig, context: StageContext) -> None:
    """Asks, judges, keeps; hands over the kept rows as a dataset."""
    _check_settings(config)
    context.activity("reading the data")
    plan = _plan(config)
    for remark in plan.remarks:
        context.activity(remark)
    log = AttemptLog.open(context.directory / "attempts.jsonl")
    if config.teacher:
        whole = _ask(config, plan, log, context)
    else:
        whole = answer(plan.rows, plan.template, log)
        context.metrics(len(plan.rows), numbers(config, log))
    hand_over(config, context, plan, log, whole)


def _ask(config: SynthesizeConfig, plan: Plan, log: AttemptLog, context: StageContext) -> bool:
    """Asks the teacher; False where the cost ended it before every row was settled."""
    every = max(1, len(plan.rows) // REPORTS)
    ids = [row.example.row_id for row in plan.rows]

    def report() -> None:
        if log.count % every == 0:
            context.metrics(log.count, numbers(config, log))
            settled = sum(log.settled(row_id, config.tries) for row_id in ids)
            context.progress(settled, len(ids))
            if log.count % (every * TELLING) == 0:
                context.activity(
                    f"{config.teacher} is writing: {len(log.outputs):,} traces kept, "
                    f"{settled:,} of {len(ids):,} rows done"
                )

    context.progress(sum(log.settled(row_id, config.tries) for row_id in ids), len(ids))
    context.activity(f"asking {config.teacher}")
    with ChatEndpoint(
        config.base_url,
        config.teacher,
        config.api_key_env,
        timeout=config.timeout,
        requests_per_minute=config.requests_per_minute,
    ) as endpoint:
        asking = Asking(endpoint, plan.template, log, _terms(config), context.should_stop)
        whole = asking.run(plan.rows, report)
    if log.count % every:  # attempts since the last report
        context.metrics(log.count, numbers(config, log))
    return whole


def _terms(config: SynthesizeConfig) -> Terms:
    return Terms(
        config.tries,
        config.parallel,
        config.temperature,
        # Some models refuse to be told even what they do anyway.
        config.top_p if config.top_p < 1 else None,
        config.max_tokens,
        config.price_in,
        config.price_out,
        config.max_cost,
    )


def numbers(config: SynthesizeConfig, log: AttemptLog) -> dict[str, float]:
    """The metrics so far: traces kept, attempts rejected by reason, tokens, cost."""
    return {
        "kept": len(log.outputs),
        "rejected": log.reasons.total(),
        **{f"rejected_{reason}": count for reason, count in sorted(log.reasons.items())},
        "prompt_tokens": log.prompt_tokens,
        "completion_tokens": log.completion_tokens,
        "cost": log.cost(config.price_in, config.price_out),
    }


def hand_over(
    config: SynthesizeConfig, context: StageContext, plan: Plan, log: AttemptLog, whole: bool
) -> None:
    """Writes `traces.jsonl` and `rejects.jsonl`. Raises InputError where nothing was kept."""
    found = numbers(config, log)
    write_rejects(context.directory / "rejects.jsonl", plan.rows, log)
    kept = [row for row in plan.rows if row.example.row_id in log.outputs]
    cost = f"cost {found['cost']:,.4g}"
    if not whole:
        cost = f"ended by max_cost={config.max_cost:g}, {cost}"
    if not kept:
        why = ", ".join(f"{n:,} {name} ({REASONS[name]})" for name, n in log.reasons.most_common())
        raise InputError(
            f"no trace was kept in {log.count:,} attempts: {why or cost}",
            advice="Look at rejects.jsonl in the job's folder; try another teacher, more tries, "
            "a larger max_tokens or, where it ran out, a larger max_cost.",
        )
    path = context.directory / "traces.jsonl"
    write_traces(path, kept, plan.template, log, config.teacher)
    by = f"by {config.teacher}" if config.teacher else "answers only"
    details = {"rows": len(kept), "asked_for": len(plan.rows), "complete": whole, **found}
    context.artifact("dataset", path, f"{len(kept):,} rows, {by}", details)
    context.activity(f"{len(kept):,} of {len(plan.rows):,} rows kept, {cost}")


STAGE = Stage(
    name="synthesize",
    title="Write reasoning",
    summary="Let a teacher reason its way to the labels of your rows, and keep what holds.",
    config=SynthesizeConfig,
    run=run,
    check=check,
    exclusive=False,
    order=5,
    presets={
        "local-server": {"base_url": "http://127.0.0.1:8000/v1", "parallel": 16},
        "answers-only": {"widen": "canned"},
    },
)
