"""Keys of the moderation API: made once, found by their hash, revoked for good."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from db.access_models import ApiKey
from db.audit import record
from db.base import now as present

SCOPES = ("moderate", "jobs")
"""What a key may be for: moderating, and launching and looking after jobs."""
BEGINNING = "gu_"
SHOWN = 8
"""So many characters of a key are kept to tell it by: of its 256 random bits, 30."""
LONGEST = 200
"""What is longer than this is no key, and isn't hashed to find that out."""
LONGEST_NAME = 100
USED_SECONDS = 60
"""The time of the last use is written once in so many seconds, not with each request."""


def add(
    session: Session,
    *,
    name: str,
    scopes: Sequence[str],
    made_by: str,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and, this once, its text. Raises ValueError for what can't be a key's."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise ValueError(f"name={name[:40]!r}: must have 1 to {LONGEST_NAME} characters")
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        raise ValueError(f"scopes={', '.join(wrong) or 'none'}: must be of {', '.join(SCOPES)}")
    if expires_at is not None and expires_at <= present():
        raise ValueError(f"expires_at={expires_at:%Y-%m-%d}: must be in the future")
    text = BEGINNING + secrets.token_urlsafe(32)
    key = ApiKey(
        name=name,
        prefix=text[:SHOWN],
        hash=_hash(text),
        scopes=[scope for scope in SCOPES if scope in scopes],
        made_by=made_by[:100],
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    record(session, "key.add", f"key:{key.id}", name=name, scopes=key.scopes)
    return key, text


def find(session: Session, presented: str) -> ApiKey | None:
    """The key with this text, unless it is revoked or expired."""
    if not presented.startswith(BEGINNING) or len(presented) > LONGEST:
        return None
    hashed = _hash(presented)
    key = session.scalar(select(ApiKey).where(ApiKey.hash == hashed))
    # The index compares hashes, whose beginnings say nothing of the key's; this takes no longer
    # for one that is nearly right.
    if key is None or not hmac.compare_digest(key.hash, hashed):
        return None
    return key if is_live(key) else None


def is_live(key: ApiKey, now: datetime | None = None) -> bool:
    """Whether the key still lets anybody in."""
    ended = key.expires_at is not None and key.expires_at <= (now or present())
    return key.revoked_at is None and not ended


def touch(session: Session, key_id: int, now: datetime | None = None) -> None:
    """Notes that the key was used, once a minute at most."""
    now = now or present()
    before = now - timedelta(seconds=USED_SECONDS)
    due = or_(ApiKey.used_at.is_(None), ApiKey.used_at <= before)
    session.execute(update(ApiKey).where(ApiKey.id == key_id, due).values(used_at=now))


def revoke(session: Session, key_id: int) -> bool:
    """Ends a key for good. False where there is none, or it was revoked before."""
    mine = ApiKey.id == key_id, ApiKey.revoked_at.is_(None)
    ended = update(ApiKey).where(*mine).values(revoked_at=present()).returning(ApiKey.id)
    if session.scalar(ended) is None:
        return False
    record(session, "key.revoke", f"key:{key_id}")
    return True


def list_keys(session: Session) -> list[ApiKey]:
    """All keys, the newest first; revoked ones stay to be looked back at."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.id.desc())))


def _hash(text: str) -> str:
    # A key has 256 random bits: nothing to be guessed that a slow hash would guard.
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
