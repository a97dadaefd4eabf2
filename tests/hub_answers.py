"""What the local Hub answers to each address that the real client asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import yaml

from tests.hub_repos import Refused, Repo

if TYPE_CHECKING:
    from tests.hub_server import LocalHub

PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}


@dataclass(slots=True)
class Answer:
    """What goes back."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and who sent it (None: nobody known)."""

    hub: LocalHub
    method: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    user: dict[str, Any] | None

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def repo(self, kind: str, name: str, *, write: bool = False) -> Repo:
        """The repository, if they may have it; a private one isn't there for others."""
        repo = self.hub.repos.get((kind, name))
        owner = name.split("/")[0]
        own = self.user is not None and owner in (self.user["name"], *self.user["orgs"])
        if repo is None or (repo.private and not own):
            raise Refused(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if write:
            self.may_write(owner)
        return repo

    def may_write(self, owner: str) -> None:
        if self.user is None:
            raise Refused(401, "Invalid username or password.")
        if owner not in (self.user["name"], *self.user["orgs"]) or self.user["role"] != "write":
            raise Refused(403, f"You don't have the rights to write to {owner}")


Found = Callable[..., Answer]
ROUTES: list[tuple[tuple[str, ...], re.Pattern[str], Found]] = []
KIND = r"/api/(?P<kind>model|dataset|space)s/(?P<name>[\w.-]+/[\w.-]+)"
SITE = r"/(?:(?P<kind>dataset|space)s/)?(?P<name>[\w.-]+/[\w.-]+)"


def _at(pattern: str, *methods: str) -> Callable[[Found], Found]:
    def add(found: Found) -> Found:
        ROUTES.append((methods or ("GET",), re.compile(pattern), found))
        return found

    return add


def _json(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(
        json.dumps(value).encode(), status, {"Content-Type": "application/json", **headers}
    )


@_at(r"/api/whoami-v2")
def whoami(asked: Asked) -> Answer:
    if asked.user is None:
        raise Refused(401, "Invalid username or password.")
    orgs = [{"name": name, "type": "org"} for name in asked.user["orgs"]]
    token = {"type": "access_token", "accessToken": {"role": asked.user["role"]}}
    return _json({"type": "user", "name": asked.user["name"], "orgs": orgs, "auth": token})


@_at(r"/api/repos/create", "POST")
def create(asked: Asked) -> Answer:
    wanted = asked.json()
    owner = wanted.get("organization") or (asked.user or {}).get("name", "")
    asked.may_write(owner)
    kind, name = wanted.get("type") or "model", f"{owner}/{wanted['name']}"
    url = f"{asked.hub.endpoint}/{PREFIXES[kind]}{name}"
    if (kind, name) in asked.hub.repos:
        return _json({"error": f"You already created this {kind} repo", "url": url}, 409)
    private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
    repo = asked.hub.repos[kind, name] = Repo(kind, name, private, wanted.get("sdk"))
    repo.secrets.update({one["key"]: one["value"] for one in wanted.get("secrets", [])})
    repo.variables.update({one["key"]: one["value"] for one in wanted.get("variables", [])})
    repo.hardware = wanted.get("hardware") or repo.hardware
    return _json({"url": url, "name": name, "id": name})


@_at(r"/api/repos/delete", "DELETE")
def delete(asked: Asked) -> Answer:
    wanted = asked.json()
    owner = wanted.get("organization") or (asked.user or {}).get("name", "")
    kind, name = wanted.get("type") or "model", f"{owner}/{wanted['name']}"
    asked.repo(kind, name, write=True)
    del asked.hub.repos[kind, name]
    return Answer()


@_at(r"/api/validate-yaml", "POST")
def validate(asked: Asked) -> Answer:
    content = asked.json()["content"]
    errors, warnings = [], []
    found = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
    if found is None:
        warnings.append({"message": "empty or missing yaml metadata in repo card"})
    else:
        try:
            yaml.safe_load(found[1])
        except yaml.YAMLError as error:
            errors.append({"message": str(error)})
    return _json({"errors": errors, "warnings": warnings}, 400 if errors else 200)


@_at(KIND + r"(?:/revision/(?P<revision>[^/]+))?")
def info(asked: Asked, kind: str, name: str, revision: str) -> Answer:
    repo = asked.repo(kind, name)
    return _json(repo.info(repo.at(revision or "main")))


@_at(KIND + r"/refs")
def refs(asked: Asked, kind: str, name: str) -> Answer:
    repo = asked.repo(kind, name)
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.sha}
    return _json({"branches": [main], "converts": [], "tags": []})


@_at(KIND + r"/commits/(?P<revision>[^/]+)")
def commits(asked: Asked, kind: str, name: str, revision: str) -> Answer:
    repo = asked.repo(kind, name)
    rows = [
        {"id": one.sha, "title": one.title, "message": "", "date": one.at, "authors": []}
        for one in reversed(repo.commits)
    ]
    return _json(rows)


@_at(KIND + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?")
def tree(asked: Asked, kind: str, name: str, revision: str, path: str) -> Answer:
    repo = asked.repo(kind, name)
    recursive = asked.query.get("recursive", "").lower() in ("true", "1")
    return _json(repo.tree(repo.at(revision), path, recursive))


@_at(KIND + r"/paths-info/(?P<revision>[^/]+)", "POST")
def paths_info(asked: Asked, kind: str, name: str, revision: str) -> Answer:
    repo = asked.repo(kind, name)
    held = repo.at(revision).tree
    paths = parse_qs(asked.body.decode()).get("paths", [])
    return _json([held[path].listed(path) for path in paths if path in held])


@_at(KIND + r"/preupload/(?P<revision>[^/]+)", "POST")
def preupload(asked: Asked, kind: str, name: str, revision: str) -> Answer:
    repo = asked.repo(kind, name, write=True)
    return _json({"files": [repo.mode(one["path"], one["size"]) for one in asked.json()["files"]]})


@_at(KIND + r"/commit/(?P<revision>[^/]+)", "POST")
def commit(asked: Asked, kind: str, name: str, revision: str) -> Answer:
    repo = asked.repo(kind, name, write=True)
    lines = [json.loads(line) for line in asked.body.splitlines() if line.strip()]
    made = repo.apply(lines, asked.hub.stored)
    url = f"{asked.hub.endpoint}/{PREFIXES[kind]}{name}/commit/{made.sha}"
    return _json({"success": True, "commitOid": made.sha, "commitUrl": url})


@_at(KIND + r"/super-squash/(?P<branch>[^/]+)", "POST")
def squash(asked: Asked, kind: str, name: str, branch: str) -> Answer:
    repo = asked.repo(kind, name, write=True)
    tree = dict(repo.head.tree)
    repo.commits.clear()
    repo.commit(asked.json().get("message") or "Super-squash branch", tree)
    return Answer()


@_at(KIND + r"/xet-(?:write|read)-token/.*")
def xet_token(asked: Asked, kind: str, name: str) -> Answer:
    raise Refused(404, "this Hub has no xet store")


@_at(SITE + r"\.git/info/lfs/objects/batch", "POST")
def lfs_batch(asked: Asked, kind: str, name: str) -> Answer:
    asked.repo(kind or "model", name, write=True)
    rows = [_lfs_row(asked, one["oid"], one["size"]) for one in asked.json()["objects"]]
    return _json({"transfer": "basic", "objects": rows})


def _lfs_row(asked: Asked, oid: str, size: int) -> dict[str, Any]:
    """What to do with one large file: nothing where it is there already."""
    hub, row = asked.hub, {"oid": oid, "size": size}
    if oid in hub.stored:
        return row
    verify = {"href": f"{hub.endpoint}/lfs/verify", "header": {}}
    if hub.part_size is None or size <= hub.part_size:
        upload: dict[str, Any] = {"href": f"{hub.storage}/lfs/{oid}?signed=once"}
    else:
        count = -(-size // hub.part_size)
        parts = {str(at): f"{hub.storage}/lfs/{oid}/{at}" for at in range(1, count + 1)}
        upload = {
            "href": f"{hub.endpoint}/lfs/{oid}/complete",
            "header": {"chunk_size": str(hub.part_size), **parts},
        }
    return row | {"authenticated": True, "actions": {"upload": upload, "verify": verify}}


@_at(r"/lfs/verify", "POST")
def lfs_verify(asked: Asked) -> Answer:
    said = asked.json()
    found = asked.hub.stored.get(said["oid"])
    if found is None or len(found) != said["size"]:
        raise Refused(404, "the file isn't there, or is of another size")
    return Answer()


@_at(r"/lfs/(?P<oid>[0-9a-f]{64})(?:/(?P<part>\d+))?", "PUT")
def lfs_put(asked: Asked, oid: str, part: str) -> Answer:
    if not part:
        asked.hub.store(oid, asked.body)
        return Answer()
    asked.hub.parts.setdefault(oid, {})[int(part)] = asked.body
    return Answer(headers={"ETag": f'"part-{part}"'})


@_at(r"/lfs/(?P<oid>[0-9a-f]{64})/complete", "POST")
def lfs_complete(asked: Asked, oid: str) -> Answer:
    named = [one["partNumber"] for one in asked.json()["parts"]]
    held = asked.hub.parts.get(oid, {})
    if sorted(held) != named:
        raise Refused(400, "parts are missing")
    asked.hub.store(oid, b"".join(held[at] for at in named))
    return _json({"success": True})


@_at(r"/lfs/(?P<oid>[0-9a-f]{64})")
def lfs_get(asked: Asked, oid: str) -> Answer:
    return _ranged(asked, asked.hub.stored[oid], {"ETag": f'"{oid}"'})


@_at(SITE + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(asked: Asked, kind: str, name: str, revision: str, path: str) -> Answer:
    found = asked.repo(kind or "model", name).at(revision)
    headers = {"X-Repo-Commit": found.sha}
    if (blob := found.tree.get(path)) is None:
        said = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
        return Answer(b"Entry not found", 404, headers | said)
    if not blob.sha256:
        return _ranged(asked, blob.content, headers | {"ETag": f'"{blob.oid}"'})
    linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
    place = {"Location": f"{asked.hub.storage}/lfs/{blob.sha256}"}
    return Answer(b"", 302, headers | linked | place)


def _ranged(asked: Asked, content: bytes, headers: dict[str, str]) -> Answer:
    """The content, or the part of it that was asked for."""
    headers = headers | {"Accept-Ranges": "bytes"}
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("Range", ""))
    if found is None:
        return Answer(content, 200, headers | {"Content-Length": str(len(content))})
    first, last = int(found[1]), int(found[2] or len(content) - 1)
    if first >= len(content):
        raise Refused(416, "the range lies beyond the end")
    part = content[first : last + 1]
    place = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
    length = str(len(part))
    return Answer(part, 206, headers | {"Content-Range": place, "Content-Length": length})


@_at(r"/api/spaces/(?P<name>[\w.-]+/[\w.-]+)/(?P<what>secrets|variables)", "GET", "POST", "DELETE")
def space_values(asked: Asked, name: str, what: str) -> Answer:
    repo = asked.repo("space", name, write=True)
    held = repo.secrets if what == "secrets" else repo.variables
    if asked.method == "POST":
        held[asked.json()["key"]] = asked.json()["value"]
    elif asked.method == "DELETE":
        held.pop(asked.json()["key"], None)
    hidden = what == "secrets"
    return _json({k: {"key": k} | ({} if hidden else {"value": v}) for k, v in held.items()})


@_at(r"/api/spaces/(?P<name>[\w.-]+/[\w.-]+)/(?P<what>runtime|hardware|restart)", "GET", "POST")
def space_runtime(asked: Asked, name: str, what: str) -> Answer:
    repo = asked.repo("space", name, write=asked.method == "POST")
    if what == "hardware" and asked.method == "POST":
        repo.hardware = asked.json()["flavor"]
    return _json(repo.runtime())
