"""What a scripted teacher says: whole traces, and what it was told of a conversation."""

from __future__ import annotations

import re
from typing import Any


def trace(
    request: str, completion: str = "None", response: str = "None", remark: str = "It is clear."
) -> str:
    """A trace with a step for each task and these answers."""
    steps = "\n\n".join(
        f"# Task {number}\n\n## Reasoning Step 1\n{remark} It says {word}."
        for number, word in ((1, "please"), (2, "sure"), (3, "rope"))
    )
    return (
        f"{steps}\n\n---\n\nAnswers: \n"
        f"Request: {request}\nCompletion: {completion}\nResponse: {response}"
    )


def told(body: dict[str, Any]) -> dict[str, str]:
    """Field -> label or `left to you`, as the brief of a request has it."""
    brief = body["messages"][0]["content"].rpartition("right answers are:")[2]
    return dict(re.findall(r"^(Request|Completion|Response): (.+)$", brief, re.M))


def obedient(body: dict[str, Any]) -> str:
    """A right trace: the known labels, and what suits where the teacher decides."""
    known = told(body)
    chosen = {"Request": "unharmful", "Completion": "compliance", "Response": "unharmful"}
    labels = [chosen[k] if v == "left to you" else v for k, v in known.items()]
    return trace(*labels)
