"""What every command of `guardui` shares: the application, its errors, the home's database."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from db.audit import Actor, acting
from db.session import Database, open_database
from guardui import cli_output as show
from guardui.assignments import read_assignments
from pipelines.jobs.supervisor import reconcile
from pipelines.schema import GuardUIError, InputError
from pipelines.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train, inspect, rate and serve reasoning guard models.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


TERMINAL = Actor("terminal", "researcher", "terminal")
EXIT_CODES = {"succeeded": 0, "stopped": 3, "interrupted": 130}
Config = Annotated[Path | None, typer.Option(help="YAML or JSON file with config fields.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as often as needed.")]


def command_of(
    group: typer.Typer, name: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that makes a function a command of this group, by its own name without one.

    Its errors are one message on standard error, and exit code 2.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(**arguments: Any) -> None:
            try:
                with acting(TERMINAL):
                    function(**arguments)
            except GuardUIError as error:
                show.print_error(error, bool(arguments.get("as_json")))
                raise typer.Exit(2) from None

        return group.command(name)(call)

    return register


command = command_of(app)


def open_home(*, look_after: bool = True) -> Database:
    """The database of the home, with whatever ended meanwhile noted and what may start begun;
    a command that only reads does not look after the jobs."""
    database = open_database(get_settings().database_url)
    if look_after:
        reconcile(database)
    return database


def read_values(config: Path | None, assignments: list[str] | None) -> dict[str, Any]:
    """Config fields from a file, then from KEY=VALUE words; lists and objects are JSON."""
    values: dict[str, Any] = {}
    if config is not None:
        try:
            loaded = yaml.safe_load(config.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"config={config}: can't be read ({error})") from None
        except yaml.YAMLError as error:
            raise InputError(f"config={config}: not YAML or JSON ({error})") from None
        if not isinstance(loaded, dict):
            raise InputError(f"config={config}: must hold fields and values")
        values.update(loaded)
    return values | read_assignments(assignments or (), "--set ")
