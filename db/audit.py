"""The audit log: who did what to what, written in the transaction that does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.access_models import AuditRow


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and where they came in: `page`, `api`, `terminal`, or `code` where nobody said."""

    name: str
    role: str
    entrance: str


NOBODY = Actor("local", "researcher", "code")
_acting: ContextVar[Actor] = ContextVar("acting", default=NOBODY)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """What is done inside is this actor's doing; per thread or task."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def record(session: Session, act: str, subject: str, **details: Any) -> None:
    """Adds an entry of the present actor's; `act` as `job.launch`, `subject` as `job:7`.

    Details are JSON values, and neither what people wrote nor what lets them in.
    """
    actor = _acting.get()
    session.add(
        AuditRow(
            actor=actor.name[:100],
            role=actor.role,
            entrance=actor.entrance,
            act=act,
            subject=subject[:200],
            details=details,
        )
    )


def entries(
    session: Session, *, act: str = "", before: int | None = None, limit: int = 100
) -> list[AuditRow]:
    """The newest entries first; `act` may be a beginning (`job.`), `before` is an id."""
    found = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if act:
        found = found.where(AuditRow.act.startswith(act, autoescape=True))
    if before is not None:
        found = found.where(AuditRow.id < before)
    return list(session.scalars(found))
