"""Which files of this machine a caller may name: all of them at the machine itself, only what lies
in folders of the home from elsewhere. Hub ids and the names of what jobs made aren't files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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


def check_values(values: Mapping[str, Any], references: Collection[str] = ()) -> None:
    """Raises InputError for the first value that names a place which the caller may not name.

    `references` are the names of those that are files, folders, models or data sets if anything;
    a bare word elsewhere, such as the name of a run, is no place.
    """
    if _home.get() is not None:
        for name, value in values.items():
            _check(name, value, bare=name in references)


def check_place(name: str, value: str, *, bare: bool = True) -> None:
    """Raises InputError where `value` is a place that the caller may not name.

    An address is refused with the same words whether something is there or not. With `bare`, a
    name without a slash is refused where the server's working directory has a file or folder so
    called, for as a reference that is what it would mean.
    """
    home = _home.get()
    if home is None or not _is_place(value, bare):
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


def _check(name: str, value: Any, *, bare: bool) -> None:
    if isinstance(value, str):
        check_place(name, value, bare=bare)
    elif isinstance(value, Mapping):
        for one in value.values():
            _check(name, one, bare=bare)
    elif isinstance(value, list | tuple):
        for one in value:
            _check(name, one, bare=bare)


def _is_place(value: str, bare: bool) -> bool:
    if value.startswith(("/", "~", "\\")) or ".." in value.replace("\\", "/").split("/"):
        return True
    if not value or not (bare or "/" in value or "." in value) or _is_alias(value):
        return False
    try:
        return Path(value).exists()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False


def _is_alias(value: str) -> bool:
    """Whether a name means something of GuardUI's before it could mean a file."""
    from pipelines.benchmark_catalogue import BENCHMARKS
    from pipelines.demo_base import ALIASES

    return value == "starter" or value in ALIASES or value in BENCHMARKS
