"""`guardui users` and `guardui audit`: who may log in, and what was done by whom."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from db.audit import entries, record
from guardui import cli_output as show
from guardui.access import Role
from guardui.cli_base import Json, app, command, command_of, open_home
from guardui.jsonable import audit_json
from guardui.users import INVITE_DAYS, Users
from pipelines.schema import InputError
from pipelines.settings import get_settings

group = typer.Typer(no_args_is_help=True, help="Who may log in: list, add, invite, remove.")
app.add_typer(group, name="users")
users_command = command_of(group)

Name = Annotated[str, typer.Argument(help="What the person logs in as.")]
As = Annotated[Role, typer.Option("--role", help="annotator or researcher.")]


@users_command
def add(name: Name, role: As = Role.RESEARCHER, as_json: Json = False) -> None:
    """Make a login, or give one another password; it is asked for, or read from a pipe."""
    people = Users(get_settings().users_file)
    people.add(name, role, _password())
    with open_home(look_after=False).write() as session:
        record(session, "user.add", f"user:{name}", role=role.value)
    _told(as_json, {"name": name, "role": role.value}, f"{name} may log in as {role.value}.")


@users_command
def invite(
    role: As = Role.ANNOTATOR,
    url: Annotated[str, typer.Option(help="Address that people reach this page at.")] = "",
    as_json: Json = False,
) -> None:
    """Print a link with which one person makes their own login."""
    settings = get_settings()
    secret = Users(settings.users_file).invite(role)
    base = (url or f"http://{settings.host}:{settings.port}").rstrip("/")
    link = f"{base}/join?invite={secret}"
    with open_home(look_after=False).write() as session:
        record(session, "user.invite", f"role:{role.value}")
    _told(as_json, {"link": link, "role": role.value, "days": INVITE_DAYS}, link)


@users_command
def remove(name: Name, as_json: Json = False) -> None:
    """Take a login away; whoever is logged in by it isn't any more."""
    Users(get_settings().users_file).remove(name)
    with open_home(look_after=False).write() as session:
        record(session, "user.remove", f"user:{name}")
    _told(as_json, {"name": name, "removed": True}, f"{name} may not log in any more.")


def list_users(as_json: Json = False) -> None:
    """List who may log in, and the invites that still count."""
    register = Users(get_settings().users_file).read()
    people = [
        {"name": one.name, "role": one.role.value, "made_at": one.made_at}
        for one in register.users.values()
    ]
    open_invites = [
        {"role": one.role.value, "expires_at": one.expires_at}
        for one in register.invites.values()
        if not one.expired
    ]
    if as_json:
        show.print_json({"users": people, "invites": open_invites})
        return
    if not people:
        show.out.print("Nobody has a login: the page is open on this machine only.")
    for one in people:
        show.out.print(f"{one['name']}  {one['role']}", highlight=False)
    if open_invites:
        show.out.print(f"{len(open_invites)} invite links still count")


command_of(group, "list")(list_users)


@command
def audit(
    act: Annotated[str, typer.Option(help="Only acts that begin so, such as `job.`.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Newest entries to show.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the audit log: who launched, stopped, changed and pushed what."""
    with open_home(look_after=False).read() as session:
        rows = [audit_json(row) for row in entries(session, act=act, limit=limit)]
    if as_json:
        show.print_json(rows)
        return
    if not rows:
        show.out.print("Nothing was done yet.")
        return
    table = Table("when", "who", "role", "by", "act", "what", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            *(str(row[name]) for name in ("at", "actor", "role", "entrance", "act", "subject"))
        )
    show.out.print(table)


def _password() -> str:
    """Never an argument: those are seen by everybody on the machine, and kept by shells."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first: str = typer.prompt("Password", hide_input=True)
    if typer.prompt("Once more", hide_input=True) != first:
        raise InputError("password: the two aren't the same")
    return first


def _told(as_json: bool, value: dict[str, object], sentence: str) -> None:
    if as_json:
        show.print_json(value)
    else:
        # A link must stay on one line to be copied.
        show.out.print(sentence, soft_wrap=True, highlight=False, markup=False)
