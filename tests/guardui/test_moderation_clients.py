"""LiteLLM's guardrail calls, an MCP client, the OpenAPI document against the API, and keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import given, settings
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method
from starlette.applications import Starlette
from starlette.testclient import TestClient

from db import api_keys
from db.session import Database, open_database
from guardui import moderation_routes as routes_module
from guardui.doors import Doors
from guardui.gate import Gate
from guardui.moderation_docs import docs_page
from guardui.moderation_models import GuardAnswer
from guardui.moderation_openapi import DOCUMENT, document
from guardui.moderation_routes import moderation_routes
from pipelines.settings import Settings
from tests.scripted_live import ScriptedLive, scripted_app

EXAMPLES = int(os.environ.get("GUARDUI_API_EXAMPLES", "6"))
OPERATIONS = ("createModeration", "guard", "litellmGuardrail")
EXCLUDED = [positive_data_acceptance, unsupported_method]
LITELLM = "/beta/litellm_basic_guardrail_api"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def database(home: Settings) -> Iterator[Database]:
    database = open_database(home.database_url)
    yield database
    database.dispose()


def test_litellm_asks_about_a_request_and_then_about_its_answer(
    database: Database, home: Settings
) -> None:
    app, live = scripted_app(database, home)
    chat = [
        {"role": "system", "content": "harmful rules"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "harmful"},
        {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "image_url"}]},
    ]
    asked: dict[str, Any] = {
        "input_type": "request",
        "texts": ["harmful rules", "first", "harmful", "second"],
        "structured_messages": chat,
        "litellm_call_id": "call-1",
        "request_data": {"user_api_key_alias": "x"},
        "litellm_version": "1.106.2",
    }
    with TestClient(app) as client:

        def judge(**more: Any) -> dict[str, Any]:
            return client.post(LITELLM, json=asked | more).json()

        assert judge() == {"action": "NONE", "blocked_reason": None}
        assert sorted(one[0] for one in live.asked) == ["first", "second"], "the user's turns"
        answer = {"input_type": "response", "structured_messages": None}
        assert judge(**answer, texts=["all fine"])["action"] == "NONE"
        assert live.asked[-1][:2] == ("second", "all fine"), "as an answer to the request"
        told = judge(**answer, texts=["harmful words"])
        assert told["action"] == "BLOCKED"
        assert told["blocked_reason"] == "Blocked by GuardUI: the response is harmful."
        judge(**answer, texts=["all fine"], litellm_call_id="another")
        assert live.asked[-1][0].startswith("(The request is not known")
        early = [{"role": "user", "content": "harmful"}, {"role": "user", "content": "ok"}]
        assert judge(structured_messages=early)["action"] == "BLOCKED", "an earlier turn counts"
        last = {"turns": "last", "mode": "fast"}
        told = judge(structured_messages=early, additional_provider_specific_params=last)
        assert told["action"] == "NONE"
        assert live.asked[-1][3] == "fast"
        assert judge(structured_messages=None, texts=[])["action"] == "NONE"
        unread = judge(structured_messages=None, texts=["garbled"])
        assert "could not be read" in unread["blocked_reason"]


def test_only_what_was_decided_on_is_remembered_and_not_for_long(
    database: Database, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, live = scripted_app(database, home)
    unknown = "(The request is not known.)"
    with TestClient(app) as client:

        def judge(kind: str, text: str, call: str) -> int:
            body = {"input_type": kind, "texts": [text], "litellm_call_id": call}
            return client.post(LITELLM, json=body).status_code

        def prompt_of(call: str) -> str:
            assert judge("response", "fine", call) == 200
            return live.asked[-1][0]

        assert judge("request", "x" * (home.max_input_chars + 1), "long") == 422
        assert prompt_of("long") == unknown
        monkeypatch.setattr(routes_module, "REMEMBERED", 2)
        for text, call in (("one", "a"), ("two", "b"), ("one again", "a"), ("three", "c")):
            assert judge("request", text, call) == 200
        assert [prompt_of(call) for call in "abc"] == ["one again", unknown, "three"]
        monkeypatch.setattr(routes_module, "REMEMBERED_SECONDS", 0.0)
        assert prompt_of("a") == unknown


@pytest.mark.anyio
async def test_an_mcp_client_calls_the_tool(database: Database, home: Settings) -> None:
    app, live = scripted_app(database, home)
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app))
    async with http, Client(streamable_http_client("http://here/mcp", http_client=http)) as client:
        (tool,) = (await client.list_tools()).tools
        assert tool.name == "classify"
        assert "prompt" in tool.input_schema["required"]
        told = await client.call_tool("classify", {"prompt": "harmful", "mode": "fast"})
        assert not told.is_error
        found = GuardAnswer.model_validate(told.structured_content)
        assert (found.decision, found.reasons) == ("blocked", ["prompt_harmfulness"])
        assert live.asked[-1][3] == "fast"
        wrong = await client.call_tool("classify", {"prompt": " "})
        assert wrong.is_error
        assert "must not be blank" in str(wrong.content)
        live.fault = RuntimeError("/secret")
        broken = await client.call_tool("classify", {"prompt": "raise"})
        assert broken.is_error
        assert "secret" not in str(broken.content)


def test_a_key_opens_the_api_until_it_is_revoked(database: Database, home: Settings) -> None:
    (home.home / "users.json").write_text("{}")
    routes = moderation_routes(database, home, ScriptedLive(database, home))
    doors = Doors(home, "0.0.0.0")
    app = Gate(Starlette(routes=routes), doors, database, {})
    with database.write() as session:
        key, text = api_keys.add(session, name="ci", scopes=["moderate"], made_by="ada")
    with TestClient(app, headers={"Authorization": f"Bearer {text}"}) as client:
        body = {"input": "harmful"}
        assert client.post("/v1/moderations", json=body).json()["results"][0]["flagged"]
        without = client.post("/v1/moderations", json=body, headers={"Authorization": ""})
        assert without.status_code == 401
        with database.write() as session:
            assert api_keys.list_keys(session)[0].used_at is not None
            api_keys.revoke(session, key.id)
        assert client.post("/v1/moderations", json=body).status_code == 401


def test_the_page_and_the_document_say_the_same(database: Database, home: Settings) -> None:
    with TestClient(scripted_app(database, home)[0]) as client:
        assert client.get(DOCUMENT).json() == document()
        page = client.get("/v1/docs").text
    assert page == docs_page()
    assert "<script" not in page
    for path, methods in document()["paths"].items():
        assert path in page
        assert len(methods) == 1
    paths = {
        route.path for route in moderation_routes(database, home, ScriptedLive(database, home))
    }  # type: ignore[attr-defined]
    assert set(document()["paths"]) == paths - {DOCUMENT, "/v1/docs", "/metrics", "/mcp"}


@pytest.mark.parametrize("operation_id", OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_the_answer_is_as_the_document_says(
    database: Database, home: Settings, operation_id: str, mode: GenerationMode
) -> None:
    app = scripted_app(database, home)[0]
    schema = schemathesis.openapi.from_asgi(DOCUMENT, app)
    operation = schema.find_operation_by_id(operation_id)

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True)
    def sent(case: schemathesis.Case) -> None:
        answer = case.call()
        assert answer.status_code < 500, answer.text
        # A moderator that isn't there is a text that the document allows; which methods there
        # are is the gate's to say.
        case.validate_response(answer, excluded_checks=EXCLUDED)

    sent()
