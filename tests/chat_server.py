"""A real HTTP server in a thread that speaks `/v1/chat/completions`, scripted by a function."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What the server does with a request: answers, refuses, drops it, or waits for long first."""

    texts: Sequence[str] = ("",)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = "no"
    code: str | None = None
    drop: bool = False
    wait: bool = False
    finish: str = "stop"
    raw: bytes | None = None


@dataclass
class ChatServer:
    """The server's address and all that it was asked; `released` ends every wait."""

    url: str
    requests: list[dict[str, Any]]
    headers: list[dict[str, str]]
    paths: list[str]
    released: threading.Event
    asked: threading.Semaphore
    most_at_once: int = 0
    at_once: int = 0

    def user_texts(self) -> list[str]:
        """The last message of each request."""
        return [request["messages"][-1]["content"] for request in self.requests]


Script = Callable[[dict[str, Any], int], Reply | str]
"""(a request's body, its number from 0) -> what to do with it."""


@contextmanager
def chat_server(script: Script) -> Iterator[ChatServer]:
    """Serves until the block ends; tokens are counted as words."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                number = len(state.requests)
                state.requests.append(body)
                state.headers.append({k.lower(): v for k, v in self.headers.items()})
                state.paths.append(self.path)
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
            state.asked.release()
            try:
                self.reply_with(script(body, number), body)
            finally:
                with lock:
                    state.at_once -= 1

        def reply_with(self, reply: Reply | str, body: dict[str, Any]) -> None:
            reply = Reply([reply]) if isinstance(reply, str) else reply
            if reply.wait:
                state.released.wait(60)
            if reply.drop or reply.wait:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            content = reply.raw if reply.raw is not None else answer_of(reply, body)
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    state = ChatServer(url, [], [], [], threading.Event(), threading.Semaphore(0))
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def answer_of(reply: Reply, body: dict[str, Any]) -> bytes:
    """The body of a chat completion, or of a refusal in OpenAI's form."""
    if reply.status != 200:
        return json.dumps({"error": {"message": reply.error, "code": reply.code}}).encode()
    words = sum(len(message["content"].split()) for message in body["messages"])
    written = sum(len(text.split()) for text in reply.texts)
    choices = [
        {
            "index": index,
            "finish_reason": reply.finish,
            "message": {"role": "assistant", "content": text},
        }
        for index, text in enumerate(reply.texts)
    ]
    completion = {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": choices,
        "usage": {
            "prompt_tokens": words,
            "completion_tokens": written,
            "total_tokens": words + written,
        },
    }
    return json.dumps(completion).encode()
