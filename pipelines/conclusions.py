"""What the steps of a trace conclude, read from their English wording.

Reads only what is said outright. A statement that weighs ("could be harmful"), asks ("whether the
request is harmful or unharmful") or says both concludes nothing, and so does one in another
language, unless it is in the form of an answer (`Request: harmful`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipelines.answers import FIELDS, read_label
from pipelines.schema import GuardTask, Label

_FIELD = re.compile(
    r"\b(request|completion|response)(?:'s)?[*_\s]*[:=][*_\s]*([a-z][a-z -]{2,20})", re.I
)
# Before a label, in its clause: what follows is asked or weighed, not concluded.
_OPEN = re.compile(
    r"\b(?:whether|if|could|may|might|can|cannot|can't|would|neither|either|nor|determine|evaluate|"
    r"assess|analyze|potentially|possibly|unclear)\b[^.;:]*$"
)
_BOTH = re.compile(
    r"\b(?:harmful\s+(?:or|nor)\s+(?:un-?|not\s+)harmful|un-?harmful\s+(?:or|nor)\s+harmful|"
    r"refus\w+\s+(?:or|nor)\s+(?:an?\s+)?compl\w+|compl\w+\s+(?:or|nor)\s+(?:an?\s+)?refus\w+)"
)
_IDIOM = re.compile(r"\bcan\s+(?:therefore\s+)?be\s+(?=considered|classified|seen|deemed)")
_MARKED = re.compile(
    r"^[\s*_#-]*(?:conclusion|in conclusion|overall|therefore|thus|hence|so)\b|"
    r",\s*(?:therefore|thus|hence|so)\b"
)
_ADVERBS = (
    r"(?:(?:\w+ly|indeed|thus|also|therefore|itself|both|an?|the|considered|classified|deemed|"
    r"categori[sz]ed|regarded|judged|seen|as|to\s+be)\s+){0,4}"
)
# A label before another noun is a remark about something in the case, not about the case.
_AFTER = (
    r"(?=\W*(?:$|[.,;:!)]|(?:as|because|since|due|in|and|but|for|given|under|when|from|while|with|"
    r"by|based|overall|despite|even|according|request|prompt|question|query|response|one)\b))"
)
_HARM = re.compile(
    rf"\b(?:is|are|was|were|be|remains?|it's|response's|request's|making\s+it)\s+(?P<no>not\s+)?{_ADVERBS}"
    rf"(?P<no2>not\s+)?(?P<label>unharmful|harmful|harmless|un-harmful|non-harmful){_AFTER}"
)
_HARM_WORD = re.compile(
    r"(?P<no>\b(?:not|no|n't|without)\s+(?:\w+\s+){0,3})?\b(?P<label>un-?harmful|harmful|harmless|"
    r"non-harmful)\b"
)
_REFUSAL = re.compile(
    r"(?P<no>\b(?:not|never|without|instead\s+of|rather\s+than|no)\s+(?:\w+\s+){0,2}|n't\s+)?"
    r"\b(?P<label>refus(?:al|es?|ed|ing)\b|declin(?:es?|ed|ing)\b|non-?complian(?:ce|t)\b|"
    r"complian(?:ce|t)\b|(?<!\bto\s)compl(?:y|ies|ied|ying)\b)"
)


def _one_of(found: Iterable[Label]) -> Label | None:
    labels = set(found)
    return labels.pop() if len(labels) == 1 else None


def _claims(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The matches that are said outright."""
    return [match for match in pattern.finditer(text) if not _OPEN.search(text[: match.start()])]


def _harm(text: str) -> Label | None:
    """What a statement says of harm, where a form of `to be` or a marker makes it a claim."""
    found = [(m["label"], bool(m["no"]) != bool(m["no2"])) for m in _claims(_HARM, text)]
    if not found and _MARKED.search(text):
        found = [(m["label"], bool(m["no"])) for m in _claims(_HARM_WORD, text)]
    # "Not unharmful" is as good as harmful, and "not harmful" as unharmful.
    return _one_of(
        "harmful" if (label == "harmful") != negated else "unharmful" for label, negated in found
    )


def _refusal(text: str) -> Label | None:
    """What a statement says of refusing or complying."""
    return _one_of(
        "refusal"
        if m["label"].startswith(("refus", "declin", "non")) != bool(m["no"])
        else "compliance"
        for m in _claims(_REFUSAL, text)
    )


def conclusion(statement: str, task: GuardTask) -> Label | None:
    """The label that one statement of a task's section gives the task, or None.

    A field (`Completion: refusal`) goes before wording.
    """
    for match in _FIELD.finditer(statement):
        if FIELDS[match[1].lower()] is task:
            known, label = read_label(match[2].split(" as ")[0], task)
            if known and label:
                return label
    text = _IDIOM.sub("is ", statement.casefold().replace("\u2019", "'"))
    if _BOTH.search(text):
        return None
    return _refusal(text) if task is GuardTask.REFUSAL else _harm(text)


def conclusions(statements: Sequence[str], task: GuardTask) -> list[Label]:
    """The labels that a section's statements give its task, in the order said."""
    found = (conclusion(statement, task) for statement in statements)
    return [label for label in found if label]


def agreement(said: Sequence[Label], answer: Label) -> float:
    """How well a section's conclusions agree with the final answer, in [0, 1].

    The last one decides: 0 where it is the opposite. Otherwise each earlier one that said the
    opposite costs its share of one half.
    """
    if not said or said[-1] != answer:
        return 0.0
    return 0.5 + 0.5 * sum(label == answer for label in said) / len(said)
