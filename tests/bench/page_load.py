"""What opening the page costs a visitor's browser and the server, in seconds of CPU.

    PYTHONPATH=. python tests/bench/page_load.py [--loads N] [--query '?tab=rate']

Serves the page of the browser tests and opens it in chromium, each time in a context of its own, as
somebody's first visit; a load counts until the browser has nothing left to do. CPU time hardly
changes with other work on the machine. Needs chromium.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.conftest import CHROMIUM, FLAGS, App, serve

QUIET = 0.1
"""CPU seconds that an idle browser may take in `STEP` seconds of waiting: its header's own."""
STEP = 0.5
LONGEST = 20.0
"""Seconds after which a browser that never rests is counted as it is."""


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of a process and of its living children."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def chromium_process() -> psutil.Process:
    """The browser that this process has started."""
    running = psutil.Process().children(recursive=True)
    named = [one for one in running if "chrom" in one.name()]
    return next(one for one in named if "--type=" not in " ".join(one.cmdline()))


def measure(browser: Browser, chromium: psutil.Process, app: App, query: str) -> dict[str, float]:
    """One first visit: CPU seconds of browser and server, wall seconds until it can be used."""
    server = psutil.Process(app.process.pid)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    before, served, start = cpu_of(chromium), cpu_of(server), time.monotonic()
    page.goto(f"{app.url}/{query}")
    page.wait_for_selector("#classify-prompt textarea", state="attached", timeout=120_000)
    usable = time.monotonic() - start
    used = cpu_of(chromium)
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        time.sleep(STEP)
        now = cpu_of(chromium)
        if now - used < QUIET:
            break
        used = now
    found = {
        "browser": used - before,
        "server": cpu_of(server) - served,
        "usable": usable,
        "nodes": page.evaluate("document.querySelectorAll('*').length"),
        "heap": page.evaluate("performance.memory.usedJSHeapSize") / 1e6,
    }
    context.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--query", default="")
    asked = parser.parse_args()
    if not Path(CHROMIUM).exists():
        print(f"No browser at {CHROMIUM}: nothing is measured.")
        return
    with tempfile.TemporaryDirectory() as home:
        for app in serve(Path(home)):
            config = httpx.get(f"{app.url}/config", timeout=60).json()
            parts = len(config["components"])
            print(f"{parts} components, {len(json.dumps(config)) / 1e3:.0f} kB of configuration")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
                chromium = chromium_process()
                runs = [
                    measure(browser, chromium, app, asked.query) for _ in range(asked.loads + 1)
                ][1:]
                browser.close()
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(
        f"CPU seconds of a load: browser {middle['browser']:.2f}, server {middle['server']:.2f}; "
        f"usable after {middle['usable']:.1f} s; {middle['nodes']:.0f} elements, "
        f"{middle['heap']:.0f} MB of JavaScript heap"
    )


if __name__ == "__main__":
    main()
