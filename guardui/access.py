"""Who may do what. Locally everybody is a researcher; in demo mode everybody is the public."""

from __future__ import annotations

from enum import StrEnum

from pipelines.schema import InputError
from pipelines.settings import Settings


class Role(StrEnum):
    """What a visitor is to GuardUI; the header says it."""

    PUBLIC = "public"
    RESEARCHER = "researcher"


def role_of(settings: Settings) -> Role:
    """The role of every visitor under these settings."""
    return Role.PUBLIC if settings.demo else Role.RESEARCHER


def check_moderator(settings: Settings, ref: str, offered: list[str]) -> None:
    """Raises InputError where the public names a moderator that isn't on offer: a path or a Hub id
    of a visitor's choice would make the server read or fetch it."""
    if role_of(settings) is Role.PUBLIC and ref not in offered:
        raise InputError(f"adapter={ref}: not on offer here (there are: {', '.join(offered)})")
