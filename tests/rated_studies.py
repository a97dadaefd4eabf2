"""Studies that people have rated, made through the same functions as real ones."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from db import annotators, studies, study_ratings, study_slots
from db.session import Database
from db.studies import NewItem, NewTrace
from guardui import study_acts
from pipelines.settings import Settings
from pipelines.studies.design import StudyDesign

NASTY = "<script>window.xss=1</script><img src=x onerror='window.xss=1'>"
TRACE = """# Task 1
## Reasoning Step 1: Look at the request.
{said} It asks for what belongs to somebody else.
# Task 2
## Reasoning Step 1: Look at the answer.
The assistant declines.

Answers:
Request: {label}
Completion: refusal
Response: unharmful"""
STRATA = ("both", "first", "second", "neither")


def trace(said: str, label: str = "harmful") -> str:
    return TRACE.format(said=said, label=label)


def new_item(number: int, arms: int = 2, kind: str = "main", wanted: int = 1) -> NewItem:
    """An item of which every pair of arms is compared; arms say which they are in their traces."""
    stratum = STRATA[number % 4]
    right = (stratum in ("both", "first"), stratum in ("both", "second"), True, True)
    traces = []
    for arm in range(arms if kind == "main" else 2):
        label = "harmful" if right[arm] else "unharmful"
        text = trace(
            f"Trace {arm} of {kind} item {number} {NASTY}." + " More." * (number % 5), label
        )
        verdicts = {"prompt_harmfulness": label, "refusal": "refusal"}
        traces.append(NewTrace(arm, text, verdicts, right[arm], 0.4 + 0.1 * arm + number / 100))
    pairs = [(a, b, stratum, wanted) for b in range(len(traces)) for a in range(b)]
    known: dict[str, Any] = {} if kind == "main" else {"expected_arm": 0, "feedback": "It is so."}
    return NewItem(
        kind=kind,
        prompt=f"Question {kind} {number} {NASTY}",
        response=None if number % 2 else f"I can't help with that. {NASTY}",
        source="AegisSafetyTest",
        row_id=f"AegisSafetyTest:{number}",
        topic="fraud" if number % 3 else "",
        gold={"prompt_harmfulness": "harmful"} if kind == "main" else {},
        traces=traces,
        pairs=pairs,
        **known,
    )


def draft(
    database: Database,
    name: str = "Tuned against plain",
    arms: Sequence[str] = ("tuned", "plain"),
    items: int = 12,
    **design: Any,
) -> int:
    """The id of a draft with items, two of them rated by more people, practice and attention."""
    made = [new_item(n, len(arms), "practice") for n in range(2)]
    made += [new_item(n, len(arms), wanted=3 if n < 4 else 1) for n in range(items)]
    made += [new_item(n, len(arms), "attention") for n in range(3)]
    decided = StudyDesign(**{"attention_every": 4, "criteria_share": 0.5, **design})
    told = [{"name": one, "kind": "adapter", "reference": f"/home/me/{one}"} for one in arms]
    with database.write() as session:
        return studies.create(session, name, told, decided.model_dump(mode="json"), made).id


def rate(
    database: Database,
    settings: Settings,
    study_id: int,
    people: Sequence[str] = ("Anna", "", "Ben", ""),
    lean: float = 1.2,
    seed: int = 0,
    most: int = 1_000,
) -> list[int]:
    """People rate all that they are given, in turn; `lean` is towards the lower arm. Their ids."""
    rng = Random(seed)
    study_acts.invite(database, settings, study_id, len(people), [])
    with database.write() as session:
        known = annotators.list_annotators(session, study_id)[-len(people) :]
        for one, name in zip(known, people, strict=True):
            annotators.consent(session, one.id, [])
            if name:
                _name(session, one.id, name)
    ids, busy = [one.id for one in known], [one.id for one in known]
    for _ in range(most):
        for person in list(busy):
            if not _one(database, study_id, person, lean, rng):
                busy.remove(person)
        if not busy:
            break
    return ids


def _name(session: Any, annotator_id: int, name: str) -> None:
    from db.models import AnnotatorName

    session.add(AnnotatorName(annotator_id=annotator_id, name=name))


def _one(database: Database, study_id: int, person: int, lean: float, rng: Random) -> bool:
    """One rating of one person, whose traces tell them which arm is which; False without any."""
    with database.write() as session:
        lease = study_slots.next_slot(
            session,
            study_id,
            person,
            lease_seconds=600,
            attention_every=4,
            practice=True,
            rng=rng,
        )
        if lease is None:
            return False
        study_slots.reveal(session, lease.token, person)
        texts = (lease.left, lease.right)
        # Practice items that come with GuardUI name no arm.
        arms = [int(text.split("Trace ")[1][0]) if "Trace " in text else 0 for text in texts]
        drawn = rng.gauss(lean, 1.4) * (1 if arms[0] < arms[1] else -1)
        overall = max(1, min(5, round(3 - drawn)))
        if lease.kind == "attention":
            overall = 1 if lease.expected_side == "left" else 5
        if lease.kind == "main" and rng.random() < 0.05:
            overall = 0
        criteria = {}
        if lease.with_criteria:
            names = ("coherence", "relevance", "specificity")
            better = 1 if overall in (1, 2) else -1
            criteria = {name: [3 + better, 3 - better] for name in names}
        marks = [{"side": "left", "step": 1, "mark": "key"}] if rng.random() < 0.2 else []
        note = f"My note {NASTY}" if rng.random() < 0.2 else ""
        study_ratings.submit(session, lease.token, person, overall, criteria, note, marks)
        if lease.kind == "main" and rng.random() < 0.15:
            study_ratings.revise(session, lease.token, person, 3, criteria, "changed", [])
        if lease.kind == "practice" and lease.number_of >= 2:
            annotators.practised(session, person)
    return True
