"""Who rates: invite codes and Hub logins, of which the database keeps only a keyed hash.

The key lies in the home folder, or in the environment, and not in the database, so a copy of the
database alone tells nobody who an annotator is, nor lets anybody in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.models import Annotator
from pipelines.schema import GuardUIError, InputError
from pipelines.settings import Settings

KEY_FILE = "identity.key"
KEY_BYTES = 32
_CODE = re.compile(r"([1-9][0-9]{0,8})-([A-Za-z0-9_-]{16,64})")


def key_of(settings: Settings) -> bytes:
    """The key of this home's hashes (32 bytes): `GUARDUI_IDENTITY_KEY`, for a home that doesn't
    last, else a file that is made at first use and readable by its owner only.

    Raises InputError where there is no such key in them: with another, nobody would be known.
    """
    if settings.identity_key is not None:
        return _given_key(settings.identity_key.get_secret_value())
    path = settings.home / KEY_FILE
    if not path.exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        # Written aside and linked, so that of two processes one makes the key, and makes it whole.
        draft = path.with_name(f"{KEY_FILE}.{secrets.token_hex(6)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise InputError(
            f"key={path}: holds {len(key)} bytes, must be {KEY_BYTES}",
            advice="Put the file back from a backup; without it no annotator is known any more.",
        )
    return key


def _given_key(digits: str) -> bytes:
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(f"identity_key: must have {2 * KEY_BYTES} hexadecimal digits")
    return key


class KeyLost(GuardUIError):
    """People are known by a key that isn't there any more."""

    advice = "Put the file back from a backup; without it no link works and nobody is known."


def need_key(session: Session, settings: Settings) -> None:
    """Raises KeyLost where there are people but no key: a fresh one would end all links, and
    nobody would be told."""
    path = settings.home / KEY_FILE
    if settings.identity_key is not None or path.exists():
        return
    # People of studies from before there were links joined, and were never asked to consent.
    linked = or_(Annotator.joined_at.is_(None), Annotator.consented_at.is_not(None))
    if session.scalar(select(Annotator.id).where(linked).limit(1)) is not None:
        raise KeyLost(f"key={path}: is missing, and {settings.home} has people who need it")


def new_code(study_id: int) -> str:
    """A fresh invite code, `STUDY-RANDOM`; the random part has 144 bits."""
    return f"{study_id}-{secrets.token_urlsafe(18)}"


def code_again(settings: Settings, study_id: int, nonce: str) -> str:
    """The invite code of who joins with this secret of their browser's own making: always the
    same, so that they may ask again where the answer was lost."""
    text = f"join\n{study_id}\n{nonce}".encode()
    digest = hmac.new(key_of(settings), text, hashlib.sha256).digest()[:18]
    return f"{study_id}-{base64.urlsafe_b64encode(digest).decode()}"


def study_of(code: str) -> int | None:
    """The study that a code is for; None where it is no code."""
    found = _CODE.fullmatch(code.strip())
    return int(found[1]) if found else None


def code_hash(settings: Settings, study_id: int, code: str) -> str:
    """HMAC-SHA256 of a code within a study, as 64 hexadecimal digits."""
    text = f"{study_id}\n{code.strip()}".encode()
    return hmac.new(key_of(settings), text, hashlib.sha256).hexdigest()


def hub_hash(settings: Settings, study_id: int, account: str) -> str:
    """The same of a Hub account's unchanging id (`sub`); no code can collide with it."""
    return code_hash(settings, study_id, f"hub:{account}")


def on_space() -> bool:
    """Whether this is a Hugging Face Space where people can log in with their Hub account.

    Gradio takes SYSTEM for the sign of a Space: without it the login that it offers is a mock,
    which makes everybody the owner. Without the secret it signs sessions with a known text.
    """
    given = ("SPACE_ID", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET")
    return os.environ.get("SYSTEM") == "spaces" and all(os.environ.get(one) for one in given)


def hub_account(session: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """(unchanging id, name) of who is logged in, from the signed session that Gradio's login
    keeps; None where nobody is."""
    info = (session or {}).get("oauth_info") or {}
    user = info.get("userinfo") or {}
    account = str(user.get("sub") or "")
    return (account, str(user.get("preferred_username") or "")) if account else None
