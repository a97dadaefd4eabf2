"""Requests as conversations, and decisions as the answers of each shape: OpenAI's, ours, LiteLLM's.

Pure functions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from guardui import moderation_models as models
from guardui.moderation import HARM, UNREAD, Asked, Decision
from pipelines.schema import GuardTask, InputError
from pipelines.template import GuardTemplate

UNKNOWN_PROMPT = "(The request is not known.)"
"""Stands for the prompt of an answer that came without one: then only the response counts."""
BLOCKED_FOR = {
    "prompt_harmfulness": "the request is harmful",
    "response_harmfulness": "the response is harmful",
    UNREAD: "the moderator's answer could not be read, and such are blocked",
}


def asked_of_moderation(body: models.ModerationRequest) -> list[Asked]:
    """One conversation a result. Raises InputError for a chat without a user's turn."""
    how: dict[str, Any] = {
        "adapter": body.model or "",
        "mode": body.mode,
        "on_failure": body.on_failure,
    }
    given: Any = body.input
    if isinstance(given, str):
        return [Asked(given, **how)]
    if isinstance(given[0], str):
        return [Asked(one, **how) for one in given]
    if isinstance(given[0], models.TextPart):
        return [Asked("\n\n".join(part.text for part in given), **how)]
    prompt, response = last_exchange(given)
    return [Asked(prompt, response, **how)]


def last_exchange(messages: Sequence[models.Message]) -> tuple[str, str | None]:
    """(the last user turn, the assistant's answer to it or None) of a chat."""
    last = max((n for n, one in enumerate(messages) if one.role == "user"), default=None)
    if last is None or not (prompt := _text(messages[last])):
        raise InputError("input: the chat must hold a message of the user's with text")
    said = [_text(one) for one in messages[last + 1 :] if one.role == "assistant"]
    return prompt, "\n\n".join(text for text in said if text) or None


def _text(message: models.Message) -> str:
    if isinstance(message.content, list):
        return "\n\n".join(part.text for part in message.content).strip()
    return (message.content or "").strip()


def asked_of_guard(body: models.GuardRequest) -> Asked:
    """The conversation; a blank response is none."""
    response = body.response if (body.response or "").strip() else None
    return Asked(
        body.prompt, response, body.adapter or "", body.mode, body.on_failure, body.max_new_tokens
    )


def moderation_answer(decisions: Sequence[Decision]) -> models.ModerationAnswer:
    """OpenAI's shape: a result for each input, in their order."""
    return models.ModerationAnswer(
        id=f"modr-{uuid4().hex}",
        model=decisions[0].asked.adapter,
        results=[_result(one) for one in decisions],
    )


def _result(decision: Decision) -> models.ModerationResult:
    labels = {task: decision.verdict.label(task) for task in GuardTask}
    return models.ModerationResult(
        flagged=decision.blocked,
        categories={
            task.value: None if label is None else label == task.labels[0]
            for task, label in labels.items()
        },
        category_scores=_scores(decision),
        category_applied_input_types={
            task.value: ["text"] if decision.applies(task) else [] for task in GuardTask
        },
        parse_error=decision.failure,
    )


def _scores(decision: Decision) -> models.ByTask:
    found = decision.verdict.probabilities
    return {task.value: found.get(task) if decision.applies(task) else None for task in GuardTask}


def guard_answer(decision: Decision) -> models.GuardAnswer:
    """Ours: all there is to know of a decision."""
    asked, verdict = decision.asked, decision.verdict
    scores = _scores(decision)
    written = [] if asked.mode == "fast" else GuardTemplate.default().steps(verdict.raw)
    return models.GuardAnswer(
        id=f"guard-{uuid4().hex}",
        created=int(time.time()),
        adapter=asked.adapter,
        mode=asked.mode,
        on_failure=asked.on_failure,
        decision="blocked" if decision.blocked else "allowed",
        reasons=decision.reasons,
        verdicts={
            task.value: models.TaskVerdict(
                label=verdict.label(task) if decision.applies(task) else "n/a",
                probability=scores[task.value],
            )
            for task in GuardTask
        },
        trace=[models.Section(title=title, steps=list(steps)) for title, steps in written],
        text=verdict.raw,
        parse_error=decision.failure,
        usage=models.Usage(answer_tokens=verdict.tokens),
        timings=models.Timings(
            moderation=round(decision.seconds, 3), total=round(decision.waited, 3)
        ),
    )


def user_turns(body: models.LiteLLMRequest, turns: str = "all") -> list[str]:
    """What LiteLLM's request asks to moderate: the user's turns, else all texts; each once."""
    said: list[str] = []
    for message in body.structured_messages or []:
        if message.get("role") == "user":
            said.extend(_parts(message.get("content")))
    texts = said or list(body.texts or [])
    kept = list(dict.fromkeys(text for text in texts if text.strip()))
    return kept[-1:] if turns == "last" else kept


def _parts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    found = [part.get("text") for part in parts if isinstance(part, dict)]
    return [text for text in found if isinstance(text, str)]


def litellm_answer(decisions: Sequence[Decision], *, answer: bool) -> models.LiteLLMAnswer:
    """BLOCKED where any of them is. Of an `answer` only the response counts: its prompt was let
    through before, or isn't known."""
    reasons: list[str] = []
    for one in decisions:
        counted = [HARM[1].value, UNREAD] if answer else [HARM[0].value, UNREAD]
        reasons.extend(BLOCKED_FOR[reason] for reason in one.reasons if reason in counted)
    if not reasons:
        return models.LiteLLMAnswer(action="NONE")
    said = " and ".join(dict.fromkeys(reasons))
    return models.LiteLLMAnswer(action="BLOCKED", blocked_reason=f"Blocked by GuardUI: {said}.")
