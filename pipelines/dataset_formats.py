"""What a row means: the three forms of training rows, and all spellings of labels.

- three columns `instruction`, `input`, `output` (GuardReasonerTrain), optionally with `gold`,
  `task`, `benchmark`, `source`, `split`, `category`, `id`; `output` is a trace, an
  answers block or a label
- `conversations` (or `messages`, or `text` in ChatML): the assistant's turn is reasoning and
  then `Label: harmful` or `Label: safe`, or the authors' answers
- `text` or `prompt`, and `label`, optionally with `response` and `task`, the one that the label
  belongs to; it must be said where there is a response
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipelines.dataset_files import kind_of
from pipelines.schema import GuardExample, GuardTask, InputError, Label
from pipelines.template import GuardTemplate

TEMPLATE = GuardTemplate.default()
TASK_NAMES = {
    "prompt": GuardTask.PROMPT_HARMFULNESS,
    "refusal": GuardTask.REFUSAL,
    "response": GuardTask.RESPONSE_HARMFULNESS,
    **{task.value: task for task in GuardTask},
}
_HARM_SPELLINGS = {
    **dict.fromkeys(("harmful", "unsafe", "toxic", "1", "true"), "harmful"),
    **dict.fromkeys(("unharmful", "harmless", "not harmful", "non harmful"), "unharmful"),
    **dict.fromkeys(("safe", "benign", "0", "false"), "unharmful"),
}
_REFUSAL_SPELLINGS = {
    **dict.fromkeys(("refusal", "refused", "non compliance", "1", "true"), "refusal"),
    **dict.fromkeys(("compliance", "complied", "compliant", "0", "false"), "compliance"),
}
_CHATML = re.compile(r"<\|im_start\|>[ \t]*(\w+)[ \t]*\r?\n(.*?)(?:<\|im_end\|>|\Z)", re.S)
_TRAILING_LABEL = re.compile(r"(?:^|\n)[ \t*_#]*label[ \t*_]*:[ \t*_]*(?P<label>[^\n]*)\s*\Z", re.I)
_ROLES = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model"), "assistant"),
    "system": "system",
}


class RowError(Exception):
    """A row is wrong in one field."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}")
        self.name = name
        self.what = what


class ColumnError(RowError):
    """The row, and so its file, lacks a column."""


class UnreadableTrace(RowError):
    """The row's label is known, but its `output` comes to no verdict."""


def read_task(value: object) -> GuardTask:
    """The task of this name; raises RowError."""
    task = TASK_NAMES.get(str(value).strip().casefold())
    if task is None:
        raise RowError("task", f"{value!r} is not a task (allowed: {', '.join(TASK_NAMES)})")
    return task


def _key(value: object) -> str:
    return " ".join(re.findall(r"\w+", str(value).casefold()))


def read_label(value: object, task: GuardTask, name: str) -> Label:
    """One of the task's two labels, from any spelling; raises RowError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    key = _key(value)
    spellings = _REFUSAL_SPELLINGS if task is GuardTask.REFUSAL else _HARM_SPELLINGS
    if key not in spellings or isinstance(value, (list, dict)):
        shown = repr(value)[:60]
        raise RowError(name, f"{shown} is not a label of {task} (allowed: {', '.join(spellings)})")
    return spellings[key]


def to_example(
    values: Mapping[str, Any], source: str, row_id: str, task: GuardTask | None = None
) -> tuple[GuardExample, str | None]:
    """(the row's example, its instruction or None); `task` is for rows that don't name theirs.

    Raises RowError for what is wrong.
    """
    for column in ("source", "benchmark", "split"):
        if values.get(column):
            source = _text(values, column)
            break
    if "input" in values or "instruction" in values or "output" in values:
        example, instruction = _three_columns(values, task)
    elif (chat := _turns(values)) is not None:
        example, instruction = _chat(chat, values, task)
    elif "label" in values and ("text" in values or "prompt" in values):
        example, instruction = _labelled(values, task), None
    else:
        found = ", ".join(map(str, values)) or "none"
        needed = "instruction, input, output; or conversations; or text, label"
        raise ColumnError("columns", f"found {found} (needed: {needed})")
    texts = {"prompt": example.prompt, "response": example.response, "source": source}
    for name, text in (texts | {"output": example.reasoning}).items():
        check_storable(text or "", name)
    category = values.get("category")
    named = category.strip() if isinstance(category, str) else ""
    check_storable(named, "category")
    return replace(example, source=source, row_id=row_id, category=named), instruction


def _text(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        raise ColumnError(name, "the column is missing")
    if not isinstance(values[name], str):
        raise RowError(name, f"must be text, is {kind_of(values[name])}")
    return values[name]


def _content(text: str, name: str) -> str:
    if not text.strip():
        raise RowError(name, "is empty")
    return text


def check_storable(text: str, name: str) -> None:
    """Raises RowError for text that PostgreSQL or a tokenizer would refuse."""
    if "\x00" in text:
        raise RowError(name, "holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(name, f"holds half a character (position {error.start + 1})") from None


def _check_applicable(task: GuardTask, response: str | None) -> None:
    if task.needs_response and response is None:
        raise RowError("task", f"{task} needs a response, and the row has none")


def _split(text: str, name: str) -> tuple[str, str | None]:
    try:
        prompt, response = TEMPLATE.split_input(text)
    except InputError:
        what = f"{text[:40]!r} does not have the layout {TEMPLATE.input_layout!r}"
        raise RowError(name, what) from None
    return _content(prompt, "prompt"), response if response and response.strip() else None


def _resolve_task(
    label: object, response: str | None, values: Mapping[str, Any], task: GuardTask | None
) -> GuardTask:
    """The task that a lone label belongs to."""
    if values.get("task"):
        task = read_task(values["task"])
    if task is None and str(label).strip().casefold() in ("refusal", "compliance"):
        task = GuardTask.REFUSAL
    if task is None and response is None:
        task = GuardTask.PROMPT_HARMFULNESS
    if task is None:
        raise RowError("task", "a label alone needs a task where the row has a response")
    _check_applicable(task, response)
    return task


def _three_columns(
    values: Mapping[str, Any], task: GuardTask | None
) -> tuple[GuardExample, str | None]:
    instruction = _content(_text(values, "instruction"), "instruction")
    prompt, response = _split(_text(values, "input"), "input")
    output = _text(values, "output") if values.get("output") is not None else ""
    gold: dict[GuardTask, Label] = {}
    if values.get("gold") not in (None, ""):
        kind = _resolve_task(values["gold"], response, values, task)
        gold = {kind: read_label(values["gold"], kind, "gold")}
    if not output.strip():
        if not gold:
            raise RowError("output", "is empty, and there is no gold label")
        return GuardExample(prompt, response, gold), instruction
    if "\n" not in output.strip() and ":" not in output:
        if _key(output) not in _HARM_SPELLINGS | _REFUSAL_SPELLINGS:
            raise RowError(
                "output", f"{output.strip()[:40]!r} is not a label, nor are answers in it"
            )
        kind = _resolve_task(output, response, values, task)
        label = read_label(output, kind, "output")
        _agree(gold, {kind: label})
        return GuardExample(prompt, response, gold or {kind: label}), instruction
    labels, trace = _answers(output, GuardExample(prompt, response), bool(gold))
    _agree(gold, labels)
    if not gold:
        gold = {kind: label for kind, label in labels.items() if label is not None}
    if not gold:
        raise RowError("output", "its answers are all None: there is no label in the row")
    return GuardExample(prompt, response, gold, output if trace else None), instruction


def _labelled(values: Mapping[str, Any], task: GuardTask | None) -> GuardExample:
    name = "text" if "text" in values else "prompt"
    prompt, response = _content(_text(values, name), name), None
    if values.get("response") is not None:
        response = _text(values, "response") if _text(values, "response").strip() else None
    kind = _resolve_task(values["label"], response, values, task)
    return GuardExample(prompt, response, {kind: read_label(values["label"], kind, "label")})


def _answers(
    output: str, example: GuardExample, known: bool
) -> tuple[dict[GuardTask, Label | None], str]:
    """(labels, reasoning) of a target text."""
    verdict = TEMPLATE.parse(output, example)
    if verdict.error:
        raise (UnreadableTrace if known else RowError)("output", verdict.error)
    return verdict.labels, verdict.reasoning


def _agree(gold: Mapping[GuardTask, Label], labels: Mapping[GuardTask, Label | None]) -> None:
    for task, label in gold.items():
        if task in labels and labels[task] != label:
            raise RowError("gold", f"{label!r} contradicts {labels[task]!r} in output ({task})")


def _turns(values: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """The chat of a row as (role, text), or None where the row has none."""
    name = next((key for key in ("conversations", "messages") if key in values), "text")
    chat = values.get(name)
    if name == "text" and "label" in values:
        return None
    if isinstance(chat, str) and (name != "text" or "<|im_start|>" in chat[:200]):
        found = [(match[1], match[2].strip()) for match in _CHATML.finditer(chat)]
    elif name == "text":
        return None
    elif isinstance(chat, list) and all(isinstance(turn, dict) for turn in chat):
        found = [(t.get("role", t.get("from")), t.get("content", t.get("value"))) for t in chat]
    else:
        raise RowError(name, f"must be a list of turns, is {kind_of(chat)}")
    turns = []
    for role, text in found:
        if not isinstance(text, str) or role not in _ROLES:
            what = f"a turn needs a role ({', '.join(_ROLES)}) and text; found role {role!r}"
            raise RowError(name, what)
        turns.append((_ROLES[role], text))
    return turns


def _chat(
    turns: list[tuple[str, str]], values: Mapping[str, Any], task: GuardTask | None
) -> tuple[GuardExample, str | None]:
    instruction = turns[0][1] if turns and turns[0][0] == "system" else None
    roles = [role for role, _ in turns[instruction is not None :]]
    if roles != ["user", "assistant"]:
        found = ", ".join(roles) or "none"
        raise RowError("conversations", f"needs one user and one assistant turn, has: {found}")
    asked, answer = turns[-2][1], turns[-1][1]
    prompt, response = _content(asked, "prompt"), None
    if asked.startswith("Human user:\n") and "\n\nAI assistant:\n" in asked:
        prompt, response = _split(asked, "conversations")
    match = _TRAILING_LABEL.search(answer)
    if match is None:
        labels, reasoning = _answers(answer, GuardExample(prompt, response), False)
        gold = {kind: label for kind, label in labels.items() if label is not None}
    else:
        kind = _resolve_task(match["label"], response, values, task)
        gold = {kind: read_label(match["label"], kind, "Label")}
        reasoning = answer[: match.start()].strip()
    target = TEMPLATE.format_answer(reasoning, gold) if reasoning else None
    return GuardExample(prompt, response, gold, target), instruction or None
