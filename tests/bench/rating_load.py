"""Fifty annotators at once through real HTTP: is anything lost, counted twice, or slow?

    PYTHONPATH=. python tests/bench/rating_load.py [--people 50] [--pairs 120] [--ratings 5]

Serves `python app.py` on SQLite and on PostgreSQL, and lets 50 people rate 600 places: 20% of all
answers are sent twice at the same time, 2% come after their lease was ended and the place was
offered to others, and the server is ended and started again in the middle. Afterwards the database
is held against what each person was told to be saved.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from sqlalchemy import select, update

from db.models import Rating, StudySlot, now
from db.session import Database, open_database
from pipelines.settings import Settings
from tests.bench.page_start import free_port
from tests.rating_study import invite, new_item, open_study

ROOT = Path(__file__).resolve().parents[2]
POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
TWICE, EXPIRED = 0.20, 0.02
THINK_SECONDS = 12.0  # at most, before an answer; people take several times as long
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0  # seconds between two tries, as the page has them


@dataclass
class Run:
    """What was sent and what was said of it."""

    url: str
    database: Database
    told: dict[str, int] = field(default_factory=dict)  # token -> the answer said to be saved
    seconds: list[float] = field(default_factory=list)  # of every answered submit
    doubles: int = 0
    expired: int = 0
    retries: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Server:
    """`python app.py` on a home, which can be ended and started again on the same port."""

    def __init__(self, home: Path, url: str) -> None:
        self.port = free_port()
        self.env = os.environ | {
            "GUARDUI_HOME": str(home),
            "GUARDUI_PORT": str(self.port),
            "GUARDUI_DATABASE_URL": url,
        }
        self.log = (home / "app.log").open("ab")

    def start(self) -> None:
        command = [sys.executable, "app.py"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log
        )
        until = time.monotonic() + 300
        while time.monotonic() < until:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=20).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise RuntimeError("the app does not answer")

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


async def ask(run: Run, client: httpx.AsyncClient, act: str, body: dict[str, Any]) -> Any:
    """Asks until the server answers, as the page does; None where it refuses."""
    wait = FIRST_WAIT
    while True:
        start = time.perf_counter()
        try:
            reply = await client.post(f"{run.url}/rate/api/{act}", json=body)
            if reply.status_code < 500:
                if act == "submit":
                    run.seconds.append(time.perf_counter() - start)
                if reply.status_code == 200:
                    return reply.json()
                run.refused[f"{act}: {reply.json().get('code')}"] += 1
                return None
        except httpx.TransportError:
            pass
        run.retries += 1
        await asyncio.sleep(wait * random.uniform(0.5, 1.5))
        wait = min(2 * wait, LONGEST_WAIT)


def end_lease(run: Run, token: str) -> None:
    with run.database.write() as session:
        past = now() - timedelta(seconds=1)
        session.execute(update(StudySlot).where(StudySlot.token == token).values(lease_until=past))


async def annotate(run: Run, code: str, rng: random.Random) -> None:
    """One person, from consent until there is nothing left."""
    headers = {"Authorization": f"Bearer {code}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        screen = await ask(run, client, "consent", {"agreed": True})
        while screen and screen["screen"] in ("item", "wait"):
            if screen["screen"] == "wait":  # others have the last places before them
                await asyncio.sleep(1)
                screen = await ask(run, client, "next", {"go_on": True})
                continue
            token, overall = screen["token"], rng.randrange(6)
            await ask(run, client, "reveal", {"token": token})
            await asyncio.sleep(rng.random() * THINK_SECONDS)
            await ask(run, client, "draft", {"token": token, "draft": {"overall": overall}})
            if rng.random() < EXPIRED:
                run.expired += 1
                await asyncio.to_thread(end_lease, run, token)
                await asyncio.sleep(3)  # somebody else may take the place
            body = {"token": token, "overall": overall}
            times = 1
            if rng.random() < TWICE:
                run.doubles, times = run.doubles + 1, 2
            replies = await asyncio.gather(
                *(ask(run, client, "submit", body) for _ in range(times))
            )
            if any(reply and reply["saved"] for reply in replies):
                run.told[token] = overall
            screen = await ask(run, client, "next", {"go_on": True})


async def restart(run: Run, server: Server, after: int) -> None:
    while len(run.told) < after:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(server.end)
    await asyncio.sleep(1)
    await asyncio.to_thread(server.start)


async def load(run: Run, server: Server, codes: list[str], half: int) -> None:
    people = [annotate(run, code, random.Random(n)) for n, code in enumerate(codes)]
    await asyncio.gather(restart(run, server, half), *people)


def check(run: Run, study_id: int, wanted: int) -> dict[str, Any]:
    """What the database holds, against what the people were told."""
    with run.database.read() as session:
        query = (
            select(Rating, StudySlot)
            .join(StudySlot, StudySlot.id == Rating.slot_id)
            .where(Rating.study_id == study_id, Rating.revision == 1)
        )
        rows = session.execute(query).all()
        held = {rating.submission: rating.overall for rating, _ in rows}
        once = Counter((rating.pair_id, rating.annotator_id) for rating, _ in rows)
        sides: Counter[int] = Counter()
        for _, slot in rows:
            if slot.kind == "regular":
                sides[slot.pair_id] += 1 if slot.left_first else -1
        regular = sum(slot.kind == "regular" for _, slot in rows)
    ordered = sorted(run.seconds)
    return {
        "stored": len(rows),
        "regular places filled": f"{regular} of {wanted}",
        "lost": sum(held.get(token) != overall for token, overall in run.told.items()),
        "counted twice": sum(count - 1 for count in once.values()),
        "never told of": len(held.keys() - run.told.keys()),
        "worst side imbalance": max(map(abs, sides.values())),
        "late": sum(rating.late for rating, _ in rows),
        "sent twice": run.doubles,
        "leases ended": run.expired,
        "tries again": run.retries,
        "refused": dict(run.refused),
        "p50 ms": round(1000 * statistics.median(ordered), 1),
        "p95 ms": round(1000 * ordered[int(0.95 * len(ordered))], 1),
        "max ms": round(1000 * ordered[-1], 1),
    }


def measure(url: str, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    settings = Settings(home=home, database_url=url)
    database = open_database(url)
    items = [new_item(number, wanted=options.ratings) for number in range(options.pairs)]
    study_id = open_study(database, items)
    codes = invite(database, settings, study_id, options.people)
    server = Server(home, url)
    server.start()
    try:
        run = Run(f"http://127.0.0.1:{server.port}", database)
        wanted = options.pairs * options.ratings
        asyncio.run(load(run, server, codes, wanted // 2))
        return check(run, study_id, wanted)
    finally:
        server.end()
        database.dispose()


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a schema of its own, dropped afterwards."""
    schema = f"rating_load_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, connect_timeout=3, autocommit=True) as admin:
        admin.execute(f'CREATE SCHEMA "{schema}"'.encode())
        try:
            yield f"{POSTGRES}?options=-csearch_path%3D{schema}"
        finally:
            admin.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=120)
    parser.add_argument("--ratings", type=int, default=5)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    if options.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'guardui.db'}"
            found["sqlite"] = measure(url, Path(folder), options)
    if options.only != "sqlite":
        try:
            with tempfile.TemporaryDirectory() as folder, postgres() as url:
                found["postgresql"] = measure(url, Path(folder), options)
        except psycopg.OperationalError as error:
            print(f"postgresql: left out, none answers ({str(error).splitlines()[0]})")
    for name, facts in found.items():
        print(name, *(f"  {word}: {value}" for word, value in facts.items()), sep="\n")
    if len(found) == 2:
        ratio = found["postgresql"]["p95 ms"] / found["sqlite"]["p95 ms"]
        print(f"p95 of a submit, postgresql to sqlite: {ratio:.2f}")


if __name__ == "__main__":
    main()
