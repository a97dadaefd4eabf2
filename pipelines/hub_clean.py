"""Taking secrets and local paths out of what leaves this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SECRET_KEY = re.compile(
    r"^((hf|hub|access|auth|api)_?token|token|.*api_?key|.*secret|.*password|authorization)$", re.I
)
SECRET = re.compile(r"\b(hf_|sk-|ghp_|github_pat_|glpat-)[A-Za-z0-9_-]{8,}")
# A path is absolute, in a home, or climbs out of where the command ran; in quotes it may hold
# blanks. What stands before it keeps URLs, Hub ids and fractions out.
LOCAL_PATH = re.compile(
    r"""(?<![^\s=:,;(\["'`])(?:file://)?(?:/(?![/\s])|~[\w.-]*/|\.\.?/|[A-Za-z]:[\\/](?!/))"""
    r"""[^\s"'`,;)\]]*"""
)
QUOTED_PATH = re.compile(r"""(["'])((?:file://)?(?:/(?!/)|~/|\.\.?/|[A-Za-z]:\\)[^"'\n]*)\1""")


def clean(value: Any) -> Any:
    """A copy of a JSON value without secrets, and with local paths cut down to their last name."""
    if isinstance(value, Mapping):
        return {key: clean(part) for key, part in value.items() if not SECRET_KEY.match(str(key))}
    if isinstance(value, list | tuple):
        return [clean(part) for part in value]
    if not isinstance(value, str):
        return value
    text = SECRET.sub("[removed]", value)
    if "\n" not in text and text.startswith(("/", "~/", "./", "../", "file://")):
        return last_name(text)
    text = QUOTED_PATH.sub(lambda found: last_name(found.group(2)), text)
    return LOCAL_PATH.sub(lambda found: last_name(found.group()), text)


def last_name(path: str) -> str:
    """The last part of a path, of either system."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1] or "[path]"
