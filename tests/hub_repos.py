"""Repositories as the Hub keeps them, in memory: commits of whole trees over git and LFS blobs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LFS_NAMES = (".safetensors", ".parquet", ".png", ".bin", ".gz", ".db", ".tar", ".arrow", ".zip")
LARGE = 10 * 1024 * 1024


class Refused(Exception):
    """An answer other than 200: status, the Hub's error code, and what it says."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a tree: its content, or the sha256 of it where LFS holds it."""

    content: bytes
    sha256: str = ""
    size: int = 0

    @property
    def oid(self) -> str:
        """What git names it by: the hash of its content, for LFS that of its pointer."""
        return git_hash(pointer(self.sha256, self.size) if self.sha256 else self.content)

    def listed(self, path: str) -> dict[str, Any]:
        """As a tree names it."""
        row: dict[str, Any] = {"type": "file", "path": path, "oid": self.oid, "size": self.size}
        if self.sha256:
            size = len(pointer(self.sha256, self.size))
            row["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": size}
        return row


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its tree is whole."""

    sha: str
    title: str
    at: str
    tree: Mapping[str, Blob]


@dataclass(slots=True)
class Repo:
    """One repository with its history, the newest commit last."""

    kind: str
    name: str
    private: bool
    sdk: str | None = None
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    hardware: str = "cpu-basic"

    def __post_init__(self) -> None:
        attributes = "\n".join(f"*{name} filter=lfs diff=lfs merge=lfs -text" for name in LFS_NAMES)
        content = attributes.encode() + b"\n"
        self.commit("initial commit", {".gitattributes": Blob(content, size=len(content))})

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, title: str, tree: Mapping[str, Blob]) -> Commit:
        parent = self.commits[-1].sha if self.commits else ""
        listing = json.dumps({path: blob.oid for path, blob in sorted(tree.items())})
        sha = hashlib.sha1(f"{self.name}{parent}{title}{listing}".encode()).hexdigest()
        self.commits.append(Commit(sha, title, datetime.now(UTC).isoformat(), dict(tree)))
        return self.head

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a tag, or a sha."""
        sha = self.refs.get(revision, revision)
        for commit in reversed(self.commits):
            if revision == "main" or (len(sha) >= 7 and commit.sha.startswith(sha)):
                return commit
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def info(self, commit: Commit) -> dict[str, Any]:
        return {
            "_id": commit.sha[:24],
            "id": self.name,
            "author": self.name.split("/")[0],
            "sha": commit.sha,
            "private": self.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "createdAt": "2026-01-02T03:04:05.000Z",
            "lastModified": "2026-01-02T03:04:05.000Z",
            "siblings": [{"rfilename": path} for path in sorted(commit.tree)],
            **({"sdk": self.sdk, "runtime": self.runtime()} if self.kind == "space" else {}),
        }

    def runtime(self) -> dict[str, Any]:
        hardware = {"current": self.hardware, "requested": self.hardware}
        return {"stage": "RUNNING", "hardware": hardware, "gcTimeout": 172800, "storage": None}

    def tree(
        self, commit: Commit, under: str = "", recursive: bool = False
    ) -> list[dict[str, Any]]:
        """The files and folders of one folder, or of all below it."""
        start = f"{under}/" if under else ""
        inside = {path: blob for path, blob in commit.tree.items() if path.startswith(start)}
        if under and not inside:
            raise Refused(404, f"{under} does not exist on this revision", "EntryNotFound")
        rows, folders = [], set()
        for path, blob in sorted(inside.items()):
            below = path[len(start) :].split("/")[:-1]
            folders |= {start + "/".join(below[: at + 1]) for at in range(len(below))}
            if recursive or not below:
                rows.append(blob.listed(path))
        shown = [one for one in sorted(folders) if recursive or "/" not in one[len(start) :]]
        return [
            *({"type": "directory", "path": path, "oid": git_hash(path.encode()), "size": 0}
              for path in shown),
            *rows,
        ]  # fmt: skip

    def mode(self, path: str, size: int) -> dict[str, Any]:
        """How a file is to be sent, and what is there already."""
        large = path.endswith(LFS_NAMES) or size > LARGE
        there = self.head.tree.get(path)
        return {
            "path": path,
            "uploadMode": "lfs" if large and size else "regular",
            "shouldIgnore": False,
            "oid": (there.sha256 or there.oid) if there else None,
        }

    def apply(self, lines: list[dict[str, Any]], stored: Mapping[str, bytes]) -> Commit:
        """One commit from the client's lines; all of it or nothing."""
        header = lines[0]["value"]
        parent = header.get("parentCommit")
        if parent and not self.head.sha.startswith(parent):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(self.head.tree)
        for line in lines[1:]:
            key, value = line["key"], line["value"]
            path = str(value["path"])
            if key == "file":
                content = base64.b64decode(value["content"])
                tree[path] = Blob(content, size=len(content))
            elif key == "lfsFile":
                if (found := stored.get(value["oid"])) is None:
                    raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path}")
                tree[path] = Blob(b"", value["oid"], len(found))
            elif key in ("deletedFile", "deletedFolder"):
                gone = [
                    one for one in tree if one == path or one.startswith(f"{path.rstrip('/')}/")
                ]
                if not gone:
                    raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
                for one in gone:
                    del tree[one]
            else:
                raise Refused(400, f"unknown operation {key}")
        return self.commit(str(header["summary"]), tree)


def git_hash(content: bytes) -> str:
    """The name that git gives a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """What stands in git for a file that LFS holds."""
    version = "version https://git-lfs.github.com/spec/v1"
    return f"{version}\noid sha256:{sha256}\nsize {size}\n".encode()
