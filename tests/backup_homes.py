"""Homes that are backed up to the Hub on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from db.models import Annotator
from db.session import Database, open_database
from pipelines.jobs.backup import Backup
from pipelines.settings import Settings
from tests.hub_server import LocalHub

REPO = "ada/ratings"
KEY = "5a" * 32


@dataclass
class Homes:
    """Makes homes without anything in them, as a Space's disk is after each restart."""

    folder: Path
    made: int = 0

    def __call__(self, **values: object) -> Settings:
        self.made += 1
        home = self.folder / f"home{self.made}"
        home.mkdir()
        given: dict[str, object] = {
            "home": home,
            "backup_repo": REPO,
            "identity_key": KEY,
            "backup_seconds": 3600,
        }
        return Settings(**given | values)  # type: ignore[arg-type]


def people(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count(Annotator.id))) or 0


def manifest(hub: LocalHub) -> dict[str, object]:
    found: dict[str, object] = json.loads(hub.content(REPO, "manifest.json", "dataset"))
    return found


class AtWork:
    """A backup that is at work, with the database of its home."""

    def __init__(self, settings: Settings) -> None:
        self.one = Backup(settings)
        self.url = settings.database_url

    def __enter__(self) -> tuple[Backup, Database]:
        self.one.begin()
        self.database = open_database(self.url)
        return self.one, self.database

    def __exit__(self, *_: object) -> None:
        self.one.end()
        self.database.dispose()
