"""A model behind an OpenAI-compatible endpoint: `POST {base_url}/chat/completions`.

Keys come from the environment alone. They stand in no config, log, error or URL.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

from pipelines.engines.pacing import TICK_SECONDS, Pace, backoff, retry_after, wait_until
from pipelines.schema import EndpointError, InputError, StopRequested

logger = logging.getLogger(__name__)

PASSING = frozenset({0, 408, 409, 425, 429})
"""Failures that may be gone at the next attempt, as every 5xx may; 0 is no answer at all."""
ADVICE = {
    0: "Check base_url, that the server runs, and the network.",
    401: "Put a valid key into the environment variable that api_key_env names.",
    402: "The account has no credit: add some, then resume the job.",
    403: "The key may not use this model: choose another model or key.",
    404: "Check base_url (it usually ends in /v1) and the model's name.",
    429: "Lower requests_per_minute or parallel, or wait, then resume the job.",
}
_KEY_LIKE = re.compile(r"\b(?:sk|hf|gsk|xai|AIza)[-_]?[A-Za-z0-9_*-]{8,}")


@dataclass(frozen=True, slots=True)
class Completion:
    """The n answers to one chat, and what they cost in tokens as the server counts them.

    `ended` is False for an answer that the length limit or a filter cut off.
    """

    texts: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int
    ended: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class _Failure:
    """One attempt that failed; `status` is 0 where no answer came."""

    what: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str = ""

    @property
    def passing(self) -> bool:
        out_of_credit = self.code == "insufficient_quota"
        return (self.status in PASSING or self.status >= 500) and not out_of_credit


def check_base_url(url: str) -> str:
    """The address without a slash at its end. Raises InputError, which repeats no secret."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("base_url: must be http(s)://HOST[:PORT]/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            "base_url: must hold no password, key or query",
            advice="Put the key into an environment variable and name it in api_key_env.",
        )
    return url.strip().rstrip("/")


def check_key_name(name: str) -> str:
    """The name of an environment variable. Raises InputError, which doesn't repeat it, for
    somebody may have pasted the key itself."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", name):
        raise InputError(
            "api_key_env: must be the name of an environment variable in capitals, such as "
            "OPENAI_API_KEY, and never the key itself"
        )
    return name


class ChatEndpoint:
    """One model of one server, for any number of threads at once. Close it, or use `with`.

    `timeout` is for one request and `budget` for all attempts at it, in seconds. The environment
    variable may be unset: servers of one's own often ask for no key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 300.0,
        requests_per_minute: float = 0,
        max_retries: int = 6,
        budget: float = 900.0,
    ) -> None:
        self.base_url, self.model = check_base_url(base_url), model.strip()
        self._key = os.environ.get(check_key_name(api_key_env), "").strip()
        if not self.model:
            raise InputError("model: a value is needed (the model's name at the endpoint)")
        self._timeout, self._budget, self._max_retries = timeout, budget, max_retries
        self._pace = Pace(requests_per_minute)
        self._length_name = "max_tokens"
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections. The endpoint may be used again after."""
        with self._lock:
            loop, thread, client = self._loop, self._thread, self._client
            self._loop = self._thread = self._client = None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_shut(client), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def complete(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        n: int = 1,
        should_stop: Callable[[], bool] | None = None,
    ) -> Completion:
        """n answers to a chat of `{"role", "content"}`; what is None is left to the server.

        Raises EndpointError where the server refuses or the attempts are used up, and
        StopRequested soon after `should_stop` says so, even in the middle of a request.
        """
        given = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        body = {name: value for name, value in given.items() if value is not None}
        texts: list[str] = []
        ended: list[bool] = []
        prompt_tokens = completion_tokens = 0
        while len(texts) < n:  # many servers give one answer whatever n says
            more = {"n": n - len(texts)} if n - len(texts) > 1 else {}
            reply = self._insist(
                {"messages": list(messages), **body, **more}, should_stop or (lambda: False)
            )
            texts += [choice.message.content or "" for choice in reply.choices]
            ended += [choice.finish_reason in ("stop", None) for choice in reply.choices]
            if reply.usage is not None:
                prompt_tokens += reply.usage.prompt_tokens or 0
                completion_tokens += reply.usage.completion_tokens or 0
        return Completion(tuple(texts[:n]), prompt_tokens, completion_tokens, tuple(ended[:n]))

    def score(self, *_texts: object) -> NoReturn:
        """Raises EndpointError: a chat doesn't tell how probable a given answer is."""
        raise EndpointError(f"endpoint={self.base_url}: {self.model}: can't score given answers")

    def _insist(self, body: dict[str, Any], should_stop: Callable[[], bool]) -> Any:
        """One reply, asked for again while the failure may pass."""
        attempt, spent = 0, 0.0
        while True:
            self._pace.take(should_stop)
            start = time.monotonic()
            reply, failure = self._ask(body, should_stop)
            if failure is None:
                return reply
            if self._renames_length(failure, body):
                continue
            attempt += 1
            asked = retry_after(failure.headers)
            pause = backoff(attempt - 1) if asked is None else asked
            spent += time.monotonic() - start + pause
            if not failure.passing or attempt > self._max_retries or spent > self._budget:
                raise self._error(failure, attempt, asked)
            logger.info("%s %s; trying again in %.1f s", self.base_url, failure.what, pause)
            if failure.status == 429:
                self._pace.hold(pause)
            wait_until(time.monotonic() + pause, should_stop)

    def _ask(
        self, body: dict[str, Any], should_stop: Callable[[], bool]
    ) -> tuple[Any, _Failure | None]:
        """(the reply, None) or (None, how it failed). The library's own errors end here, since
        servers repeat parts of a key in them."""
        import openai
        from openai.types.chat import ChatCompletion

        body = {self._length_name if name == "max_tokens" else name: v for name, v in body.items()}
        try:
            reply = self._run(body, should_stop)
        except openai.APIStatusError as error:
            said = self._redacted(re.sub(r"\s+", " ", str(error.message)))[:300]
            return None, _Failure(
                f"answered {error.status_code}: {said}",
                error.status_code,
                dict(error.response.headers),
                str(error.code),
            )
        except openai.APITimeoutError:
            return None, _Failure(f"gave no answer in {self._timeout:g} s", 0)
        except openai.APIConnectionError:
            return None, _Failure("can't be reached, or dropped the connection", 0)
        except (openai.OpenAIError, ValueError) as error:
            return None, _Failure(f"answered what can't be read ({type(error).__name__})", 502)
        whole = isinstance(reply, ChatCompletion) and reply.choices
        if whole and all(choice.message for choice in reply.choices):
            return reply, None
        return None, _Failure("answered something that is no chat completion", 404)

    def _run(self, body: dict[str, Any], should_stop: Callable[[], bool]) -> Any:
        """Sends the request in the endpoint's own loop, where a stop can cancel it."""
        import openai

        client, loop = self._connected()
        # Without a key none is sent, though the library itself insists on one.
        unsent: Any = None if self._key else {"Authorization": openai.Omit()}
        call = client.chat.completions.create(model=self.model, extra_headers=unsent, **body)
        future = asyncio.run_coroutine_threadsafe(call, loop)
        while not concurrent.futures.wait([future], TICK_SECONDS).done:
            if should_stop():
                future.cancel()
                raise StopRequested(f"stopped while {self.base_url} was answering")
        return future.result()

    def _connected(self) -> tuple[Any, asyncio.AbstractEventLoop]:
        import openai

        with self._lock:
            if self._client is None or self._loop is None:
                # A line for each request would drown all else in a job's log.
                logging.getLogger("httpx2").setLevel(logging.WARNING)
                self._client = openai.AsyncOpenAI(
                    base_url=self.base_url,
                    api_key=self._key or "none",
                    timeout=self._timeout,
                    max_retries=0,
                )
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="endpoint", daemon=True
                )
                self._thread.start()
            return self._client, self._loop

    def _renames_length(self, failure: _Failure, body: Mapping[str, Any]) -> bool:
        """Whether the server wants the length under its newer name, as OpenAI's own models do."""
        if failure.status != 400 or "max_completion_tokens" not in failure.what:
            return False
        if "max_tokens" not in body or self._length_name != "max_tokens":
            return False
        self._length_name = "max_completion_tokens"
        return True

    def _error(self, failure: _Failure, attempts: int, asked: float | None) -> EndpointError:
        message = f"endpoint={self.base_url}: {self.model}: {failure.what}"
        if attempts > 1:
            message += f" ({attempts} attempts)"
        if asked is not None and asked > self._budget:
            message += f"; it asks to wait {asked:,.0f} s"
        advice = ADVICE[402] if failure.code == "insufficient_quota" else None
        advice = advice or ADVICE.get(failure.status, ADVICE[0] if failure.passing else None)
        return EndpointError(message, status=failure.status, advice=advice)

    def _redacted(self, text: str) -> str:
        if self._key:
            text = text.replace(self._key, "[key]")
        return _KEY_LIKE.sub("[key]", text)


async def _shut(client: Any) -> None:
    """Cancels what still runs in this loop, then closes the client."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.close()
