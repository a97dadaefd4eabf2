"""The words of GuardUI: tasks, examples, verdicts, hard samples and the error tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Label = str
"""One of `harmful`, `unharmful`, `refusal`, `compliance`."""


class GuardTask(StrEnum):
    """The three questions a reasoning guard answers (GuardReasoner, arXiv 2501.18492)."""

    PROMPT_HARMFULNESS = "prompt_harmfulness"
    REFUSAL = "refusal"
    RESPONSE_HARMFULNESS = "response_harmfulness"

    @property
    def heading(self) -> str:
        """What people read above this task."""
        return {"prompt_harmfulness": "Request", "refusal": "Refusal"}.get(self.value, "Response")

    @property
    def labels(self) -> tuple[Label, Label]:
        """The positive class first: it is the one that F1 is computed for."""
        if self is GuardTask.REFUSAL:
            return ("refusal", "compliance")
        return ("harmful", "unharmful")

    @property
    def needs_response(self) -> bool:
        return self is not GuardTask.PROMPT_HARMFULNESS


@dataclass(frozen=True, slots=True)
class GuardExample:
    """A conversation with what is known of it.

    `gold` has an entry for each task with a known label; a missing task is unknown or, for the
    refusal and response tasks of a conversation without a response, not applicable.
    `reasoning` is the whole target text (trace and answers) where the row carries one; `category`
    is the kind of harm, or of prompt, that its dataset names, empty where it names none.
    """

    prompt: str
    response: str | None = None
    gold: dict[GuardTask, Label] = field(default_factory=dict)
    reasoning: str | None = None
    source: str = ""
    row_id: str = ""
    category: str = ""

    def applicable(self, task: GuardTask) -> bool:
        return not task.needs_response or self.response is not None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a moderator said of one conversation.

    `labels` holds a label or None (the model said `None`) for each task, and is empty where the
    answer could not be parsed; then `error` says why. `probabilities` maps a task to the
    probability of its positive class, where the engine can give one.
    """

    labels: dict[GuardTask, Label | None]
    reasoning: str
    raw: str
    error: str | None = None
    probabilities: dict[GuardTask, float] = field(default_factory=dict)
    tokens: int = 0

    def label(self, task: GuardTask) -> Label | None:
        return self.labels.get(task)


@dataclass(frozen=True, slots=True)
class Generation:
    """One of the k answers to a conversation; `correct` is None where it was not judged."""

    text: str
    verdict: Verdict
    correct: bool | None = None


@dataclass(frozen=True, slots=True)
class HardSample:
    """A conversation on which the model was sometimes right and sometimes wrong.

    `chosen` and `rejected` are indices into `generations`, None where the answers are all wrong:
    such a sample makes no pair, but its gold label may be worth a look. `weight` is alpha of
    HS-DPO. `model` names the moderator that gave the answers, `sampling` how they were drawn
    (seed, temperature, top_p, max_new_tokens, k).
    """

    example: GuardExample
    task: GuardTask
    generations: tuple[Generation, ...]
    k_correct: int
    k_incorrect: int
    chosen: int | None
    rejected: int | None
    weight: float = 1.0
    model: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)


class GuardUIError(Exception):
    """Base of all errors with a message meant for people. `code` names the kind of failure."""

    code = "error"
    advice: str | None = None

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        if advice is not None:
            self.advice = advice


class InputError(GuardUIError):
    """Something the caller gave is wrong: it names the thing, its value and what is allowed."""

    code = "input"


class ConfigError(InputError):
    """A stage's configuration is wrong. `faults` has one line a field."""

    code = "config"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class DataError(InputError):
    """A dataset is wrong. `faults` has one `file:row: field: what` line a fault."""

    code = "data"

    def __init__(self, message: str, faults: list[str] | None = None) -> None:
        super().__init__(message)
        self.faults = faults or []


class NotFoundError(InputError):
    """A job, artifact, adapter or model that does not exist."""

    code = "not_found"


class ModelError(GuardUIError):
    """A base model or adapter that cannot be fetched, read or combined."""

    code = "model"


class HubError(GuardUIError):
    """The Hugging Face Hub refused or could not be reached."""

    code = "hub"


class EndpointError(GuardUIError):
    """A model's endpoint refused or could not be reached; `status` is HTTP's, 0 without answer."""

    code = "endpoint"

    def __init__(self, message: str, *, status: int = 0, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.status = status


class TooLargeError(InputError):
    """A run that needs more memory than its device has; the advice says what to change."""

    code = "too_large"


class OutOfMemoryError(GuardUIError):
    """The device ran out of memory; the advice says what to change."""

    code = "out_of_memory"


class DivergedError(GuardUIError):
    """The loss became NaN or infinite."""

    code = "nan_loss"


class RisingLossError(DivergedError):
    """The loss rose far above its best and stayed there."""

    code = "rising_loss"


class DiskFullError(GuardUIError):
    """There is no room for what the job must write."""

    code = "disk_full"


class GateError(GuardUIError):
    """A run missed a criterion of success that was written before it."""

    code = "gate"


class StopRequested(GuardUIError):
    """Raised by a stage that was asked to stop and has saved what it had."""

    code = "stopped"
