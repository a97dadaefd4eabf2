"""The Hub's client as GuardUI uses it: it waits for nobody's hours, and its refusals have words."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from pipelines.hub_clean import SECRET
from pipelines.schema import GuardUIError, HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

logger = logging.getLogger(__name__)

CONNECT_SECONDS, SILENT_SECONDS = 5.0, 120.0
LONGEST_WAIT = 30
"""Who is asked to come back later waits so many seconds at most, and otherwise is told."""
QUERY = re.compile(r"(?<=\S)\?\S+=\S+")

REFUSALS = {
    401: ("the token is missing or not valid", "Set HF_TOKEN or run `hf auth login`."),
    403: (
        "the token may not write there",
        "Use a token with write access, or a repository of your own.",
    ),
    404: ("no such owner or repository", "Check the name; it must be OWNER/NAME."),
    409: ("it is being changed by somebody else", "Push again in a moment."),
    412: ("it was changed by somebody else meanwhile", "Look at it, then push again."),
    413: ("a file is too large for it", "Push fewer or smaller files."),
    429: ("too many requests", "Wait some minutes, then push again."),
}
FAILED = ("the Hub failed", "Push again: what has arrived isn't sent a second time.")


def connect(token: str | None = None) -> HfApi:
    """The Hub's client; it gives up on a Hub that doesn't answer, where the library waits on."""
    from huggingface_hub import HfApi

    _limit_waiting()
    return HfApi(token=token)


class _WithoutSignatures(logging.Filter):
    """Where large files go is told with a signature that lets anybody write there."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = QUERY.sub("", record.getMessage()), ()
        return True


@cache
def _limit_waiting() -> None:
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def factory() -> Any:
        client = default_client_factory()
        client.timeout = client.timeout.__class__(SILENT_SECONDS, connect=CONNECT_SECONDS)
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks["response"], _not_for_hours]}
        return client

    set_client_factory(factory)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells of every request
    for name in ("httpx2", "huggingface_hub.utils._http"):
        logging.getLogger(name).addFilter(_WithoutSignatures())


def _not_for_hours(response: Any) -> None:
    """The library waits as long as it is told to, saying nothing."""
    from huggingface_hub.utils._http import _parse_retry_after, parse_ratelimit_headers

    if response.status_code != 429:
        return
    limits = parse_ratelimit_headers(response.headers)
    asked = limits.reset_in_seconds if limits and not limits.remaining else None
    seconds = asked if asked is not None else _parse_retry_after(response.headers)
    if seconds is not None and seconds > LONGEST_WAIT:
        raise _TooMany(seconds)
    logger.warning("the Hub asks to wait %s s", seconds if seconds is not None else "some")


class _TooMany(Exception):
    """The Hub wants to be left alone for so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many requests, for {seconds} s")
        self.seconds = seconds


@contextmanager
def named(repo: str, field: str = "repo", again: str = "push again") -> Iterator[None]:
    """What the client raises inside becomes a HubError that names the repository.

    Without what it came from: the library's own words hold signed addresses.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError

    try:
        yield
    except GuardUIError:
        raise
    except Exception as error:
        for cause in _chain(error):
            if isinstance(cause, _TooMany):
                raise _wait(f"{field}={repo}", cause.seconds, again) from None
            if isinstance(cause, HfHubHTTPError):
                raise _refused(f"{field}={repo}", cause) from None
            if isinstance(cause, LocalTokenNotFoundError):
                advice = REFUSALS[401][1]
                raise HubError(f"{field}={repo}: no token is known", advice=advice) from None
            if isinstance(cause, HTTPError | ConnectionError | TimeoutError):
                raise HubError(
                    f"{field}={repo}: the Hub at {constants.ENDPOINT} can't be reached "
                    f"({type(cause).__name__})",
                    advice=f"Check the connection, HF_ENDPOINT and HF_HUB_OFFLINE, then {again}.",
                ) from None
        raise


def _wait(what: str, seconds: int, again: str) -> HubError:
    minutes = -(-seconds // 60)
    long = f"{seconds} s" if seconds < 120 else f"{minutes} minutes"
    return HubError(
        f"{what}: the Hub answered 429, too many requests: it asks to wait {long}",
        advice=f"Wait {long}, then {again}; what has arrived isn't sent a second time.",
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refused(what: str, error: HfHubHTTPError) -> HubError:
    """The Hub's refusal as an error that says what to do."""
    status, said = error.response.status_code, error.server_message
    reason, advice = REFUSALS.get(status, FAILED)
    detail = f": {SECRET.sub('[removed]', said.splitlines()[0])[:200]}" if said else ""
    return HubError(f"{what}: the Hub answered {status}, {reason}{detail}", advice=advice)
