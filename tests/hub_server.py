"""A Hub on this machine: the protocol that the real `huggingface_hub` client speaks, over HTTP.

    with LocalHub() as hub:
        hub.point(monkeypatch)             # this process's client talks to it
        hub.environment()                  # what a process of its own needs for that
        hub.fail("PUT", "/lfs/", 503)      # the next such request is answered so
        hub.repo("ada/guard").head.tree    # what it holds

There is no xet store: tokens for it are refused, and files go by LFS.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.hub_answers import ROUTES, Answer, Asked
from tests.hub_repos import Refused, Repo

TOKEN = "hf_localHubTokenOfAda123456"
READ_TOKEN = "hf_localHubTokenForReading12"


@dataclass(slots=True)
class Fault:
    """How the next `times` requests whose method and path fit are answered instead."""

    method: str
    part: str
    status: int | Literal["drop", "slow"]
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came, and the status that it got (0: the connection was dropped)."""

    method: str
    path: str
    authorization: str
    body: bytes
    status: int


class LocalHub:
    """The server and what it holds. A context manager; requests are answered in threads."""

    def __init__(self, *, part_size: int | None = None) -> None:
        self.users: dict[str, dict[str, Any]] = {
            TOKEN: {"name": "ada", "orgs": ["lab"], "role": "write"},
            READ_TOKEN: {"name": "ada", "orgs": ["lab"], "role": "read"},
        }
        self.repos: dict[tuple[str, str], Repo] = {}
        self.stored: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.part_size = part_size
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        hub = self

        class Handler(_Handler):
            local = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        # Large files lie on another host, as at the real Hub: no token may go there.
        self.storage = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def point(self, monkeypatch: pytest.MonkeyPatch, token: str | None = TOKEN) -> None:
        """This process's client talks to this Hub, with this token, and by LFS."""
        from huggingface_hub.utils import close_session

        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", self.endpoint)
        template = f"{self.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        for name, value in self.environment(token).items():
            monkeypatch.setenv(name, value)
        if token is None:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        close_session()

    def environment(self, token: str | None = TOKEN) -> dict[str, str]:
        """Variables with which a process started from here talks to this Hub."""
        said = {"HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        return said | ({"HF_TOKEN": token} if token else {})

    def fail(
        self,
        method: str,
        part: str,
        status: int | Literal["drop", "slow"],
        times: int = 1,
        *,
        headers: Mapping[str, str] | None = None,
        after: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """The next requests of this method (`*`: any) whose path holds `part` are refused with a
        status; or dropped after so many bytes of their body; or answered so many seconds late."""
        self.faults.append(Fault(method, part, status, times, headers or {}, after, seconds))

    def clear(self) -> None:
        """Forgets all repositories, stored files, faults and requests."""
        with self.lock:
            for held in (self.repos, self.stored, self.parts, self.requests, self.faults):
                held.clear()

    def repo(self, name: str, kind: str = "model") -> Repo:
        """What it holds under this name; KeyError where there is none."""
        return self.repos[kind, name]

    def add_repo(self, name: str, kind: str = "model", *, private: bool = False) -> Repo:
        """Makes a repository without asking."""
        return self.repos.setdefault((kind, name), Repo(kind, name, private))

    def content(self, name: str, path: str, kind: str = "model", revision: str = "main") -> bytes:
        """One file's bytes as they lie there."""
        blob = self.repo(name, kind).at(revision).tree[path]
        return self.stored[blob.sha256] if blob.sha256 else blob.content

    def asked(self, method: str, part: str) -> list[Seen]:
        """The requests of this method whose path holds `part`, in their order."""
        return [one for one in self.requests if one.method == method and part in one.path]

    def store(self, sha256: str, content: bytes) -> None:
        """Keeps a large file that came whole."""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Refused(400, "the content's sha256 is another")
        self.stored[sha256] = content

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method in ("*", method) and fault.part in path:
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    local: LocalHub
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        fault = self.local.fault_for(self.command, self.path)
        if fault is not None and fault.status == "drop":
            self._drop(self.rfile.read(min(fault.after, self._length())))
            return
        body = self._body()
        if fault is not None and fault.status == "slow":
            time.sleep(fault.seconds)
        try:
            if fault is not None and isinstance(fault.status, int):
                answer = _refusal(Refused(fault.status, f"told to answer {fault.status}"))
                answer.headers.update(fault.headers)
            else:
                with self.local.lock:
                    answer = self._find(body)
        except Refused as refused:
            answer = _refusal(refused)
        self._keep(body, answer.status)
        self._send(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

    def _find(self, body: bytes) -> Answer:
        url = urlsplit(self.path)
        authorization = self.headers.get("Authorization", "")
        user = self.local.users.get(authorization.removeprefix("Bearer "))
        if authorization and user is None:
            raise Refused(401, "Invalid credentials in Authorization header")
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        asked = Asked(self.local, self.command, query, dict(self.headers), body, user)
        method = "GET" if self.command == "HEAD" else self.command
        for methods, pattern, found in ROUTES:
            if method in methods and (match := pattern.fullmatch(url.path)):
                return found(asked, **{k: unquote(v or "") for k, v in match.groupdict().items()})
        raise Refused(404, f"no such address: {url.path}")

    def _length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(self._length())
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _drop(self, body: bytes) -> None:
        """Resets the connection, as a network does that goes away."""
        self._keep(body, 0)
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True
        self.wfile = self.rfile = _Nothing()  # type: ignore[assignment]

    def _keep(self, body: bytes, status: int) -> None:
        said = self.headers.get("Authorization", "")
        self.local.requests.append(Seen(self.command, self.path, said, body, status))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_args: object) -> None:
        pass


class _Nothing:
    """Stands in for the streams of a connection that is gone."""

    closed = True

    def readline(self, *_: object) -> bytes:
        return b""

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _refusal(refused: Refused) -> Answer:
    said = str(refused)
    headers = {"Content-Type": "application/json", "X-Error-Message": said}
    if refused.code:
        headers["X-Error-Code"] = refused.code
    return Answer(json.dumps({"error": said}).encode(), refused.status, headers)
