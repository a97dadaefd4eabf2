"""What routes of the researchers have in common: they ask again who calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from guardui.access import AccessError, Role, require

Answer = Callable[[Request], Response]


def researchers_only(answer: Answer) -> Answer:
    """The same route, which answers 403 to anybody else; the gate should have done so before."""

    @wraps(answer)
    def call(request: Request) -> Response:
        try:
            require(Role.RESEARCHER)
        except AccessError as error:
            return PlainTextResponse(f"{error}\n", 403)
        return answer(request)

    return call
