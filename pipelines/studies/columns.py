"""The table that a study's ratings are passed on as: one row a rating, told by arm, no names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.schema import GuardTask
from pipelines.studies.design import CRITERIA
from pipelines.studies.records import Rated, Revision, StudyFacts

Row = dict[str, Any]
Fields = dict[str, Any]
"""name -> Arrow type, `Fields` of a struct, or a list of one of these."""

_SIDES: dict[str, Fields] = {name: {"first": "int64", "second": "int64"} for name in CRITERIA}
_MARK: Fields = {"arm": "string", "step": "int64", "mark": "string"}
_LABELS: Fields = {task.value: "string" for task in GuardTask}
_REVISION: Fields = {
    "number": "int64",
    "score": "int64",
    "both_bad": "bool",
    "criteria": _SIDES,
    "note": "string",
    "marks": [_MARK],
    "seconds": "float64",
    "late": "bool",
    "created_at": "string",
}

# name -> (type, what it means)
COLUMNS: dict[str, tuple[Any, str]] = {
    "study": ("string", "name of the study"),
    "item": ("int64", "conversation, numbered within the export's database"),
    "pair": ("int64", "pair of traces of that conversation"),
    "person": ("string", "code of who rated; it can't be led back to a name"),
    "kind": ("string", "main, practice or attention"),
    "counted": ("bool", "whether the rating counts in the results"),
    "why_not": ("string", "why it doesn't, empty where it does"),
    "stratum": ("string", "whose verdicts were right: both, first, second, neither; or empty"),
    "source": ("string", "where the conversation is from"),
    "row_id": ("string", "its row there"),
    "topic": ("string", "its topic, where it has one"),
    "prompt": ("string", "the request"),
    "response": ("string", "the reply, or null"),
    "gold": (_LABELS, "labels that count as right, null where there is none"),
    "first_arm": ("string", "arm of the first trace; first where no arm wrote it"),
    "second_arm": ("string", "arm of the second trace; second where no arm wrote it"),
    "first_trace": ("string", "what the first arm answered"),
    "second_trace": ("string", "what the second arm answered"),
    "first_verdicts": (_LABELS, "labels read in the first trace"),
    "second_verdicts": (_LABELS, "labels read in the second trace"),
    "first_right": ("bool", "whether they meet every gold label, null without gold"),
    "second_right": ("bool", "the same of the second"),
    "first_quality": ("float64", "automatic reasoning score, 0 to 1, or null"),
    "second_quality": ("float64", "the same of the second"),
    "first_words": ("int64", "length of the first trace"),
    "second_words": ("int64", "length of the second trace"),
    "left_arm": ("string", "the arm that stood left, as A"),
    "score": ("int64", "1: the second much better, 3: no difference, 5: the first much better"),
    "preferred": ("string", "the preferred arm, or tie"),
    "both_bad": ("bool", "a tie because both were bad"),
    "expected_arm": ("string", "the better trace of a practice or attention item, else null"),
    "criteria": (_SIDES, "1 to 5 for each trace, where it was asked"),
    "note": ("string", "what the person wrote"),
    "marks": ([_MARK], "steps that the person marked: wrong, unsupported, vague, key"),
    "seconds": ("float64", "from the conversation's reveal to the rating"),
    "late": ("bool", "came after its time was up"),
    "revealed": ("bool", "whether the conversation was opened before it was rated"),
    "created_at": ("string", "when, in UTC"),
    "revisions": ([_REVISION], "every opinion in order; the first is the one that counts"),
}


def rating_row(one: Rated, facts: StudyFacts) -> Row:
    """A rating as a row of COLUMNS."""
    vote, arms = one.vote, _arms(one, facts)
    preferred = vote.first_arm if vote.score > 3 else vote.second_arm
    return {
        "study": facts.name,
        "item": vote.item,
        "pair": vote.pair,
        "person": vote.annotator,
        "kind": vote.kind,
        "counted": not vote.why_not,
        "why_not": vote.why_not,
        "stratum": vote.stratum,
        "source": one.source,
        "row_id": one.row_id,
        "topic": one.topic,
        "prompt": one.prompt,
        "response": one.response,
        "gold": _labels(one.gold),
        "first_arm": arms[vote.first_arm],
        "second_arm": arms[vote.second_arm],
        "first_trace": one.traces[0],
        "second_trace": one.traces[1],
        "first_verdicts": _labels(one.verdicts[0]),
        "second_verdicts": _labels(one.verdicts[1]),
        "first_right": one.right[0],
        "second_right": one.right[1],
        "first_quality": vote.quality[0],
        "second_quality": vote.quality[1],
        "first_words": vote.words[0],
        "second_words": vote.words[1],
        "left_arm": arms[vote.left_arm],
        "score": vote.score,
        "preferred": "tie" if vote.score == 3 else arms[preferred],
        "both_bad": vote.both_bad,
        "expected_arm": None if vote.expected_arm is None else arms[vote.expected_arm],
        "criteria": _criteria(vote.criteria),
        "note": vote.note,
        "marks": _marks(vote.marks, arms),
        "seconds": vote.seconds,
        "late": vote.late,
        "revealed": vote.revealed,
        "created_at": one.revisions[0].created_at.isoformat(),
        "revisions": [_revision(each, arms) for each in one.revisions],
    }


def _arms(one: Rated, facts: StudyFacts) -> dict[int, str]:
    """Arm -> its name. Traces of practice and attention items are no arm's."""
    if one.vote.kind == "main":
        return dict(enumerate(facts.arm_names))
    return {one.vote.first_arm: "first", one.vote.second_arm: "second"}


def _labels(found: Mapping[str, str | None]) -> Row:
    return {name: found.get(name) for name in _LABELS}


def _criteria(found: Mapping[str, tuple[int, int]]) -> Row:
    nothing = (None, None)
    return {
        name: dict(zip(("first", "second"), found.get(name, nothing), strict=True))
        for name in CRITERIA
    }


def _marks(found: tuple[Mapping[str, object], ...], arms: Mapping[int, str]) -> list[Row]:
    return [
        {"arm": arms[int(str(one["arm"]))], "step": one.get("step"), "mark": one.get("mark")}
        for one in found
    ]


def _revision(one: Revision, arms: Mapping[int, str]) -> Row:
    return {
        "number": one.number,
        "score": one.score,
        "both_bad": one.both_bad,
        "criteria": _criteria(one.criteria),
        "note": one.note,
        "marks": _marks(one.marks, arms),
        "seconds": one.seconds,
        "late": one.late,
        "created_at": one.created_at.isoformat(),
    }


def arrow_schema() -> Any:
    """COLUMNS as a schema of pyarrow."""
    import pyarrow as pa

    def kind(told: Any) -> Any:
        if isinstance(told, list):
            return pa.list_(kind(told[0]))
        if isinstance(told, dict):
            return pa.struct([(name, kind(part)) for name, part in told.items()])
        plain: Any = {"bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}
        return plain.get(told, pa.string())

    return pa.schema([(name, kind(told)) for name, (told, _) in COLUMNS.items()])


def card_features() -> list[dict[str, Any]]:
    """COLUMNS as the front matter of a dataset card has its features."""

    def kind(told: Any) -> dict[str, Any]:
        if isinstance(told, list):
            inner = kind(told[0])
            return {"list": inner.get("struct") or inner["dtype"]}
        if isinstance(told, dict):
            return {"struct": [{"name": name, **kind(part)} for name, part in told.items()]}
        return {"dtype": told}

    return [{"name": name, **kind(told)} for name, (told, _) in COLUMNS.items()]


def json_line(row: Mapping[str, Any]) -> str:
    """A row as a line. Escaped: some readers take Unicode's line separators for ends of lines."""
    return json.dumps(row) + "\n"
