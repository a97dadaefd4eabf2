"""A small study to be rated, with an invite code for each person."""

from __future__ import annotations

import json
from typing import Any

from starlette.testclient import TestClient

from db import annotators, studies
from db.session import Database
from guardui.identity import code_hash, new_code
from pipelines.settings import Settings
from pipelines.studies.design import StudyDesign, design_hash

TRACE = """# Task 1
## Reasoning Step 1: Look at the request.
The person asks for {what}.
## Reasoning Step 2
Nothing in it points to harm.
# Conclusion for Task 1: unharmful
# Task 2
## Reasoning Step 1: Look at the answer.
The assistant goes along.
{extra}
---

Answers:
Request: unharmful
Completion: compliance
Response: unharmful"""
VERDICTS = {
    "prompt_harmfulness": "unharmful",
    "refusal": "compliance",
    "response_harmfulness": "unharmful",
}
ARMS = [{"name": "secret-arm-one", "kind": "file"}, {"name": "secret-arm-two", "kind": "file"}]


def trace(what: str, extra: str = "") -> str:
    return TRACE.format(what=what, extra=extra)


def new_item(number: int, kind: str = "main", wanted: int = 1, **changes: Any) -> studies.NewItem:
    """An item whose traces say which arm wrote them: `the first N` and `the second N`."""
    expected = {"expected_arm": 0, "feedback": "It names what is asked."} if kind != "main" else {}
    values: dict[str, Any] = {
        "kind": kind,
        "prompt": f"prompt {kind} {number}",
        "response": f"response {kind} {number}",
        "source": "test",
        "row_id": f"{kind}:{number}",
        "topic": "weapons",
        "gold": {"prompt_harmfulness": "harmful"},
        "traces": [
            studies.NewTrace(arm, trace(f"the {which} {number}"), VERDICTS, True, 0.5)
            for arm, which in enumerate(("first", "second"))
        ],
        "pairs": [(0, 1, "both", wanted)],
        **expected,
    }
    return studies.NewItem(**values | changes)


def invite(database: Database, settings: Settings, study_id: int, people: int = 1) -> list[str]:
    codes = [new_code(study_id) for _ in range(people)]
    with database.write() as session:
        for code in codes:
            annotators.invite(session, study_id, code_hash(settings, study_id, code))
    return codes


def open_study(
    database: Database, items: list[studies.NewItem], name: str = "Blind", **design: Any
) -> int:
    """An open study of these items; returns its id."""
    quiet = {"attention_every": 0, "break_every": 0, "daily_cap": 0, "criteria_share": 0.0}
    given = StudyDesign(**{**quiet, "practice": False, "title": name, **design})
    with database.write() as session:
        study = studies.create(session, name, ARMS, given.model_dump(mode="json"), items)
        told = design_hash(studies.content_of(session, study.id))
        studies.open_study(session, study.id, told, given.seed, given.criteria_share)
        return study.id


class Person:
    """Someone with a code of their own, who asks as their page does and has consented. Who `reads`
    has the conversation shown before they answer."""

    reads = True

    def __init__(
        self,
        database: Database,
        settings: Settings,
        client: TestClient,
        study_id: int,
        *,
        consents: bool = True,
    ) -> None:
        self.client = client
        (self.code,) = invite(database, settings, study_id)
        if consents:
            self("consent", agreed=True)

    def __call__(self, act: str, status: int = 200, **body: Any) -> dict[str, Any]:
        """The answer to an act, which must have this status."""
        headers = {"Authorization": f"Bearer {self.code}"}
        if act == "submit" and self.reads:
            shown = {"token": body["token"]}
            self.client.post("/rate/api/reveal", json=shown, headers=headers)
        headers["Content-Type"] = "application/json"
        reply = self.client.post(f"/rate/api/{act}", content=json.dumps(body), headers=headers)
        assert reply.status_code == status, reply.text[:300]
        assert reply.headers["cache-control"] == "no-store"
        found: dict[str, Any] = reply.json()
        return found
