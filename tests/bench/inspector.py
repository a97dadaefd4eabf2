"""What a click in the inspector costs on the server: filters, search, orders and pages.

    PYTHONPATH=. python tests/bench/inspector.py [--samples N] [--alone] [--postgres] [--keep DIR]

Makes a job of N samples from a seed (1,000 characters of conversation, four answers of 1,500), and
beside it a second one of as many, in a temporary folder or in databases of its own at
127.0.0.1:5432; then the same with a tenth of N, for the ratio. Each click is `draw` of
`guardui/tabs/sample_parts.py` with the parts that the page asks for, from the address to HTML, in
one reading transaction. Clicks are made in rounds, so that a busy moment falls on all of them.
`cpu` is the time of this process, which other work on the machine hardly changes; on PostgreSQL it
lacks the server's.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from db.samples import ORDERS, count_samples
from db.session import Database
from guardui.sample_address import PAGE_ROWS, read_place
from guardui.tabs.sample_parts import draw
from tests.bench.inspector_data import MODELS, SOURCES, Writer, a_database

AIM = 200  # milliseconds, p95 of any filter
CLICK, TURN = ("filters", "list", "balance"), ("list",)


@dataclass
class Click:
    """An address and the parts asked for; what it found and took, in milliseconds."""

    query: str
    parts: tuple[str, ...] = CLICK
    balance: bool = False
    rows: int = 0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def clicks(words: Mapping[str, str]) -> dict[str, Click]:
    """Name -> click; those on pages further on are told where the middle is by `aim_at`."""
    filters = {
        "no filter": "",
        "task": "task=refusal",
        "source": f"source={SOURCES[1]}",
        "model": f"model={MODELS[2]}",
        "false alarms": "error=false_alarm",
        "misses": "error=miss",
        "all answers parsed": "parse=clean",
        "parse failures": "parse=failures",
        "3 of 4 wrong": "wrong=3",
        "length": "longer=500&shorter=1500",
        "weight": "heavier=0.9&lighter=1.1",
        "new": "review=new",
        "accepted": "review=accepted",
        "edited": "review=edited",
        "label suspects": "flag=label_suspect",
        "near-duplicates": "flag=duplicate",
        "nearly equal": "flag=near_equal",
        "length gap": "flag=length_gap",
        "every kind of answers": "kind=all",
        "six filters": "task=refusal&error=miss&wrong=2&longer=300&parse=clean&review=accepted",
    }
    named = {name: Click(query) for name, query in filters.items()}
    named["no filter, balance open"] = Click("", balance=True)
    named["task, balance open"] = Click(filters["task"], balance=True)
    for kind, word in words.items():
        named[f"search: {kind}"] = Click(f"text={word}")
    common = f"text={words['a common word']}"
    named["search: a common word, task"] = Click(f"{common}&task=refusal")
    named["search: a common word, length"] = Click(f"{common}&longer=500&shorter=1500")
    named["search: a common word, balance open"] = Click(common, balance=True)
    for order in ORDERS:
        for page in ("first", "middle", "last"):
            named[f"by {order}, {page} page"] = Click(f"order={order}&page={page}", TURN)
    for name, query in (("task", "task=refusal"), ("new", "review=new"), ("common word", common)):
        for order in ("mined", "weight", "length"):
            query_ = f"{query}&order={order}&page=middle"
            named[f"{name} by {order}, middle page"] = Click(query_, TURN)
    return named


def aim_at(database: Database, click: Click, job_id: int) -> None:
    """Fills in the job, how many match, and the page that is meant."""
    query = f"set={job_id}&{click.query}"
    with database.read() as session:
        click.rows = count_samples(session, read_place(query).filter)
    last = max(1, -(-click.rows // PAGE_ROWS))
    for name, page in (("first", 1), ("middle", last // 2 + 1), ("last", last)):
        query = query.replace(f"page={name}", f"page={page}")
    click.query = query


def run(database: Database, click: Click) -> None:
    cpu, wall = time.thread_time(), time.perf_counter()
    draw(database, read_place(click.query), click.parts, {"balance": click.balance})
    click.wall.append((time.perf_counter() - wall) * 1000)
    click.cpu.append((time.thread_time() - cpu) * 1000)


def measure(database: Database, times: int) -> dict[str, Click]:
    words = Writer(0).words
    chosen = {
        "one letter": words[0][0],
        "a common word": words[2],
        "a rare word": words[20_000],
        "two words": f"{words[2]}+{words[10]}",
        "no match": "xyzzy",
    }
    found = clicks(chosen)
    for click in found.values():
        aim_at(database, click, 1)
        run(database, replace(click, wall=[], cpu=[]))  # to warm up
    gc.freeze()
    for _ in range(times):
        for click in found.values():
            run(database, click)
    return found


def p95(found: list[float]) -> float:
    return sorted(found)[max(0, -(-len(found) * 95 // 100) - 1)]


def report(large: Mapping[str, Click], small: Mapping[str, Click]) -> None:
    title = f"{'click':36} {'rows':>7} {'p50':>6} {'p95':>6} {'aim':>5} {'cpu p50':>7} {'p95':>6}"
    print(f"{title} {'ratio':>5}   (ms; aim: p95 / {AIM}; ratio: cpu p50 to a tenth of samples)")
    for name, click in large.items():
        middle, cpu = statistics.median(click.wall), statistics.median(click.cpu)
        print(
            f"{name:36} {click.rows:7,} {middle:6.1f} {p95(click.wall):6.1f} "
            f"{p95(click.wall) / AIM:5.2f} {cpu:7.1f} {p95(click.cpu):6.1f} "
            f"{cpu / statistics.median(small[name].cpu):5.1f}"
        )
    groups = {
        "filters": [c for n, c in large.items() if c.parts == CLICK and "search" not in n],
        "search": [c for n, c in large.items() if c.parts == CLICK and "search" in n],
        "orders and pages": [c for c in large.values() if c.parts == TURN],
    }
    for name, group in groups.items():
        wall = [one for click in group for one in click.wall]
        cpu = [one for click in group for one in click.cpu]
        worst = max(p95(click.wall) for click in group)
        worst_cpu = max(p95(click.cpu) for click in group)
        print(
            f"{name}: {len(wall):,} clicks, p50 {statistics.median(wall):.0f}, "
            f"p95 {p95(wall):.0f}, the worst one's p95 {worst:.0f}; "
            f"cpu {statistics.median(cpu):.0f}, {p95(cpu):.0f}, {worst_cpu:.0f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=30, help="of each click")
    parser.add_argument("--alone", action="store_true", help="without the second job")
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder of databases for the next time")
    given = parser.parse_args()
    results = []
    for count in (given.samples // 10, given.samples):
        with a_database(count, given.postgres, given.keep, given.alone) as database:
            before = os.getloadavg()[0]
            results.append(measure(database, given.times))
            print(f"{count:,} samples; load {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    report(results[1], results[0])


if __name__ == "__main__":
    main()
