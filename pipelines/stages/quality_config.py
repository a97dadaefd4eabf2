"""The fields of reasoning-quality DPO, and what is looked at before it is queued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pydantic import Field, field_validator

from pipelines.benchmarks import benchmark_warning
from pipelines.engines.openai_server import check_base_url, check_key_name
from pipelines.mining import SET_NAME
from pipelines.plan import Workload, accept
from pipelines.quality_pairs import GapWeighting
from pipelines.quality_scoring import Scorer
from pipelines.schema import GuardExample, InputError
from pipelines.stages.base import ESSENTIAL
from pipelines.stages.data import is_to_come
from pipelines.stages.hsdpo import PreferenceConfig
from pipelines.stages.mine import DrawConfig, load_gold, named_benchmarks, once_each
from pipelines.stages.training import check_training
from pipelines.stages.workloads import Trained, training_workload
from pipelines.token_counts import count_tokens, prompt_overhead


class QualityConfig(DrawConfig, PreferenceConfig):
    """Draw several answers, score their reasoning, and train on the better over the worse."""

    scorer: Scorer = Field(
        "computed",
        description="computed: from the text alone; judge: by a model behind an endpoint.",
        json_schema_extra=ESSENTIAL,
    )
    min_gap: float = Field(
        0.1,
        gt=0,
        le=1,
        description="How much better the better answer must have scored.",
        json_schema_extra=ESSENTIAL,
    )
    pair_weights: GapWeighting = Field(
        "uniform", description="uniform: every pair weighs 1; gap: more, the wider its gap."
    )
    gamma: float = Field(0.2, ge=0, lt=1, description="Spread of the weights by gap around 1.")
    answers_at_once: int = Field(8, ge=1, le=4096, description="Conversations answered together.")
    judge_url: str = Field(
        "", description="Address of the judge's endpoint, such as http://127.0.0.1:8000/v1."
    )
    judge_model: str = Field("", description="The judge's name at the endpoint.")
    judge_key_env: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key; it may be unset. Never the key.",
    )
    judge_parallel: int = Field(4, ge=1, le=256, description="Traces judged at once.")
    judge_attempts: int = Field(3, ge=1, le=20, description="Attempts at an answer with grades.")
    judge_requests_per_minute: float = Field(
        0, ge=0, description="Most requests a minute; 0 means no limit."
    )
    name: str = Field(
        "",
        max_length=100,
        pattern=SET_NAME,
        description="Name of the pair set, empty for the job's; a known name gets a new version.",
    )

    # Faults of these two are told without their value, which might be a secret.
    @field_validator("judge_url")
    @classmethod
    def _address(cls, url: str) -> str:
        return _as_field("judge_url", check_base_url, url) if url.strip() else ""

    @field_validator("judge_key_env")
    @classmethod
    def _key_name(cls, name: str) -> str:
        return _as_field("judge_key_env", check_key_name, name)


def _as_field(field: str, check_value: Callable[[str], str], value: str) -> str:
    """What the check returns; its fault under this field's name."""
    try:
        return check_value(value)
    except InputError as fault:
        told = str(fault).partition(": ")[2]
        raise InputError(f"{field}: {told}", advice=fault.advice) from None


def check(config: QualityConfig) -> list[str]:
    """Looks at the adapter, the judge, the data and the memory; raises for what can't work."""
    return accept(workload(config))


def workload(config: QualityConfig) -> Workload:
    """What the training asks of a machine, were every conversation to make a pair of the longest
    answers: how long they will be, nobody knows. Raises for what can't work."""
    if not config.adapter:
        raise InputError("adapter: a value is needed (artifact:ID, job:ID, a folder or a Hub id)")
    if config.scorer == "judge":
        for name, value in (("judge_url", config.judge_url), ("judge_model", config.judge_model)):
            if not value.strip():
                raise InputError(f"{name}: a value is needed where scorer=judge")
    check_training(config)
    trained = Trained.of_adapter(config.adapter)
    examples = load_gold(config).examples
    conversations = with_gold(examples)
    rows = len(conversations)
    remarks = [f"{rows:,} conversations, {rows * config.k:,} answers, {rows:,} pairs at most"]
    if is_to_come(config.dataset):
        remarks = [f"{config.k:,} answers to each row that {config.dataset} will make"]
    if config.scorer == "judge":
        remarks.append(f"up to {rows * config.k:,} requests to {config.judge_model}, retries apart")
    if named := named_benchmarks(config, examples):
        remarks.append(benchmark_warning(named))
    texts = [partial("{}\n{}".format, one.prompt, one.response or "") for one in conversations]
    fixed = prompt_overhead((), trained.base)
    prompts = [count + fixed for count in count_tokens(texts, trained.base)]
    # A pair that is longer is left out.
    longest = [min(count + config.max_new_tokens, config.max_length) for count in prompts]
    both = [2 * length for length in longest]
    return training_workload(
        config, trained, longest, both, max_length=config.max_length, pairs=True, remarks=remarks
    )


def with_gold(examples: Sequence[GuardExample]) -> list[GuardExample]:
    """The conversations to answer: each once, those with a gold label."""
    return [example for example in once_each(examples) if example.gold]
