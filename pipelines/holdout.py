"""Keeping some conversations out of a training, to measure the loss on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pipelines.schema import InputError

Conversation = tuple[str, str | None]
"""A prompt and its response, if it has one."""


def hold_out(conversations: Sequence[Conversation], share: float, seed: int) -> list[bool]:
    """Whether each row is held out: all rows of a conversation, or none of them.

    About `share` of the distinct conversations, at least one, chosen by their hashes with the
    seed: neither the order of the rows nor the machine matters, and blanks make no difference
    between two texts. Raises InputError where there are fewer than two conversations.
    """
    keys = [_key(*conversation, seed) for conversation in conversations]
    distinct = sorted(set(keys))
    if len(distinct) < 2:
        raise InputError(
            f"holdout={share}: needs at least 2 different conversations, found {len(distinct)}"
        )
    count = min(max(1, round(share * len(distinct))), len(distinct) - 1)
    held = set(distinct[:count])
    return [key in held for key in keys]


def seen_before(new: Sequence[Conversation], known: Sequence[Conversation]) -> list[bool]:
    """Whether each of the new conversations is among the known ones."""
    keys = {_key(*conversation) for conversation in known}
    return [_key(*conversation) in keys for conversation in new]


def _key(prompt: str, response: str | None, seed: int = 0) -> str:
    texts = [str(seed), *(" ".join(text.split()) for text in (prompt, response or ""))]
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()
