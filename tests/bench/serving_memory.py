"""Resident memory over 10,000 moderations of a tiny model, in both modes, some of them cancelled.

python tests/bench/serving_memory.py [--requests 10000] [--threads 8]

Prints MB after 500 to warm up, after each 1,000, and at the end, and what is left of threads.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import tempfile
import threading
import time
from pathlib import Path

WARM_UP = 500


def resident() -> float:
    """MB of this process in memory."""
    import psutil

    return float(psutil.Process().memory_info().rss / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["GUARDUI_HOME"] = home
        measure(Path(home), asked.requests, asked.threads)


def measure(home: Path, requests: int, threads: int) -> None:
    import torch

    from db.session import open_database
    from guardui.live import Live
    from pipelines.settings import get_settings
    from tests.tiny_model import make_tiny_base
    from tests.tiny_runs import make_adapter

    torch.set_num_threads(1)
    adapter = str(make_adapter(make_tiny_base(home / "base"), home / "adapter"))
    settings = get_settings()
    database = open_database(settings.database_url)
    live = Live(database, settings)
    before = threading.active_count()
    count = {"done": 0, "cancelled": 0}
    lock = threading.Lock()

    def some(number: int) -> None:
        draw = random.Random(number)
        while True:
            with lock:
                if count["done"] >= wanted:
                    return
                count["done"] += 1
            prompt = "word " * draw.randint(1, 120)
            mode = draw.choice(("fast", "reason"))
            leaves = draw.random() < 0.15
            moderation = live.stream(
                prompt, None, adapter, mode=mode, max_new_tokens=draw.randint(1, 24)
            )
            for _ in moderation:
                if leaves:
                    with lock:
                        count["cancelled"] += 1
                    break
            moderation.close()  # type: ignore[attr-defined]

    start = time.perf_counter()
    for wanted in (WARM_UP, *range(WARM_UP + 1000, WARM_UP + requests + 1, 1000)):
        workers = [threading.Thread(target=some, args=(n + wanted,)) for n in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        gc.collect()
        print(
            f"{wanted - WARM_UP:6,} requests: {resident():7.1f} MB, {count['cancelled']:,} left "
            f"early, {threading.active_count() - before} threads, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    print(live.load())
    live.close()
    database.dispose()
    gc.collect()
    print(f"closed: {resident():.1f} MB, {threading.active_count() - before} threads more")


if __name__ == "__main__":
    main()
