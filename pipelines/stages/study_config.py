"""The config of the stage `study`: which arms answer which rows, and the study's design."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipelines.classify import Mode
from pipelines.schema import GuardTask
from pipelines.stages.base import ESSENTIAL, PairSetRef, StageConfig
from pipelines.studies.design import DesignFields

_ITEMS: dict[str, Any] = {"group": "Items"}
_ASKING: dict[str, Any] = {"group": "Asking"}
_DISJOINT: dict[str, Any] = {"group": "Training pairs"}


class StudySource(StageConfig):
    """Where arms and items come from."""

    name: str = Field(
        "",
        max_length=200,
        description="What the study is called; empty: after its arms.",
        json_schema_extra=ESSENTIAL,
    )
    arms: list[str] = Field(
        [],
        description="Two or more whose reasoning is compared, the one that the target is about "
        "first: moderators that answer now (artifact:ID, job:ID, a folder, a Hub id), evaluations "
        "(artifact:ID; job:ID#NAME where a job made several), stored answers (a file, or a folder "
        "of files that are named after benchmarks).",
        json_schema_extra=ESSENTIAL | {"reference": "arm"},
    )
    names: list[str] = Field(
        [], description="Names for the arms, in their order; people who rate never see them."
    )
    benchmarks: list[str] = Field(
        [],
        description="Benchmarks by name, or labelled files, that items are drawn from; empty: "
        "those that all evaluations and stored answers here have.",
        json_schema_extra=ESSENTIAL | {"reference": "benchmark"},
    )
    folder: str = Field(
        "",
        description="A folder of benchmark files in the authors' form; what it lacks is fetched "
        "from the Hub.",
        json_schema_extra={"reference": "folder", "group": "Items"},
    )
    hard_samples: PairSetRef = Field(
        "",
        description="A pair set whose hard samples are items too. Moderators that were trained on "
        "its pairs can't be compared on them.",
    )
    max_rows: int = Field(
        0,
        ge=0,
        description="Rows of each benchmark that items are drawn from, and that moderators have "
        "to answer; 0: all.",
        json_schema_extra=ESSENTIAL,
    )
    items: int = Field(
        100,
        ge=1,
        le=20_000,
        description="Conversations that are compared; fewer where there are no more.",
        json_schema_extra=ESSENTIAL,
    )
    strata: Literal["equal", "as drawn"] = Field(
        "equal",
        description="equal: as many items where both arms' verdicts are right as where one is or "
        "none; as drawn: in the shares that the rows have.",
        json_schema_extra=_ITEMS,
    )
    pairs_per_item: int = Field(
        0,
        ge=0,
        description="With three arms or more, how many pairs of them each conversation compares, "
        "all in turn; 0: every pair.",
        json_schema_extra=_ITEMS,
    )
    pairs_files: list[str] = Field(
        [],
        description="Preference pairs that arms were trained on where they don't say so "
        "themselves, such as stored answers: pair sets, or files with a prompt in each row. Their "
        "conversations are left out.",
        json_schema_extra=_DISJOINT | {"reference": "pair_set"},
    )
    unknown_training_ok: bool = Field(
        False,
        description="Go on where nobody can tell which preference pairs an arm was trained on. "
        "The study says so for good.",
        json_schema_extra=_DISJOINT,
    )
    practice_file: str = Field(
        "",
        description="Practice items of your own: prompt, response, better, worse, feedback and "
        "topic in each row; empty: the three that come with GuardUI.",
        json_schema_extra=_ITEMS,
    )
    attention_items: int = Field(
        8,
        ge=0,
        le=500,
        description="Attention items to make: an arm's trace beside one about another "
        "conversation.",
        json_schema_extra=_ITEMS,
    )
    attention_file: str = Field(
        "",
        description="Attention items of your own with a known answer, in the form of practice "
        "items.",
        json_schema_extra=_ITEMS,
    )
    prediction_task: GuardTask | None = Field(
        None,
        description="The task of stored answers whose file isn't named after a benchmark.",
        json_schema_extra=_ITEMS,
    )
    batch_size: int = Field(
        8, ge=1, le=4096, description="Conversations answered together.", json_schema_extra=_ASKING
    )
    max_new_tokens: int = Field(
        1024,
        ge=16,
        le=32_768,
        description="Longest answer, in tokens.",
        json_schema_extra=_ASKING,
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto, cpu, cuda or cuda:N.",
        json_schema_extra=_ASKING,
    )
    ignore_memory: bool = Field(
        False,
        description="Run it even where the estimate says that memory won't do.",
        json_schema_extra=_ASKING,
    )
    k: ClassVar[int] = 1
    mode: ClassVar[Mode] = "reason"
    probabilities: ClassVar[bool] = False


class StudyConfig(DesignFields, StudySource):
    """Make a blinded study of whose reasoning people prefer, as a draft."""
