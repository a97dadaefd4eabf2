"""`guardui plan`: what a run would ask of this machine. Nothing is queued, no model is fetched."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from guardui import cli_output as show
from guardui.cli_base import Config, Json, Set, command, open_home, read_values
from guardui.planning import plan_json, plan_of
from guardui.render_plan import WORDS, parts_words, plan_facts
from pipelines.plan import Plan, gib, has
from pipelines.presets import about
from pipelines.schema import InputError
from pipelines.stages import get_stage
from pipelines.stages.base import build_config

Preset = Annotated[str | None, typer.Option(help="Start from this preset of the stage.")]
Ranks = Annotated[int, typer.Option(min=1, help="Processes that share the rows.")]


@command
def plan(
    stage: str,
    config: Config = None,
    preset: Preset = None,
    assignments: Set = None,
    ranks: Ranks = 1,
    as_json: Json = False,
) -> None:
    """Show what a run asks of this machine: memory, steps, tokens, time. Starts nothing."""
    found = get_stage(stage)
    built = build_config(found, preset, read_values(config, assignments))
    planned = plan_of(open_home(), found, built, ranks=ranks)
    if planned is None:
        raise InputError(f"stage={stage}: it doesn't tell what it asks of a machine")
    if as_json:
        show.print_json({"stage": stage, "preset": preset} | plan_json(planned))
        return
    if words := about(stage, preset):
        show.out.print(Text(words, style="dim"))
    print_plan(planned)


def print_plan(planned: Plan) -> None:
    """A plan as lines of names and values."""
    rows = plan_facts(planned)
    if planned.estimate:
        said = f"about {gib(planned.estimate.total)} needed, {has(planned.device)}"
        said += f": {WORDS[planned.verdict]}"
        rows = {"memory": said, " of this": parts_words(planned.estimate)} | rows
    width = max(map(len, rows))
    for name, value in rows.items():
        show.out.print(Text(f"{name:<{width}}  {value}"))
    for line in (*planned.remarks, *map(str, planned.suggestions)):
        show.out.print(Text(f"- {line}"))
