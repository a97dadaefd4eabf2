"""Which files of this machine a caller may name: all of them at the machine itself, only what lies
in folders of the home from elsewhere. Hub ids and the names of what jobs made aren't files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pipelines.schema import InputError

_home: ContextVar[Path | None] = ContextVar("confined_to", default=None)


@contextmanager
def confined(home: Path | None) -> Iterator[None]:
    """Inside, only files of the home's folders may be named; None for any file."""
    token = _home.set(home)
    try:
        yield
    finally:
        _home.reset(token)


def check_values(values: Mapping[str, Any]) -> None:
    """Raises InputError for the first value that names a place which the caller may not name."""
    if _home.get() is not None:
        for name, value in values.items():
            _check(name, value)


def check_place(name: str, value: str) -> None:
    """Raises InputError where `value` is a place that the caller may not name.

    The same is said whether something is there or not: nobody can ask what this machine has.
    """
    home = _home.get()
    if home is None or not _is_place(value):
        return
    try:
        place = Path(value).expanduser().resolve()
        inside = place.relative_to(home.resolve()).parts
    except (OSError, RuntimeError, ValueError):
        inside = ()
    # What lies in the home itself are its database, its key and its users; folders hold the data.
    if len(inside) > 1 or (inside and (home / inside[0]).is_dir()):
        return
    raise InputError(
        f"{name}={value}: is outside of the home's folders",
        advice="Over the network name a Hub id, upload the file, or name what a job made.",
    )


def _check(name: str, value: Any) -> None:
    if isinstance(value, str):
        check_place(name, value)
    elif isinstance(value, Mapping):
        for one in value.values():
            _check(name, one)
    elif isinstance(value, list | tuple):
        for one in value:
            _check(name, one)


def _is_place(value: str) -> bool:
    if value.startswith(("/", "~", "\\")) or ".." in value.replace("\\", "/").split("/"):
        return True
    try:
        return ("/" in value or "." in value) and Path(value).exists()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False
