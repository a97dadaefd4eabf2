"""Every way into a served page, over real HTTP: each route and listener has a rule and keeps it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from guardui.gate_rules import TABLE, rule_for
from guardui.guarded import SCOPES

ROOT = Path(__file__).parents[2]


@dataclass
class Served:
    url: str
    home: Path
    found: dict[str, Any]
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, name: str = "") -> httpx.Client:
        """A browser of somebody's; each is at an address of their own."""
        said = {"X-Forwarded-For": f"10.1.1.{len(name) + 1}"}
        client = httpx.Client(base_url=self.url, timeout=60, headers=said)
        self.clients.append(client)
        if name:
            given = {"name": name, "password": "correct horse"}
            assert client.post("/login", data=given).status_code == 303
        return client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, upgraded_file: Path) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("access")
    (home / "guardui.db").write_bytes(upgraded_file.read_bytes())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GUARDUI_")}
    own = {"GUARDUI_HOME": str(home), "GUARDUI_PROXY": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.guardui.served_access", str(port)],
            cwd=ROOT,
            env=clean | own | {"MPLBACKEND": "agg", "FORWARDED_ALLOW_IPS": ""},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (home / "log").read_text()
        served = Served(f"http://127.0.0.1:{port}", home, json.loads(line))
        yield served
        for client in served.clients:
            client.close()
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_every_route_of_the_served_apps_has_a_rule(served: Served) -> None:
    """A new route, be it Gradio's, gets one in `guardui/gate_rules.py` before it is served."""
    found = served.found["outer"] + served.found["full"]
    routes = {(path, method) for path, methods in found for method in methods}
    assert len(routes) > 70
    concrete = {(re.sub(r"\{[^}]*:path\}", "a/b", path), method) for path, method in routes}
    concrete = {(re.sub(r"\{[^}]*:int\}", "1", path), method) for path, method in concrete}
    concrete = {(re.sub(r"\{[^}]*\}", "a", path), method) for path, method in concrete}
    without = sorted(f"{m} {p}" for p, m in concrete if m != "OPTIONS" and rule_for(m, p) is None)
    assert without == []


def test_every_listener_has_a_rule_and_the_public_has_none_of_the_workshop(served: Served) -> None:
    outer, full = served.found["outer_listeners"], served.found["full_listeners"]
    assert [one for one in outer if one[2] is None] == []
    assert {one[2] for one in full} == {"researcher"}
    assert len(full) > 100
    assert len(outer) < 20
    modules = {name.split(".<locals>")[0].rpartition(".")[0] for _, name, *_ in outer if name}
    tabs = {"guardui.tabs.classify", "guardui.tabs.rate"}
    assert modules == {"guardui.layout", "guardui.api", *tabs}
    published = {name.rpartition(".")[2] for _, name, _, public in full if public}
    assert len(published) == len(SCOPES)


def test_raw_calls_of_the_public_reach_no_listener_of_a_researcher(served: Served) -> None:
    public, last = served.client(), max(number for number, *_ in served.found["full_listeners"])
    for number in (20, last // 2, last):
        body = {"data": [], "fn_index": number, "session_hash": "abc"}
        assert public.post("/gradio_api/queue/join", json=body).status_code == 404
    for name in ("submit", "jobs", "job", "stop"):
        for way in ("run", "api", "call", "call/v2"):
            answer = public.post(f"/gradio_api/{way}/{name}", json={"data": []})
            assert (answer.status_code, "job" in answer.text[:8]) == (404, False)
    said = public.post("/gradio_api/run/classify", json={"data": ["hi", "", "", "fast"]})
    assert "must be annotator or researcher" in said.text
    run = next(n for n, name, *_ in served.found["outer_listeners"] if name.endswith(".run"))
    body = {"data": ["hi", "", "", "fast"], "fn_index": run, "session_hash": "abc"}
    public.post("/gradio_api/queue/join", json=body)
    with public.stream("GET", "/gradio_api/queue/data?session_hash=abc") as news:
        told = next(line for line in news.iter_lines() if "process_completed" in line)
    assert "may not call this listener" in told
    assert '"success":false' in told


def test_a_researcher_is_known_in_the_queue_and_in_the_audit_log(served: Served) -> None:
    ada = served.client("ada")
    body = {"data": ["rsft", {"dataset": "/etc/passwd"}, ""]}
    refused = ada.post("/gradio_api/run/submit", json=body)
    assert "dataset=/etc/passwd: is outside of the home's folders" in refused.text
    body["data"] = ["rsft", {"dataset": "starter"}, "smollm2-demo"]
    event = ada.post("/gradio_api/call/submit", json=body).json()["event_id"]
    told = ada.get(f"/gradio_api/call/submit/{event}").text
    assert '"id": 1' in told, told
    stopped = ada.post("/gradio_api/run/stop", json={"data": [1]})
    assert stopped.status_code == 200, stopped.text
    env = os.environ | {"GUARDUI_HOME": str(served.home)}
    command = [sys.executable, "-m", "guardui.cli", "audit", "--json", "--act", "job."]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=120)
    rows = json.loads(done.stdout)
    assert [(one["act"], one["actor"], one["subject"]) for one in rows][-2:] == [
        ("job.stop", "ada", "job:1"),
        ("job.launch", "ada", "job:1"),
    ]


def test_files_are_for_researchers_and_never_the_homes_own(served: Served) -> None:
    public, ben, ada = served.client(), served.client("ben"), served.client("ada")
    sent = {"files": ("rows.jsonl", b"{}")}
    assert public.post("/gradio_api/upload", files=sent).status_code == 401
    assert ben.post("/gradio_api/upload", files=sent).status_code == 403
    uploaded = ada.post("/gradio_api/upload", files=sent).json()[0]
    assert ada.get(f"/gradio_api/file={uploaded}").status_code == 200
    assert public.get(f"/gradio_api/file={uploaded}").status_code == 401
    for name in ("guardui.db", "users.json", "identity.key", "log", "jobs/../users.json"):
        assert (served.home / name.rpartition("/")[2]).exists()
        assert ada.get(f"/gradio_api/file={served.home / name}").status_code in (403, 404)
    assert ada.get("/gradio_api/file=/etc/passwd").status_code == 403
    assert ada.get("/gradio_api/proxy=http://127.0.0.1/").status_code == 404


def test_every_rule_is_of_a_route(served: Served) -> None:
    """What isn't served needs no rule; those of Gradio's that depend on how it runs may stay."""
    sometimes = ("login/(huggingface", "runs|run-history", "redoc", "openapi.json")
    routes = [path for app in ("outer", "full") for path, _ in served.found[app]]
    plain = [re.sub(r"\{[^}]*:int\}", "1", re.sub(r"\{[^}]*:path\}", "a/b", one)) for one in routes]
    plain = [re.sub(r"\{[^}]*\}", "a", one) for one in plain]
    idle = [
        pattern
        for _, pattern, _ in TABLE
        if not any(re.fullmatch(pattern, one) for one in plain)
        and not any(word in pattern for word in sometimes)
    ]
    assert idle == []
