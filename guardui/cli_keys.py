"""`guardui keys`: keys that programs call the moderation API with."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from guardui import cli_output as show
from guardui import key_acts
from guardui.cli_base import Json, app, command_of, open_home

keys = typer.Typer(no_args_is_help=True, help="API keys: made once, shown once, revocable.")
app.add_typer(keys, name="keys")
command = command_of(keys)


@command
def add(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: moderate (the default), jobs; as often as needed."),
    ] = None,
    days: Annotated[int | None, typer.Option(help="Days until it expires; else never.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: this once, for only its hash is kept."""
    made, text = key_acts.add(open_home(look_after=False), name, scope or ["moderate"], days)
    if as_json:
        show.print_json(made | {"key": text})
        return
    show.out.print(text, markup=False, highlight=False, soft_wrap=True)
    show.err.print(Text(f"Key {made['id']}. It is shown this once; keep it safe.", style="dim"))


@command_of(keys, "list")
def list_all(as_json: Json = False) -> None:
    """List the keys, the newest first, without what lets anybody in."""
    rows = key_acts.list_all(open_home(look_after=False))
    if as_json:
        show.print_json(rows)
    elif rows:
        show.out.print(_table(rows))
    else:
        show.out.print("No keys yet: try `guardui keys add ci`.")


@command
def revoke(
    key_id: Annotated[int, typer.Argument(metavar="ID", help="The key's number.")],
    as_json: Json = False,
) -> None:
    """Revoke a key for good; the next request with it is refused."""
    key_acts.revoke(open_home(look_after=False), key_id)
    if as_json:
        show.print_json({"id": key_id, "state": "revoked"})
    else:
        show.out.print(f"key {key_id} is revoked")


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("Key", "Name", "Begins", "For", "State", "Last used", box=None, pad_edge=False)
    for row in rows:
        used = (row["used_at"] or "never")[:16].replace("T", " ")
        cells = (str(row["id"]), row["name"], f"{row['prefix']}…", ", ".join(row["scopes"]))
        table.add_row(*map(Text, (*cells, row["state"], used)))
    return table
