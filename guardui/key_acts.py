"""API keys as the page and the terminal handle them: made, listed, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from db import api_keys
from db.access_models import ApiKey
from db.base import now
from db.session import Database
from guardui.access import Role, current, require
from pipelines.schema import InputError, NotFoundError

MOST_DAYS = 3650


def add(
    database: Database, name: str, scopes: Sequence[str], days: int | None = None
) -> tuple[dict[str, Any], str]:
    """(the new key as JSON, its text: to be shown once). Raises InputError."""
    require(Role.RESEARCHER)
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise InputError(f"days={days}: must be between 1 and {MOST_DAYS}, or left out")
    ends = now() + timedelta(days=days) if days else None
    try:
        with database.write() as session:
            key, text = api_keys.add(
                session, name=name, scopes=scopes, made_by=current().name, expires_at=ends
            )
    except ValueError as error:
        raise InputError(str(error)) from None
    return key_json(key), text


def revoke(database: Database, key_id: int) -> None:
    """Ends a key for good. Raises NotFoundError where there is none that still lives."""
    require(Role.RESEARCHER)
    with database.write() as session:
        if not api_keys.revoke(session, key_id):
            raise NotFoundError(f"key={key_id}: there is no such key, or it was revoked before")


def list_all(database: Database) -> list[dict[str, Any]]:
    """All keys, the newest first."""
    require(Role.RESEARCHER)
    with database.read() as session:
        return [key_json(key) for key in api_keys.list_keys(session)]


def key_json(key: ApiKey) -> dict[str, Any]:
    """What may be told of a key."""
    state = "active"
    if not api_keys.is_live(key):
        state = "revoked" if key.revoked_at else "expired"
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "state": state,
        "made_by": key.made_by,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "used_at": key.used_at.isoformat() if key.used_at else None,
    }
