"""The OpenAPI 3.1 document of the API, made from its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import guardui
from guardui import moderation_models as models

DOCUMENT, DOCS = "/v1/openapi.json", "/v1/docs"
REF = "#/components/schemas/{model}"
REFUSALS = {
    400: "The body is no JSON, or not as described.",
    401: "No key, or one that is unknown, revoked or expired.",
    403: "The key or the login may not do this.",
    404: "There is no such moderator.",
    408: "The body did not come in time.",
    413: "The body is too long.",
    415: "The body must be `application/json`.",
    422: "It can't be moderated: too long a text, or a moderator that isn't on offer.",
    429: "Asked too often, or too many wait already; `Retry-After` says when to come again.",
    500: "A fault of the server's.",
    503: "Out of memory, or the default moderator can't be used; `Retry-After` as for 429.",
}
EVENTS = (
    "With `stream`, server-sent events: `activity` {activity, seconds} while it waits and loads, "
    "`text` {delta, tokens} as it writes, then one `verdict` (the object above) or one `error`."
)
EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"enum": ["activity", "text", "verdict", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
    "description": EVENTS,
}
OPERATIONS: tuple[dict[str, Any], ...] = (
    {
        "path": "/v1/moderations",
        "id": "createModeration",
        "title": "Moderate, in OpenAI's shape",
        "about": "Takes what OpenAI's clients send. The categories are the three tasks: "
        "`prompt_harmfulness`, `response_harmfulness` and `refusal`; harm flags, refusal doesn't.",
        "body": models.ModerationRequest,
        "answer": models.ModerationAnswer,
    },
    {
        "path": "/v1/guard",
        "id": "guard",
        "title": "Three verdicts, the trace, and a decision",
        "about": EVENTS,
        "body": models.GuardRequest,
        "answer": models.GuardAnswer,
        "stream": True,
    },
    {
        "path": "/beta/litellm_basic_guardrail_api",
        "id": "litellmGuardrail",
        "title": "LiteLLM's generic guardrail",
        "about": "Called by LiteLLM's proxy before and after a model is asked.",
        "body": models.LiteLLMRequest,
        "answer": models.LiteLLMAnswer,
    },
    {
        "path": "/v1/models",
        "id": "listModels",
        "title": "Moderators on offer",
        "about": "The first is the one meant by default.",
        "body": None,
        "answer": models.ModelList,
    },
    {
        "path": "/healthz",
        "id": "health",
        "title": "Whether it is well",
        "about": "200 while the database answers, 503 otherwise. Needs no key.",
        "body": None,
        "answer": models.Health,
    },
)


@cache
def document() -> dict[str, Any]:
    """The document, as JSON values. Not to be changed."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "GuardUI moderation",
            "version": guardui.__version__,
            "description": "Reads a conversation, thinks step by step, and gives three verdicts: "
            "is the request harmful, does the assistant refuse, is its response harmful.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {one["path"]: {_method(one): _operation(one)} for one in OPERATIONS},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key with the scope `moderate`, as made in the page "
                    "under Access or by `guardui keys add`.",
                }
            },
        },
        "security": [{"key": []}, {}],
    }


def _method(operation: Mapping[str, Any]) -> str:
    return "post" if operation["body"] else "get"


def _schemas() -> dict[str, Any]:
    asked = [(one["body"], "validation") for one in OPERATIONS if one["body"]]
    told = [(one["answer"], "serialization") for one in OPERATIONS]
    every: Any = [*asked, *told, (models.ErrorAnswer, "serialization")]
    return models_json_schema(every, ref_template=REF)[1]["$defs"]


def _operation(one: Mapping[str, Any]) -> dict[str, Any]:
    ok: dict[str, Any] = {"description": "Done.", "content": _json(one["answer"])}
    if one.get("stream"):
        ok["content"]["text/event-stream"] = {"schema": EVENT}
    operation: dict[str, Any] = {
        "operationId": one["id"],
        "summary": one["title"],
        "description": one["about"],
        "responses": {"200": ok, **_refusals(one)},
    }
    if one["body"]:
        operation["requestBody"] = {"required": True, "content": _json(one["body"])}
    if one["id"] == "health":
        operation["security"] = []
    return operation


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}


def _refusals(one: Mapping[str, Any]) -> dict[str, Any]:
    if one["id"] == "health":
        return {"503": {"description": REFUSALS[503], "content": _json(models.Health)}}
    those: Sequence[int] = tuple(REFUSALS) if one["body"] else (401, 403, 429, 500)
    waits = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        str(status): {
            "description": REFUSALS[status],
            "content": _json(models.ErrorAnswer),
            **({"headers": waits} if status in (429, 503) else {}),
        }
        for status in those
    }
