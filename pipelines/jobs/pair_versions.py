"""Versions of pair sets by name, `NAME@vN`: finding them, importing them, numbering new ones."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db import jobs, pair_sets
from db.audit import record
from db.models import PairSetVersion
from db.session import Database
from pipelines.jobs.context import digest
from pipelines.mining import SET_NAME
from pipelines.pair_export import import_pairs
from pipelines.schema import InputError, NotFoundError
from pipelines.settings import Settings

NAMED = re.compile(r"(.+)@v?([0-9]{1,9})", re.DOTALL)


def named_version(session: Session, value: str) -> PairSetVersion | None:
    """The version that `NAME@vN` names; None for a text of another form, or a path that exists.

    Raises NotFoundError where there is no such set or version.
    """
    match = NAMED.fullmatch(value)
    if match is None or Path(value).expanduser().exists():
        return None
    found = pair_sets.find_version(session, match[1], int(match[2]))
    if found is not None:
        return found
    newest = pair_sets.find_version(session, match[1])
    if newest is not None:
        raise NotFoundError(f"{value}: there is no such version (the newest is v{newest.version})")
    known = ", ".join(one.name for one in pair_sets.list_pair_sets(session)[:10]) or "none"
    raise NotFoundError(f"{value}: there is no pair set of this name (there are: {known})")


def check_name(name: str) -> str:
    """The name, where a pair set can have it. Raises InputError."""
    if not name.strip() or name.strip(".") == "" or not re.fullmatch(SET_NAME, name):
        raise InputError(f"name={name}: must be some letters without / \\ @ and control characters")
    if len(name) > 100:
        raise InputError(f"name={name[:40]}…: has {len(name)} characters, at most 100 are allowed")
    return name


def version_folder(settings: Settings, session: Session, name: str) -> tuple[Path, int]:
    """(an empty folder for the next version of this set, its number).

    The folder is made here, so that nobody who freezes the set at the same time gets it too.
    """
    number = pair_sets.next_version(session, name)
    folder = settings.home / "pair_sets" / name / f"v{number}"
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another's, or left by an attempt that was never recorded
            folder = folder.with_name(folder.name + "-again")
        else:
            return folder, number


def import_version(
    database: Database, settings: Settings, path: Path, name: str, note: str = ""
) -> PairSetVersion:
    """Reads an exported file as the next version of this set.

    Raises NotFoundError, InputError or DataError for a file that can't be one.
    """
    check_name(name)
    with database.read() as session:
        folder, number = version_folder(settings, session, name)
    try:
        info = import_pairs(path, folder, name=name, version=number)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return register_folder(
        database,
        folder,
        info,
        label=f"{info['rows']} imported pairs",
        details={"set_name": name, "imported_from": path.name},
        name=name,
        note=note,
    )


def register_folder(
    database: Database,
    folder: Path,
    info: Mapping[str, Any],
    *,
    label: str,
    details: Mapping[str, Any],
    name: str,
    note: str,
    job_id: int | None = None,
) -> PairSetVersion:
    """Records a written pair set, of which `info` tells, as the next version of the set `name`.

    `job_id` is the job whose samples it was made of; the artifact itself is no job's, so that
    `job:N` goes on meaning what the job made.
    """
    sha256, size = digest(folder)
    with database.write() as session:
        artifact = jobs.add_artifact(
            session,
            job_id=None,
            kind="pair_set",
            name=label,
            path=str(folder.resolve()),
            sha256=sha256,
            size=size,
            details={"pairs": info["rows"], "pairs_sha256": info["sha256"], **details},
        )
        version = pair_sets.register_version(
            session,
            name=name,
            artifact_id=artifact.id,
            sha256=info["sha256"],
            rows=info["rows"],
            job_id=job_id,
            note=note,
        )
        told = {"pairs": info["rows"], "job": job_id}
        record(session, "pairs.freeze", f"{name}@v{version.version}", **told)
        return version
