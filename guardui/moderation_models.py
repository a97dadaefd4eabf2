"""What programs send and get, in pydantic: requests are checked by the very models that the
OpenAPI document is made from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from guardui.moderation import OnFailure
from pipelines.classify import Mode

MOST_INPUTS = 32
MOST_MESSAGES = 200

Text = Annotated[str, Field(min_length=1, pattern=r"[^\s\x1c-\x1f]")]
"""Not empty, and not blank only."""
Adapter = Annotated[
    str | None,
    Field(
        max_length=300,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Which moderator: `artifact:ID`, `job:ID` or a base model, as `/v1/models` "
        "lists them. Left out, `default`, or one of OpenAI's moderation models: the newest.",
        examples=["artifact:7"],
    ),
]
ModeField = Annotated[
    Mode,
    Field(description="`reason` writes a trace first; `fast` weighs the labels without one."),
]
OnFailureField = Annotated[
    OnFailure,
    Field(description="What an answer that can't be read counts as: `closed` blocks it."),
]


class Asks(BaseModel):
    """A request: unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(Asks):
    """A part of an input; other types than text can't be moderated."""

    type: Literal["text"]
    text: Text


class Message(BaseModel):
    """A turn of a chat; what else a message carries is ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None


class ModerationRequest(Asks):
    """OpenAI's request, with a mode and a failure policy beside it."""

    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
        | Annotated[list[TextPart], Field(min_length=1, max_length=MOST_INPUTS)]
        | Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    ) = Field(
        description="A prompt; several, each with a result of its own; text parts, read as one "
        "prompt; or a chat, of which the last user turn and the answer to it are moderated.",
        examples=["How do I kill a Python process?"],
    )
    model: Adapter = None
    mode: ModeField = "reason"
    on_failure: OnFailureField = "closed"


class GuardRequest(Asks):
    """A conversation to decide on."""

    prompt: Text = Field(description="What the user wrote.", examples=["How do I pick a lock?"])
    response: str | None = Field(
        None,
        description="What the assistant answered. Without it, refusal and response "
        "harmfulness are not applicable.",
    )
    adapter: Adapter = None
    mode: ModeField = "reason"
    on_failure: OnFailureField = "closed"
    stream: bool = Field(False, description="Answer with server-sent events as it is written.")
    max_new_tokens: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="Longest answer, in tokens. One that is cut off can't be read.",
    )


class Params(BaseModel):
    """What LiteLLM's configuration may set under `additional_provider_specific_params`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    adapter: Adapter = None
    mode: ModeField = "reason"
    on_failure: OnFailureField = "closed"
    turns: Literal["all", "last"] = Field(
        "all", description="Which of the user's turns are moderated, each on its own."
    )


class LiteLLMRequest(BaseModel):
    """LiteLLM's generic guardrail request; what isn't moderated is ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    input_type: Literal["request", "response"]
    texts: list[str] | None = Field(None, description="All texts of the request or the answer.")
    structured_messages: list[dict[str, Any]] | None = Field(
        None, description="The chat, where LiteLLM knows it; of it the user's turns are moderated."
    )
    litellm_call_id: str | None = Field(
        None, max_length=200, description="Ties an answer to the request it was given to."
    )
    additional_provider_specific_params: Params | None = None


TaskName = Literal["prompt_harmfulness", "refusal", "response_harmfulness"]
ByTask = dict[TaskName, float | None]


class ModerationResult(BaseModel):
    """The decision on one input. null: not applicable, or no label could be read."""

    flagged: bool = Field(description="Harmful, or unread under the policy `closed`.")
    categories: dict[TaskName, bool | None] = Field(
        description="`refusal` says whether the assistant refused, and flags nothing."
    )
    category_scores: ByTask = Field(description="Probability of harmful, or of refusal.")
    category_applied_input_types: dict[TaskName, list[Literal["text"]]] = Field(
        description="Empty for a task that has nothing to judge here."
    )
    parse_error: str | None = Field(description="Why the answer could not be read.")


class ModerationAnswer(BaseModel):
    """OpenAI's answer, with our categories."""

    id: str
    model: str = Field(description="The moderator that decided.")
    results: list[ModerationResult]


class TaskVerdict(BaseModel):
    """One task's verdict."""

    label: Literal["harmful", "unharmful", "refusal", "compliance", "n/a"] | None = Field(
        description="n/a where there is no response to judge; null where no label could be read."
    )
    probability: float | None = Field(description="Of harmful, or of refusal.")


class Section(BaseModel):
    """A part of the trace: what it is about, and its steps in order."""

    title: str
    steps: list[str]


class Usage(BaseModel):
    answer_tokens: int


class Timings(BaseModel):
    """Seconds: the moderator's own, and all of it with waiting and loading."""

    moderation: float
    total: float


class GuardAnswer(BaseModel):
    """The decision, what it rests on, and what it took."""

    id: str
    created: int = Field(description="Unix time.")
    adapter: str
    mode: Mode
    on_failure: OnFailure
    decision: Literal["allowed", "blocked"]
    reasons: list[Literal["prompt_harmfulness", "response_harmfulness", "unread"]] = Field(
        description="Why it is blocked: what was found harmful, or `unread`."
    )
    verdicts: dict[TaskName, TaskVerdict]
    trace: list[Section] = Field(description="The reasoning, empty in fast mode.")
    text: str = Field(description="All that the moderator wrote.")
    parse_error: str | None
    usage: Usage
    timings: Timings


class LiteLLMAnswer(BaseModel):
    """LiteLLM's generic guardrail answer. GuardUI never rewrites a text, so never intervenes."""

    action: Literal["NONE", "BLOCKED"]
    blocked_reason: str | None = None


class Model(BaseModel):
    """A moderator on offer."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "guardui"
    name: str = Field(description="What people read.")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class Health(BaseModel):
    status: str


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """What every refusal looks like, as OpenAI's do."""

    error: ErrorBody
