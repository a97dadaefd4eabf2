"""What every command of `guardui` shares: the application, its errors, the home's database."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from db.session import Database, open_database
from guardui import cli_output as show
from pipelines.jobs.supervisor import reconcile
from pipelines.schema import GuardUIError
from pipelines.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train, inspect, rate and serve reasoning guard models.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def command_of(group: typer.Typer) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that makes a function a command of this group.

    Its errors are one message on standard error, and exit code 2.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(**arguments: Any) -> None:
            try:
                function(**arguments)
            except GuardUIError as error:
                show.print_error(error, bool(arguments.get("as_json")))
                raise typer.Exit(2) from None

        return group.command()(call)

    return register


command = command_of(app)


def open_home() -> Database:
    """The database of the home, with whatever ended meanwhile noted."""
    database = open_database(get_settings().database_url)
    reconcile(database)
    return database
