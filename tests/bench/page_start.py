"""Time to an answering page and memory of the app, beside an empty Gradio page."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
EMPTY = (
    "import os, gradio as gr\n"
    "with gr.Blocks() as page: gr.Textbox()\n"
    "page.launch(server_port=int(os.environ['GUARDUI_PORT']), quiet=True)\n"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds until the page answers, and MB resident five seconds later."""
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {
            "GUARDUI_HOME": home,
            "GUARDUI_PORT": str(port),
            "GRADIO_ANALYTICS_ENABLED": "False",
        }
        start = time.perf_counter()
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=quiet, stderr=quiet)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
                    break
                except OSError:
                    time.sleep(0.02)
            seconds = time.perf_counter() - start
            time.sleep(5)
            return seconds, psutil.Process(process.pid).memory_info().rss / 1e6
        finally:
            process.kill()
            process.wait()


def main() -> None:
    runs: dict[str, list[tuple[float, float]]] = {"app.py": [], "empty page": []}
    for _ in range(3):
        runs["app.py"].append(measure([sys.executable, "app.py"]))
        runs["empty page"].append(measure([sys.executable, "-c", EMPTY]))
    medians = {
        name: [statistics.median(values) for values in zip(*rows, strict=True)]
        for name, rows in runs.items()
    }
    for name, (seconds, megabytes) in medians.items():
        print(f"{name:<12} {seconds:5.2f} s to answer   {megabytes:5.0f} MB resident")
    ratios = [a / b for a, b in zip(medians["app.py"], medians["empty page"], strict=True)]
    print(f"ratio        {ratios[0]:5.2f}                 {ratios[1]:5.2f}")


if __name__ == "__main__":
    main()
