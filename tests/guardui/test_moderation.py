"""The moderation API as programs call it: OpenAI's client, plain HTTP, server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import anyio
import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from db.session import Database, open_database
from guardui import moderation_http
from guardui.access import AccessError, RateLimited, Role, Visitor
from guardui.live import BusyError
from guardui.moderation import Asked, Decision
from pipelines.base_models import DEMO_BASE
from pipelines.classify import InputTooLong
from pipelines.schema import GuardTask, HubError, ModelError, Verdict
from pipelines.serving import ServingClosed
from pipelines.settings import Settings
from tests.scripted_live import ScriptedLive, scripted_app

REQUEST, REFUSAL, RESPONSE = GuardTask
JSON = {"content-type": "application/json"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def database(home: Settings) -> Iterator[Database]:
    database = open_database(home.database_url)
    yield database
    database.dispose()


@pytest.fixture
def api(database: Database, home: Settings) -> tuple[ASGIApp, ScriptedLive]:
    return scripted_app(database, home)


@pytest.fixture
def client(api: tuple[ASGIApp, ScriptedLive]) -> Iterator[TestClient]:
    with TestClient(api[0]) as client:
        yield client


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.strip().split("\n\n"):
        if not block.startswith(":"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.mark.anyio
async def test_the_openai_client_moderates(api: tuple[ASGIApp, ScriptedLive]) -> None:
    transport = httpx2.ASGITransport(app=api[0])
    async with (
        httpx2.AsyncClient(transport=transport) as http,
        AsyncOpenAI(api_key="none", base_url="http://here/v1", http_client=http) as client,
    ):
        one = await client.moderations.create(input="a harmful request")
        assert one.model == DEMO_BASE
        assert one.results[0].flagged
        categories = one.results[0].categories.model_extra or {}
        assert categories["prompt_harmfulness"] is True
        assert categories["response_harmfulness"] is None, "there is no response"
        scores = one.results[0].category_scores.model_extra or {}
        assert scores["prompt_harmfulness"] == 0.9
        applied = one.results[0].category_applied_input_types.model_extra or {}
        assert applied == {
            "prompt_harmfulness": ["text"],
            "refusal": [],
            "response_harmfulness": [],
        }
        many = await client.moderations.create(
            input=["fine", "harmful", "fine too"], model="text-moderation-007"
        )
        assert [result.flagged for result in many.results] == [False, True, False]
        parts = await client.moderations.create(
            input=[{"type": "text", "text": "one"}, {"type": "text", "text": "harmful"}],
            extra_body={"mode": "fast"},
        )
        assert [result.flagged for result in parts.results] == [True], "parts are one input"
        assert api[1].asked[-1][:4:3] == ("one\n\nharmful", "fast")
        assert (await client.models.list()).data[0].id == DEMO_BASE
        with pytest.raises(openai.BadRequestError, match="input: must be a text"):
            await client.moderations.create(
                input=[{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]
            )
        with pytest.raises(openai.NotFoundError, match="artifact:9"):
            await client.moderations.create(input="x", model="artifact:9")


def test_of_a_chat_the_last_exchange_is_moderated(
    client: TestClient, api: tuple[ASGIApp, ScriptedLive]
) -> None:
    chat = [
        {"role": "system", "content": "harmful"},
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": "then"},
        {"role": "user", "content": [{"type": "text", "text": "now"}], "name": "ada"},
        {"role": "assistant", "content": "I can't."},
    ]
    (result,) = client.post("/v1/moderations", json={"input": chat}).json()["results"]
    assert api[1].asked[-1][:2] == ("now", "I can't.")
    assert result["categories"] == {
        "prompt_harmfulness": False,
        "refusal": True,
        "response_harmfulness": False,
    }
    assert not result["flagged"], "a refusal is no harm"
    alone = client.post("/v1/moderations", json={"input": chat[:1]})
    assert alone.status_code == 422
    assert "message of the user's" in alone.json()["error"]["message"]


def test_the_guard_tells_verdicts_trace_and_figures(
    client: TestClient, api: tuple[ASGIApp, ScriptedLive]
) -> None:
    body = {"prompt": "harmful", "response": "I can't help.", "max_new_tokens": 64}
    told = client.post("/v1/guard", json=body).json()
    assert api[1].asked[-1][4] == 64
    assert told["decision"] == "blocked"
    assert told["reasons"] == ["prompt_harmfulness"]
    assert told["verdicts"] == {
        "prompt_harmfulness": {"label": "harmful", "probability": 0.9},
        "refusal": {"label": "refusal", "probability": 0.9},
        "response_harmfulness": {"label": "unharmful", "probability": 0.1},
    }
    assert told["trace"] == [{"title": "Request", "steps": ["Look.\nIt is what it says."]}]
    assert told["usage"] == {"answer_tokens": 7}
    assert told["timings"]["moderation"] == 0.5
    assert told["parse_error"] is None
    alone = client.post("/v1/guard", json={"prompt": "fine", "response": " "}).json()
    assert alone["decision"] == "allowed"
    assert alone["verdicts"]["refusal"] == {"label": "n/a", "probability": None}


def test_an_unread_answer_is_blocked_unless_asked_otherwise(client: TestClient) -> None:
    closed = client.post("/v1/guard", json={"prompt": "garbled"}).json()
    assert (closed["decision"], closed["reasons"]) == ("blocked", ["unread"])
    assert closed["parse_error"]
    assert closed["verdicts"]["prompt_harmfulness"]["label"] is None
    opened = client.post("/v1/guard", json={"prompt": "garbled", "on_failure": "open"}).json()
    assert (opened["decision"], opened["reasons"]) == ("allowed", [])
    assert opened["parse_error"], "it is said all the same"
    (result,) = client.post("/v1/moderations", json={"input": "garbled"}).json()["results"]
    assert result["flagged"]
    assert result["categories"]["prompt_harmfulness"] is None


def test_a_harmfulness_without_a_label_is_a_failure_too() -> None:
    silent = Decision(Asked("x"), Verdict({REQUEST: None}, "", ""), 0, 0)
    assert silent.reasons == ["unread"]
    unjudged = Verdict({REQUEST: "unharmful", REFUSAL: None, RESPONSE: "unharmful"}, "", "")
    assert not Decision(Asked("x", "y"), unjudged, 0, 0).blocked


def test_a_stream_tells_what_is_done_then_text_then_the_verdict(client: TestClient) -> None:
    answer = client.post("/v1/guard", json={"prompt": "harmful", "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    assert told[-1][0] == "verdict"
    written = "".join(data["delta"] for name, data in told if name == "text")
    assert written == told[-1][1]["text"]
    assert told[-1][1]["decision"] == "blocked"
    assert {name for name, _ in told} <= {"activity", "text", "verdict"}


def test_a_fault_in_a_stream_is_an_event_of_its_own(
    client: TestClient, api: tuple[ASGIApp, ScriptedLive]
) -> None:
    api[1].fault = ModelError("adapter=x: broke")
    told = events(client.post("/v1/guard", json={"prompt": "raise", "stream": True}).text)
    assert [name for name, _ in told] == ["activity", "error"]
    assert told[-1][1]["error"]["message"] == "adapter=x: broke"
    early = client.post("/v1/guard", json={"prompt": "x", "stream": True, "adapter": "job:99"})
    assert early.status_code == 404
    assert early.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("fault", "status", "kind", "wait"),
    [
        (RateLimited("moderations: at most 20", 7), 429, "rate_limit_error", "7"),
        (BusyError("64 wait", 3), 429, "rate_limit_error", "3"),
        (AccessError("role=public"), 403, "permission_error", None),
        (InputTooLong("prompt: too long"), 422, "invalid_request_error", None),
        (ModelError("adapter=x: no weights"), 503, "server_error", "30"),
        (HubError("the Hub can't be reached"), 503, "server_error", "30"),
        (ServingClosed("The moderator was closed."), 503, "server_error", "1"),
        (RuntimeError("/secret/path"), 500, "server_error", None),
    ],
)
def test_faults_have_openais_shape(
    client: TestClient,
    api: tuple[ASGIApp, ScriptedLive],
    fault: Exception,
    status: int,
    kind: str,
    wait: str | None,
) -> None:
    api[1].fault = fault
    for path, body in (("guard", {"prompt": "raise"}), ("moderations", {"input": ["a", "raise"]})):
        answer = client.post(f"/v1/{path}", json=body)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == kind
        assert answer.headers.get("retry-after") == wait
        assert "secret" not in answer.text


def test_a_moderator_named_that_cannot_be_used_is_the_callers_fault(
    client: TestClient, api: tuple[ASGIApp, ScriptedLive]
) -> None:
    api[1].fault = ModelError("adapter=x: no weights")
    named = client.post("/v1/guard", json={"prompt": "raise", "adapter": DEMO_BASE})
    assert named.status_code == 422
    assert named.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"content": b"{"}, 400, "is no JSON"),
        ({"content": b"[]"}, 400, "must be a JSON object"),
        ({"content": b'{"prompt": "\\ud800"}'}, 400, "is no JSON"),
        ({"content": b"[" * 100_000}, 400, "is no JSON"),
        ({"json": {"prompt": " \n"}}, 400, "prompt: must not be blank"),
        ({"json": {}}, 400, "prompt: is missing"),
        ({"json": {"prompt": "x", "on_fail": "open"}}, 400, "on_fail: there is no such field"),
        ({"json": {"prompt": "x", "mode": "quick"}}, 400, "mode: input should be 'reason' or"),
        ({"json": {"prompt": "x", "stream": "yes"}}, 400, "stream: "),
        ({"json": {"prompt": "x", "adapter": "a\x00b"}}, 400, "adapter: has characters"),
        ({"json": {"prompt": "x", "adapter": "~nobody-here"}}, 422, "adapter=~nobody-here"),
        ({"json": {"prompt": "x", "adapter": "y" * 300}}, 422, "can't be the name"),
        ({"json": {"prompt": "x", "adapter": "artifact:" + "9" * 40}}, 422, "artifact"),
        ({"json": {"prompt": "x" * 20_001}}, 422, "20,001 characters"),
        ({"content": b" " * 1_000_001}, 413, "at most 1,000,000 bytes"),
        ({"content": b"prompt=x", "headers": {"content-type": "text/plain"}}, 415, "content-type"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    client: TestClient, sent: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post("/v1/guard", **({"headers": JSON} | sent))
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), (
        answer.text[:300]
    )


def test_others_than_researchers_may_name_only_what_is_on_offer(
    database: Database, home: Settings
) -> None:
    key = Visitor(Role.PUBLIC, "key 1 (ci)", "1.2.3.4", "api", 1, frozenset({"moderate"}))
    with TestClient(scripted_app(database, home, key)[0]) as client:
        assert client.post("/v1/guard", json={"prompt": "x"}).status_code == 200
        other = client.post("/v1/guard", json={"prompt": "x", "adapter": "/etc"})
        assert other.status_code == 422
        assert "not on offer" in other.json()["error"]["message"]
    nobody = Visitor(Role.PUBLIC, "", "1.2.3.4")
    jobs = Visitor(Role.RESEARCHER, "key 2 (x)", "1.2.3.4", "api", 2, frozenset({"jobs"}))
    for visitor, status in ((nobody, 401), (jobs, 403)):
        with TestClient(scripted_app(database, home, visitor)[0]) as client:
            refused = client.post("/v1/guard", json={"prompt": "x"})
            assert refused.status_code == status
            assert client.get("/v1/models").status_code == status
            assert client.get("/healthz").status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_whoever_hangs_up_is_not_moderated_for(
    api: tuple[ASGIApp, ScriptedLive], stream: bool
) -> None:
    app, live = api
    body = json.dumps({"prompt": "slow", "stream": stream}).encode()
    inbox: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    begun = anyio.Event()

    async def receive() -> Message:
        if inbox:
            return inbox.pop()
        while not live.asked:
            await anyio.sleep(0.01)
        begun.set()
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/guard",
        "headers": [(b"content-type", b"application/json")],
        "query_string": b"",
    }
    start = time.monotonic()
    await app(scope, receive, send)
    assert begun.is_set()
    assert time.monotonic() - start < 5, "not the 20 s that the answer takes"
    assert live.stopped == 1


@pytest.mark.anyio
async def test_a_body_that_does_not_come_is_not_waited_for(
    api: tuple[ASGIApp, ScriptedLive], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moderation_http, "BODY_SECONDS", 0.05)
    sent: list[Message] = []

    async def receive() -> Message:
        await anyio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/guard", "headers": headers}
    await api[0](scope | {"query_string": b""}, receive, send)
    assert sent[0]["status"] == 408


def test_metrics_count_requests_verdicts_and_failures(client: TestClient) -> None:
    for prompt in ("harmful", "fine", "garbled"):
        client.post("/v1/guard", json={"prompt": prompt})
    client.post("/v1/guard", json={})
    families = text_string_to_metric_families(client.get("/metrics").text)
    read = {
        (one.name, *sorted(one.labels.values())): one.value
        for family in families
        for one in family.samples
    }
    assert read["guardui_requests_total", "/v1/guard", "200"] == 3
    assert read["guardui_requests_total", "/v1/guard", "400"] == 1
    assert read["guardui_verdicts_total", "harmful", "prompt_harmfulness"] == 1
    assert read["guardui_verdicts_total", "n/a", "refusal"] == 3
    assert read["guardui_parse_failures_total", "reason"] == 1
    assert read["guardui_decisions_total", "blocked"] == 2
    assert read["guardui_answer_tokens_total",] == 21
    assert read["guardui_request_seconds_count", "/v1/guard"] == 4
    assert read["guardui_moderations_waiting",] == 0


def test_health_follows_the_database(
    client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}

    def fail() -> None:
        raise OSError("gone")

    monkeypatch.setattr(database, "read", fail)
    ill = client.get("/healthz")
    assert (ill.status_code, ill.json()) == (503, {"status": "database unreachable"})
