"""The tables of access: keys that programs call with, and what was done by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, now


class ApiKey(Base):
    """A key of the moderation API. The key itself is shown once and never stored."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))  # what it is for, as its maker says
    prefix: Mapped[str] = mapped_column(String(16))  # its beginning, to tell keys apart by
    hash: Mapped[str] = mapped_column(String(64), unique=True)  # SHA-256 of the whole key
    scopes: Mapped[list[Any]] = mapped_column()
    made_by: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None] = mapped_column()
    used_at: Mapped[datetime | None] = mapped_column()
    revoked_at: Mapped[datetime | None] = mapped_column()


class AuditRow(Base):
    """An act that changed something: a launch, a stop, a push, a relabel, a study's change."""

    __tablename__ = "audit_log"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    actor: Mapped[str] = mapped_column(String(100))  # `ada`, `key 3 (ci)`, `terminal`, `local`
    role: Mapped[str] = mapped_column(String(20))
    entrance: Mapped[str] = mapped_column(String(20))  # page, api, terminal, job
    act: Mapped[str] = mapped_column(String(60), index=True)  # `job.launch`, `study.open`, …
    subject: Mapped[str] = mapped_column(String(200))  # `job:7`, `study:2`, `ada/guard`
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
