"""The reasoning of an output as people who rate see it: its steps, without the final answers.

The same rule holds for every arm. A sentence that gives a reason stays, also where it lets one
guess the answer; what only states one goes: fields, conclusions, headings and lines that are a
claim.
"""

from __future__ import annotations

import re

from pipelines.conclusions import conclusion
from pipelines.schema import GuardTask
from pipelines.template import GuardTemplate

LONGEST_CLAIM = 11
"""Words of a line that may be nothing but a claim."""
_READER = GuardTemplate.default()
_LEAD = r"(?:[\W_]|\d+[.)])*"
_LABEL = r"(?:un-?|non-?|not\s+)?(?:harmful|harmless|refusal|compliance|compliant|none|n/?a)"
_NAMES = (
    r"(?:(?:the|user'?s|human|ai|assistant'?s)\s+)*"
    r"(?:answers?|request|prompt|completion|response|refusal|verdict|label|classification|task\s+\d)"
)
_FIELD = re.compile(rf"{_LEAD}{_NAMES}?(?:\s+is)?[\W_]*(?:an?\s+)?(?:{_LABEL})?[\W_]*", re.I)
# From here to its end, a step only sums up.
_SUMMING_UP = re.compile(
    rf"{_LEAD}(?:(?:reasoning|final|overall|my|the|in|to|finally|we|i)\W+){{0,3}}"
    r"(?:conclu(?:sions?|des?|ded|ding)|verdicts?|judge?ment|final\s+(?:answers?|decision|"
    r"classification|assessment|determination))\b",
    re.I,
)
_MARKED = re.compile(
    rf"{_LEAD}(?:therefore|thus|hence|so|overall|consequently|accordingly|as\s+a\s+result)\b", re.I
)
_REASON = re.compile(
    r"\b(?:because|since|as|due|given|by|for|when|while|but|despite|although|instead|without|"
    r"that|which|who|making|indicating|promotes?|contains?)\b",
    re.I,
)


def shown_reasoning(raw: str) -> list[tuple[str, list[str]]]:
    """(section title, its steps) of an output, without what only states an answer."""
    sections = []
    for title, steps in _READER.steps(raw):
        kept = [shown for step in steps if (shown := _shown(step))]
        if kept:
            sections.append((title, kept))
    return sections


def _shown(step: str) -> str:
    kept: list[str] = []
    for line in step.split("\n"):
        if _SUMMING_UP.match(line):
            break
        if not line.strip() or not _is_answer(line):
            kept.append(line)
    return "\n".join(kept).strip()


def _is_answer(line: str) -> bool:
    """Whether a line states an answer and nothing else."""
    if _FIELD.fullmatch(line):
        return True
    marked = _MARKED.match(line) is not None
    short = len(line.split()) <= LONGEST_CLAIM and not _REASON.search(line)
    return (marked or short) and any(conclusion(line, task) for task in GuardTask)
