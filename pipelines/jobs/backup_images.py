"""A SQLite file as a chain of parts, each with the pages that changed since the one before.

The first part of a chain has all pages. Applied in order they give back the same bytes, which a
SHA-256 of the whole proves at every link; no table and no column is named here, so nothing that is
stored can be forgotten.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pipelines.schema import DataError


@dataclass(frozen=True, slots=True)
class Part:
    """What a part says, how many pages it has, and the SHA-256 of the file that it leads to."""

    content: bytes
    changed: int
    image: str


def copy_database(source: Path, target: Path) -> None:
    """Copies what is committed in a SQLite file as of one moment, while others may write."""
    target.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=10)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)


def make_part(before: Path | None, after: Path) -> Part:
    """The pages of `after` that differ from `before`; all of them without one.

    Text, so that the Hub takes it within a commit instead of by way of its store of large files.
    """
    digest, numbers, changed, total = sha256(), [], [], 0
    with ExitStack() as files:
        new = files.enter_context(after.open("rb"))
        old = files.enter_context(before.open("rb")) if before else None
        size = _page_size(new.read(100), after)
        new.seek(0)
        while page := new.read(size):
            digest.update(page)
            if old is None or old.read(size) != page:
                numbers.append(total)
                changed.append(page)
            total += 1
    body = {
        "page_size": size,
        "pages": total,
        "changed": numbers,
        "data": base64.b64encode(zlib.compress(b"".join(changed), 6)).decode("ascii"),
    }
    return Part(json.dumps(body).encode("ascii"), len(numbers), digest.hexdigest())


def build_image(parts: Sequence[bytes], image: str, target: Path) -> None:
    """Writes the file that these parts lead to.

    Raises DataError, leaving nothing, where its SHA-256 is another than `image` or SQLite finds it
    broken.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        with target.open("w+b") as file:
            for content in parts:
                _apply(file.fileno(), content)
        found = digest_of(target)
        if found != image:
            raise DataError(f"backup: the file has SHA-256 {found[:12]}…, must be {image[:12]}…")
        _check(target)
    except (DataError, OSError):
        target.unlink(missing_ok=True)
        raise


def digest_of(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = sha256()
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _page_size(header: bytes, file: Path) -> int:
    if not header.startswith(b"SQLite format 3\0"):
        raise DataError(f"database={file.name}: is no SQLite file")
    size = int.from_bytes(header[16:18], "big")
    return 65_536 if size == 1 else size


def _apply(file: int, content: bytes) -> None:
    try:
        body = json.loads(content)
        size, numbers = int(body["page_size"]), [int(number) for number in body["changed"]]
        pages = zlib.decompress(base64.b64decode(body["data"], validate=True))
        total = int(body["pages"])
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise DataError(f"backup: a part can't be read ({error})") from None
    if len(pages) != size * len(numbers) or any(not 0 <= number < total for number in numbers):
        raise DataError("backup: a part has other pages than it says")
    for at, number in enumerate(numbers):
        os.pwrite(file, pages[at * size : (at + 1) * size], number * size)
    os.ftruncate(file, total * size)


def _check(file: Path) -> None:
    with closing(sqlite3.connect(file)) as opened:
        try:
            found = opened.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            found = str(error)
    if found != "ok":
        raise DataError(f"backup: SQLite finds the file broken ({found:.100})")
