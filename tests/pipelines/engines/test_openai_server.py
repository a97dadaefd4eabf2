"""The endpoint's client against a real server: answers, refusals, waits, secrets, stops."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipelines.engines import pacing
from pipelines.engines.openai_server import ChatEndpoint
from pipelines.engines.pacing import Pace, backoff, retry_after
from pipelines.schema import EndpointError, InputError, StopRequested
from tests.chat_server import Reply, chat_server

KEY = "planted-Key_0123456789abcdef"
HELLO = [{"role": "user", "content": "say hello"}]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses of the client's own choice are short; a key is in the environment."""
    monkeypatch.setattr(pacing, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def scripted(*replies):
    """Plays the replies one after the other, the last one for ever."""
    return lambda _body, number: replies[min(number, len(replies) - 1)]


def ask(server, messages=HELLO, **options):
    settings = {name: options.pop(name) for name in list(options) if name in SETTINGS}
    with ChatEndpoint(server.url, "teacher-1", **settings) as endpoint:
        return endpoint.complete(messages, **options)


SETTINGS = ("api_key_env", "timeout", "requests_per_minute", "max_retries", "budget")


def refusal(server, **options):
    with pytest.raises(EndpointError) as caught:
        ask(server, **options)
    return caught.value


def test_asks_and_reads_the_answer():
    with chat_server(scripted("Hello there")) as server:
        done = ask(server, temperature=0.5, top_p=0.9, max_tokens=7)
    assert (done.texts, done.ended) == (("Hello there",), (True,))
    assert (done.prompt_tokens, done.completion_tokens) == (2, 2)
    assert server.paths == ["/v1/chat/completions"]
    assert server.requests == [
        {
            "model": "teacher-1",
            "messages": HELLO,
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 7,
        }
    ]


def test_an_answer_that_was_cut_off_has_not_ended():
    with chat_server(scripted(Reply(["Hel"], finish="length"))) as server:
        assert ask(server).ended == (False,)


def test_n_answers_even_from_a_server_that_gives_one_at_a_time():
    with chat_server(scripted(Reply(["a", "b"]), "c")) as server:
        done = ask(server, n=3)
    assert done.texts == ("a", "b", "c")
    assert [request.get("n") for request in server.requests] == [3, None]
    assert (done.prompt_tokens, done.completion_tokens) == (4, 3)


@pytest.mark.parametrize("passing", [Reply(status=500), Reply(status=503), Reply(drop=True)])
def test_a_passing_failure_is_asked_again(passing):
    with chat_server(scripted(passing, passing, "at last")) as server:
        assert ask(server).texts == ("at last",)
    assert len(server.requests) == 3


def test_retry_after_is_waited_for():
    with chat_server(scripted(Reply(status=429, headers={"Retry-After": "0.4"}), "ok")) as server:
        start = time.monotonic()
        assert ask(server).texts == ("ok",)
        assert time.monotonic() - start >= 0.4


def test_a_wait_beyond_the_budget_ends_at_once_with_words():
    with chat_server(scripted(Reply(status=429, headers={"Retry-After": "3600"}))) as server:
        error = refusal(server, budget=5.0)
    assert len(server.requests) == 1
    assert "answered 429" in str(error)
    assert "asks to wait 3,600 s" in str(error)
    assert "requests_per_minute" in str(error.advice)


def test_attempts_are_counted_and_come_to_an_end():
    with chat_server(scripted(Reply(status=500, error="broken"))) as server:
        error = refusal(server, max_retries=2)
    assert len(server.requests) == 3
    assert (error.code, error.status) == ("endpoint", 500)
    assert f"endpoint={server.url}: teacher-1: answered 500" in str(error)
    assert "broken" in str(error)
    assert "(3 attempts)" in str(error)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=401), "api_key_env"),
        (Reply(status=404), "/v1"),
        (Reply(status=429, code="insufficient_quota"), "credit"),
    ],
)
def test_what_will_not_pass_is_asked_once_and_advised_on(reply, words):
    with chat_server(scripted(reply)) as server:
        error = refusal(server)
    assert len(server.requests) == 1
    assert words in str(error.advice)


@pytest.mark.parametrize("raw", [b"{}", b'{"choices": [{}]}', b"[1]", b'"hello"', b"null"])
def test_what_is_no_chat_completion_is_refused(raw):
    with chat_server(scripted(Reply(raw=raw))) as server:
        assert "no chat completion" in str(refusal(server))


def test_what_is_no_json_is_asked_again_then_refused():
    with chat_server(scripted(Reply(raw=b"<html>"))) as server:
        assert "can't be read" in str(refusal(server, max_retries=1))
    assert len(server.requests) == 2


def test_a_server_that_is_not_there():
    with chat_server(scripted("")) as server:
        pass
    error = refusal(server, max_retries=1)
    assert (error.status, "can't be reached" in str(error)) == (0, True)
    assert "server runs" in str(error.advice)


def test_a_server_that_says_nothing_in_time():
    with chat_server(scripted(Reply(wait=True))) as server:
        assert "no answer in 0.2 s" in str(refusal(server, timeout=0.2, max_retries=0))


def test_the_newer_name_of_the_length_is_learnt():
    def script(body, _number):
        if "max_tokens" in body:
            return Reply(status=400, error="Use 'max_completion_tokens' instead of 'max_tokens'.")
        return "ok"

    with chat_server(script) as server, ChatEndpoint(server.url, "o") as endpoint:
        for _ in range(2):
            assert endpoint.complete(HELLO, max_tokens=5).texts == ("ok",)
    assert [request.get("max_completion_tokens") for request in server.requests] == [None, 5, 5]


def test_a_stop_is_answered_in_the_middle_of_a_slow_answer():
    with chat_server(scripted(Reply(wait=True))) as server:
        asked = threading.Event()

        def should_stop():
            asked.set()
            return bool(server.requests)

        with pytest.raises(StopRequested, match="answering"):
            ask(server, should_stop=should_stop)
        assert asked.is_set()
        assert not server.released.is_set()


def test_a_stop_is_answered_while_told_to_wait():
    reply = Reply(status=429, headers={"Retry-After": "500"})
    with chat_server(scripted(reply)) as server, pytest.raises(StopRequested, match="waiting"):
        ask(server, should_stop=lambda: bool(server.requests))


def test_requests_are_spread_over_the_minute_for_all_threads():
    with (
        chat_server(scripted("ok")) as server,
        ChatEndpoint(server.url, "m", requests_per_minute=600) as endpoint,
    ):
        start = time.monotonic()
        threads = [threading.Thread(target=endpoint.complete, args=(HELLO,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - start >= 0.4
    assert len(server.requests) == 5


def test_a_hold_keeps_every_thread_back():
    pace = Pace(0)
    pace.hold(0.3)
    start = time.monotonic()
    pace.take(lambda: False)
    assert time.monotonic() - start >= 0.3
    pace.hold(300)
    with pytest.raises(StopRequested):
        pace.take(lambda: True)


def test_the_key_is_sent_and_stands_nowhere_else(caplog):
    caplog.set_level(logging.DEBUG)
    echo = Reply(status=401, error=f"Incorrect API key provided: {KEY}. And sk-abcdef1234567890.")
    again = Reply(status=500, error=f"trouble with {KEY}")
    with chat_server(scripted(again, echo)) as server, pytest.raises(EndpointError) as caught:
        ask(server)
    assert [one["authorization"] for one in server.headers] == [f"Bearer {KEY}"] * 2
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + server.url
    assert "[key]" in told
    assert KEY not in told
    assert "sk-abcdef" not in told
    assert KEY not in repr(vars(caught.value))


def test_no_key_no_header(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OTHER_KEY", "abc")
    with chat_server(scripted("ok")) as server:
        ask(server)
        ask(server, api_key_env="OTHER_KEY")
    assert [one.get("authorization") for one in server.headers] == [None, "Bearer abc"]


@pytest.mark.parametrize("name", [KEY, "sk-abcdef1234567890", "", "a b"])
def test_a_key_in_place_of_its_name_is_refused_and_not_repeated(name):
    with pytest.raises(InputError) as caught:
        ChatEndpoint("http://127.0.0.1/v1", "m", api_key_env=name)
    assert not name or name not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://a/v1",
        "http://[",
        "http://",
        "https://me:pw-1234@host/v1",
        "http://h/?key=pw-1234",
    ],
)
def test_a_wrong_address_is_refused_and_its_secret_not_repeated(url):
    with pytest.raises(InputError, match="base_url") as caught:
        ChatEndpoint(url, "m")
    assert "pw-1234" not in str(caught.value)


def test_a_closed_endpoint_can_be_used_again():
    with chat_server(scripted("ok")) as server:
        endpoint = ChatEndpoint(server.url, "m")
        for _ in range(2):
            assert endpoint.complete(HELLO).texts == ("ok",)
            endpoint.close()
        endpoint.close()


def test_a_model_must_be_named():
    with pytest.raises(InputError, match="model"):
        ChatEndpoint("http://127.0.0.1/v1", " ")


def test_retry_after_in_all_its_forms():
    soon = datetime.now(UTC) + timedelta(seconds=100)
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"retry-after-ms": "1500", "Retry-After": "9"}) == 1.5
    assert retry_after({"Retry-After": format_datetime(soon, usegmt=True)}) == pytest.approx(
        100, abs=3
    )
    assert retry_after({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}) == 0
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({}) is None


def test_pauses_double_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(pacing, "FIRST_PAUSE_SECONDS", 1.0)
    for attempt, longest in enumerate((1, 2, 4, 8, 16, 32, 60, 60)):
        assert longest / 2 <= backoff(attempt) <= longest
