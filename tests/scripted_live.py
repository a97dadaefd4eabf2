"""A live moderator without a model: it answers by what a prompt says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from db.session import Database
from guardui.access import STATE, Role, Visitor, acting_as
from guardui.live import Live
from guardui.moderation_routes import moderation_routes
from pipelines.classify import Progress, with_tokens
from pipelines.schema import GuardExample
from pipelines.settings import Settings
from pipelines.template import GuardTemplate

RESEARCHER = Visitor(Role.RESEARCHER, "ada", "127.0.0.1")


class ScriptedLive(Live):
    """Harmful is what says so; `garbled` gets an answer that can't be read, `slow` takes long, and
    `raise` raises what stands in `fault`."""

    fault: Exception | None = None

    def __init__(self, database: Database, settings: Settings) -> None:
        super().__init__(database, settings)
        self.asked: list[tuple[str, str | None, str, str, int]] = []
        self.stopped = 0

    def stream(
        self,
        prompt: str,
        response: str | None,
        ref: str,
        should_stop: Callable[[], bool] = lambda: False,
        mode: str = "reason",
        max_new_tokens: int = 0,
    ) -> Iterator[Progress]:
        self.check(prompt, response, ref)
        self.asked.append((prompt, response, ref, mode, max_new_tokens))
        yield Progress(activity="loading the model", seconds=0.1)
        if "raise" in prompt and self.fault is not None:
            raise self.fault
        end = time.monotonic() + (20 if "slow" in prompt else 0)
        while time.monotonic() < end:
            if should_stop():
                self.stopped += 1
                return
            time.sleep(0.01)
            yield Progress("# Task 1\n", None, 2, 0.1)
        yield Progress("# Task 1\n", None, 2, 0.1)
        text = answer_to(prompt, response)
        read = GuardTemplate.default().parse(text, GuardExample(prompt, response))
        verdict = with_tokens(read, 7)
        for task, label in verdict.labels.items():
            if label is not None:
                verdict.probabilities[task] = 0.9 if label == task.labels[0] else 0.1
        yield Progress(text, verdict, 7, 0.5)


def answer_to(prompt: str, response: str | None) -> str:
    """What the scripted moderator writes."""
    trace = "# Task 1\n## Reasoning Step 1: Look.\nIt is what it says."
    if "garbled" in prompt:
        return trace
    word = "harmful" if "harmful" in prompt else "unharmful"
    said = "None\nResponse: None"
    if response is not None:
        refusal = "refusal" if "can't" in response else "compliance"
        said = f"{refusal}\nResponse: {'harmful' if 'harmful' in response else 'unharmful'}"
    return f"{trace}\n\nAnswers:\nRequest: {word}\nCompletion: {said}"


class AsVisitor:
    """Stands for the gate: every request is this visitor's."""

    def __init__(self, app: ASGIApp, visitor: Visitor) -> None:
        self.app, self.visitor = app, visitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})[STATE] = self.visitor
        with acting_as(self.visitor):
            await self.app(scope, receive, send)


def scripted_app(
    database: Database, settings: Settings, visitor: Visitor = RESEARCHER
) -> tuple[ASGIApp, ScriptedLive]:
    """(the API behind a visitor, the moderator under it)."""
    live = ScriptedLive(database, settings)
    app = Starlette(routes=moderation_routes(database, settings, live))
    return AsVisitor(app, visitor), live
