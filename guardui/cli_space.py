"""`guardui space deploy`: this page as a Hugging Face Space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from guardui import cli_output as show
from guardui.cli_base import Json, app, command_of

space = typer.Typer(no_args_is_help=True, help="GuardUI as a Hugging Face Space.")
app.add_typer(space, name="space")
command = command_of(space)


@command
def deploy(
    repo: Annotated[str, typer.Option(help="The Space, OWNER/NAME.")],
    adapter: Annotated[
        list[str] | None, typer.Option(help="Hub id of an adapter that Classify offers.")
    ] = None,
    backup_repo: Annotated[
        str, typer.Option(help="Private dataset repository that its database is backed up to.")
    ] = "",
    researcher: Annotated[
        list[str] | None, typer.Option(help="Hub account or organisation that gets all tabs.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private/--public", help="Who may see a Space that is made anew.")
    ] = True,
    dry_run: Annotated[
        Path | None, typer.Option(help="Write the files into this folder instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make or update a Space with this code; what is there already isn't sent again."""
    from pipelines.hub_client import look
    from pipelines.space import Wanted, space_files, write_space
    from pipelines.space import deploy as put

    wanted = Wanted(adapter or (), backup_repo, researcher or ())
    variables = wanted.variables()
    if dry_run is not None:
        names = write_space(dry_run)
        there = look({name: dry_run / name for name in names}, repo, "space")
        removed = list(there.removed) if there else []
        if as_json:
            told = {"repo": repo, "files": names, "variables": variables, "url": None}
            show.print_json(told | {"removed": removed})
            return
        show.out.print(f"{len(names)} files: {dry_run}", *names, sep="\n  ", markup=False)
        _print_removed(removed, "would be deleted")
        _print_variables(variables)
        return
    files = space_files()
    if not as_json:
        size = sum(path.stat().st_size for path in files.values()) / 1e6
        show.out.print(f"{len(files)} files, {size:.1f} MB (--dry-run FOLDER shows them)")
        _print_variables(variables)
    with show.quiet_libraries(), show.job_progress(as_json) as report:
        done = put(
            repo, wanted, private=private, say=lambda what: report("activity", {"text": what})
        )
    if as_json:
        show.print_json(
            {
                "repo": done.sent.repo,
                "files": list(files),
                "variables": variables,
                "url": done.sent.url,
                "revision": done.sent.revision,
                "changed": done.sent.changed,
                "removed": list(done.sent.removed),
                "set": done.set,
                "missing_secrets": done.missing,
            }
        )
        return
    what = "deployed to" if done.sent.changed else "nothing changed:"
    show.out.print(f"{what} {done.sent.url}", markup=False)
    _print_removed(done.sent.removed, "deleted")
    for name in done.set:
        show.out.print(f"set {name}", markup=False)
    for name in done.missing:
        show.out.print(
            f"Now set the secret {name} in the Space's settings: a token that may write to the "
            "backup repository. Until then ratings are not taken.",
            markup=False,
        )


def _print_removed(names: Sequence[str], what: str) -> None:
    for name in names:
        show.out.print(f"{what} in the Space: {name}", markup=False)


def _print_variables(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        show.out.print(f"{name}={value}", markup=False)
