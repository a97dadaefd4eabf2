"""`guardui fetch` and `classify`: what is done with models and adapters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db import jobs as job_rows
from guardui import cli_output as show
from guardui.cli_base import Json, command, open_home
from guardui.jsonable import verdict_json
from pipelines.jobs.queue import resolve_reference
from pipelines.schema import InputError, Verdict
from pipelines.settings import get_settings

if TYPE_CHECKING:
    from pipelines.classify import Moderator


@command
def fetch(
    base: Annotated[str, typer.Argument(help="Base model to fetch.")] = "smollm2-135m-instruct",
    as_json: Json = False,
) -> None:
    """Fetch a base model into the model cache."""
    from pipelines.base_models import resolve_base

    with show.quiet_libraries(), show.job_progress(as_json) as report:

        def told(what: str, share: float) -> None:
            report("activity", {"text": what})
            report("progress", {"step": round(share * 100), "total": 100})

        found = resolve_base(base, progress=told)
    if as_json:
        show.print_json({"name": found.name, "path": str(found.path), "hub_id": found.hub_id})
    else:
        show.out.print(f"{found.name} is in {found.path}")


@command
def classify(
    prompt: Annotated[str, typer.Option(help="The user's request.")],
    response: Annotated[str | None, typer.Option(help="The assistant's response.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="artifact:ID, job:ID, a folder, a Hub id, or a base model.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Weigh the labels without writing any reasoning.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Moderate one conversation. Without --adapter, the newest adapter does it."""
    from pipelines.base_models import DEMO_BASE
    from pipelines.classify import open_moderator

    database = open_home()
    if adapter is None:
        with database.read() as session:
            made = job_rows.artifacts(session, kind="adapter")
        adapter = f"artifact:{made[0].id}" if made else DEMO_BASE
    if not prompt.strip():
        raise InputError("prompt: it is empty; give the request to moderate")
    ref = resolve_reference(database, "adapter", adapter)
    with show.quiet_libraries(), show.job_progress(as_json) as report:
        report("activity", {"text": f"loading {adapter}"})
        moderator = open_moderator(ref, get_settings())
        start = time.perf_counter()
        if fast:
            verdict = moderator.fast(prompt, response)
        else:
            verdict = _written(moderator, prompt, response, report)
        seconds = time.perf_counter() - start
    answer = verdict_json(verdict) | {
        "adapter": adapter,
        "mode": "fast" if fast else "reason",
        "seconds": round(seconds, 3),
    }
    if as_json:
        show.print_json(answer)
    else:
        if not fast:
            show.out.print(answer["reasoning"] or answer["raw"], markup=False)
        show.print_verdict(answer)


def _written(
    moderator: Moderator,
    prompt: str,
    response: str | None,
    report: Callable[[str, Mapping[str, Any]], None],
) -> Verdict:
    for progress in moderator.stream(prompt, response, probabilities=True):
        report("activity", {"text": f"{progress.tokens} tokens"})
    assert progress.verdict is not None
    return progress.verdict
