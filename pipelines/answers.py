"""How a guard's output is read; `template.GuardTemplate` is the way in.

The answers block must be the last thing of the output. Guards quote the conversation while they
reason, and a conversation may hold an answers block of its own, so a block is not taken for the
model's when it stands in quotation marks, behind `>` or in a code fence, and, where it shares a
claim (such as `Request: harmful`) with the conversation, only when both hold:

- the output has more `# Task 3` headings before the block than the conversation has, so the
  model had come to the end of its own reasoning; and
- the output makes the shared claims more often than the conversation does, or another word
  stands before the block than in the conversation, so it isn't the tail of a quotation.

An output that is a block and nothing else is the model's own.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from pipelines.schema import GuardExample, GuardTask, Label, Verdict

FIELDS = {
    "request": GuardTask.PROMPT_HARMFULNESS,
    "completion": GuardTask.REFUSAL,
    "response": GuardTask.RESPONSE_HARMFULNESS,
}
_NOT_APPLICABLE = dict.fromkeys(("none", "n a", "na", "null", "not applicable"))
_HARM: dict[str, Label | None] = {
    "harmful": "harmful",
    **dict.fromkeys(("unharmful", "un harmful", "not harmful", "non harmful"), "unharmful"),
}
_REFUSAL: dict[str, Label | None] = {
    **dict.fromkeys(("refusal", "refused", "refuse", "a refusal"), "refusal"),
    **dict.fromkeys(("non compliance", "not compliance", "non compliant"), "refusal"),
    **dict.fromkeys(("compliance", "complied", "comply", "compliant"), "compliance"),
    **dict.fromkeys(("not refusal", "not a refusal", "non refusal"), "compliance"),
}
_SPELLINGS = {
    t: _NOT_APPLICABLE | (_REFUSAL if t is GuardTask.REFUSAL else _HARM) for t in GuardTask
}

# Markdown before a name: headings, bold, bullets, numbers; never `>` or a quotation mark.
_LEAD = r"(?:[#*_+•\-\s]|\d+[.)])*+"
_NAME = r"(request|completion|response)\b"
_FIELD = re.compile(rf"{_LEAD}{_NAME}[*_\s]*+(?P<sign>[:=])?[*_\s]*+(?P<value>.*)", re.I | re.S)
_NEXT_FIELD = re.compile(rf"[,;|]\s*[*_]*(?={_NAME}[*_\s]*[:=])", re.I)
_HEADING = re.compile(rf"{_LEAD}(?:final\s+)?answers?[*_\s]*+:?[*_\s]*+(?P<rest>.*)", re.I | re.S)
_QUOTED_HEADING = re.compile(r".*[\"'\u201c\u2018>`][\s*_#]*answers?[\s*_:]*", re.I | re.S)
_TOKEN = re.compile(r"\s*(?:<\|\w+\|>|</s>)\s*")
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,}|={3,})\s*")
TASK_HEADING = re.compile(
    r"[ \t]*#+[ \t]*[*_]*(?P<before>conclusion for )?task[ \t]+(?P<number>\d+)\b[ \t]*(?P<rest>.*)",
    re.I | re.S,
)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_REMARK = re.compile(r"\s*(?:[(\[,;.]|\s[-\u2013\u2014:]\s|\s(?:because|since|as)\s)")
_QUOTED = re.compile("[\"\u201c\u201d\u2018\u2019`>?]|^'|'$")
_CLAIM = re.compile(r"(?<= )(request|completion|response) (?=(\S+(?: \S+){0,2}))")
_LAST_TASK = re.compile(r"^[ \t]*#+[ \t]*task[ \t]+3\b", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Block:
    """An answers block: field name -> what is written there."""

    start: int
    """Index of the line that it begins in."""
    values: dict[str, str]
    headed: bool
    twice: bool = False


def read_label(value: str, task: GuardTask) -> tuple[bool, Label | None]:
    """(whether a person would read a label there, the label or None for `None`)."""
    text = value.strip().strip("*_` \t")
    if len(text) > 1 and text[0] + text[-1] in ('""', "''", "\u201c\u201d", "[]"):
        text = text[1:-1].strip()
    spellings = _SPELLINGS[task]
    if (plain := text.casefold()) in spellings:
        return True, spellings[plain]
    head = _REMARK.split(text, maxsplit=1)[0]
    words = re.findall(r"\w+", text[len(head) :].casefold())
    remark = [*words, *(f"{first} {second}" for first, second in pairwise(words))]
    key = " ".join(re.findall(r"\w+", head.casefold()))
    if key not in spellings or _QUOTED.search(head):
        return False, None
    label = spellings[key]
    if any(spellings.get(word) not in (None, label) for word in remark):
        return False, None
    return True, label


def _fields(line: str) -> dict[str, str]:
    """Field name -> value, of a line that holds fields and nothing else; else empty."""
    found: dict[str, str] = {}
    rest: str | None = line
    while rest is not None:
        match = _FIELD.fullmatch(rest)
        if match is None:
            return {}
        name = match[1].lower()
        split = _NEXT_FIELD.search(match["value"])
        value = match["value"][: split.start()] if split else match["value"]
        if name in found or not (match["sign"] or read_label(value, FIELDS[name])[0]):
            return {}
        found[name] = value
        rest = match["value"][split.end() :] if split else None
    return found


def _heading(line: str) -> dict[str, str] | None:
    """The fields on an `Answers:` line, none as a rule; None where it isn't such a line."""
    match = _HEADING.fullmatch(line)
    if match is None:
        return None
    fields = _fields(match["rest"])
    return fields if fields or not match["rest"].strip() else None


def last_block(lines: list[str]) -> Block | None:
    """The answers block that ends the text, or None."""
    values: dict[str, str] = {}
    start = len(lines)
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index]
        if not line.strip() or _TOKEN.fullmatch(line) or (values and _RULE.fullmatch(line)):
            continue
        found = _fields(line)
        if found and not found.keys() & values.keys():
            values |= found
            start = index
            continue
        heading = _heading(line)
        if heading is not None and not heading.keys() & values.keys():
            return Block(index, values | heading, headed=True) if values | heading else None
        if len(values) == len(FIELDS) and not _QUOTED_HEADING.fullmatch(line):
            return Block(start, values, headed=False, twice=bool(found) and index == start - 1)
        return None
    return Block(start, values, headed=False) if len(values) == len(FIELDS) else None


def _in_fence(lines: list[str], start: int) -> bool:
    """Whether a line stands in a code fence; a new task closes one that was left open."""
    inside = False
    for line in lines[:start]:
        if ("```" in line or "~~~" in line) and _FENCE.match(line):
            inside = not inside
        elif inside and TASK_HEADING.match(line):
            inside = False
    return inside


def _words(text: str) -> str:
    """Lower-case words between single blanks; an `Answers` heading leaves no trace."""
    words = re.findall(r"\w+", text.casefold())
    return f" {' '.join(word for word in words if word not in ('answer', 'answers'))} "


def _claims(words: str) -> Counter[tuple[str, Label | None]]:
    """How often a text says each (field, label). A word that only begins like a label counts
    too, for a quotation may have been cut off there."""
    found: Counter[tuple[str, Label | None]] = Counter()
    for match in _CLAIM.finditer(words):
        spellings = _SPELLINGS[FIELDS[match[1]]].items()
        found.update({(match[1], label) for key, label in spellings if match[2].startswith(key)})
    return found


def _is_echo(lines: list[str], block: Block, example: GuardExample) -> bool:
    """Whether the block may be the conversation's and not the model's (see the module's head)."""
    spoken = f"{example.prompt}\n{example.response or ''}"
    said = _words(spoken)
    theirs = _claims(said)
    shared = {
        (name, label)
        for name, value in block.values.items()
        if example.applicable(FIELDS[name])
        for known, label in [read_label(value, FIELDS[name])]
        if known and (name, label) in theirs
    }
    before = "\n".join(lines[: block.start])
    if not shared or not before.strip():
        return False
    if len(_LAST_TASK.findall(before)) <= len(_LAST_TASK.findall(spoken)):
        return True
    claims = _claims(_words("\n".join(lines)))
    if all(claims[claim] > theirs[claim] for claim in shared):
        return False
    words = _words("\n".join(lines[block.start :])).rstrip()
    preceding = _words(before).split()
    return bool(preceding) and f" {preceding[-1]}{words}" in said


def _from_earlier(lines: list[str], block: Block, name: str, example: GuardExample) -> str | None:
    """A field that the last block lacks, from an earlier block that answered its task alone."""
    theirs = _claims(_words(f"{example.prompt}\n{example.response or ''}"))
    found: set[tuple[bool, Label | None]] = set()
    value = None
    for index in range(block.start):
        if (heading := _heading(lines[index])) is None or _in_fence(lines, index):
            continue
        following = (line for line in lines[index + 1 : block.start] if line.strip())
        fields = heading or _fields(next(following, ""))
        if name in fields and not fields.keys() & block.values.keys():
            value = fields[name]
            found.add(read_label(value, FIELDS[name]))
    if len(found) != 1 or (name, next(iter(found))[1]) in theirs:
        return None
    return value


def without_rule(lines: list[str]) -> str:
    """The text less the rule that sets it apart from the answers."""
    end = len(lines)
    while end and (not lines[end - 1].strip() or re.fullmatch(r"\s*-{3,}\s*", lines[end - 1])):
        end -= 1
    return "\n".join(lines[:end]).strip()


def _why_none(lines: list[str]) -> str:
    last = next((line for line in reversed(lines) if line.strip()), None)
    if last is None:
        return "The output is empty."
    if _heading(last) is not None:
        return "The output was cut off in its answers."
    if any(_heading(line) is not None for line in lines):
        return "The output does not end with its answers block."
    numbers = [match["number"] for line in lines if (match := TASK_HEADING.match(line))]
    if numbers:
        return f"The output was cut off in Task {numbers[-1]}, before its answers."
    return "The output has no answers block."


def parse_answers(raw: str, example: GuardExample | None) -> Verdict:
    """The verdict in an output; with no verdict, or half of one, `error` says why."""
    lines = raw.replace("\r\n", "\n").split("\n")
    block = last_block(lines)
    if block is None:
        return Verdict({}, raw.strip(), raw, _why_none(lines))
    reasoning = without_rule(lines[: block.start])
    if block.twice:
        return Verdict({}, reasoning, raw, "The answers give the same field twice.")
    if _in_fence(lines, block.start):
        return Verdict({}, reasoning, raw, "The only answers stand in a code block.")
    if example is not None and _is_echo(lines, block, example):
        return Verdict({}, reasoning, raw, "The only answers repeat those in the conversation.")
    labels: dict[GuardTask, Label | None] = {}
    faults = []
    for name, task in FIELDS.items():
        if example is not None and not example.applicable(task):
            labels[task] = None
            continue
        value = block.values.get(name)
        if value is None and block.headed and example is not None:
            value = _from_earlier(lines, block, name, example)
        known, label = read_label(value or "", task)
        if known:
            labels[task] = label
        elif value is None or not value.strip():
            faults.append(f"{name.title()} is missing from the answers.")
        else:
            allowed = ", ".join((*task.labels, "None"))
            faults.append(f"{name.title()}={value.strip()[:40]!r}: not a label ({allowed}).")
    return Verdict(labels, reasoning, raw, " ".join(faults) or None)
