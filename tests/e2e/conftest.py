"""The real app in a process of its own, and a real browser that looks at it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from db.session import Database, open_database
from pipelines.settings import Settings
from tests.e2e.seed import seed

if TYPE_CHECKING:
    from tests.e2e.rating import Studies

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FEATURES = [
    # Each window would come with pages for the address bar, which cost a second of a core.
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "AimEnabled"),
    # This list takes the place of Playwright's own, of which tests need these.
    *("PaintHolding", "DestroyProfileOnBrowserClose", "AvoidUnnecessaryBeforeUnloadCheckSync"),
    *("HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "ThirdPartyStoragePartitioning"),
    *("MediaRouter", "OptimizationHints", "NetworkTimeServiceQuerying", "PreconnectToSearch"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=" + ",".join(FEATURES),
]

PATIENCE = 60_000
"""Milliseconds that a page may take on a busy machine; the usual 5,000 are too few there."""

expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            # A browser on a machine that is busy elsewhere; the summary names what was run again.
            item.add_marker(pytest.mark.flaky(reruns=1))


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes whether a test failed, for fixtures that keep a page open for the next test."""
    item.stash[FAILED] = item.stash.get(FAILED, False) or call.excinfo is not None
    return (yield)


@dataclass
class App:
    """A served page: its address, its home, its database, and its process."""

    url: str
    settings: Settings
    database: Database
    process: subprocess.Popen[bytes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serve(
    home: Path, fill: Callable[[Database, Settings], None] = seed, **variables: str
) -> Iterator[App]:
    """Starts `python app.py` on a free port, on what `fill` puts into its home, and ends it."""
    port = free_port()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GUARDUI_")}
    env = clean | {"GUARDUI_HOME": str(home), "GUARDUI_PORT": str(port)} | variables
    settings = Settings(home=home, database_url=f"sqlite:///{home / 'guardui.db'}")
    database = open_database(settings.database_url)
    fill(database, settings)
    log = (home / "app.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=env, stdout=log, stderr=log
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(url, process, home / "app.log")
        yield App(url, settings, database, process)
    finally:
        process.terminate()
        process.wait(20)
        log.close()
        database.dispose()


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        if process.poll() is not None:
            pytest.fail(f"the app ended: {log.read_text()}")
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the app does not answer: {log.read_text()}")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page as a researcher has it; a file whose tests need other rows has its own `app`."""
    yield from serve(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def demo_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page as a Space's visitor has it."""
    yield from serve(tmp_path_factory.mktemp("demo-home"), GUARDUI_DEMO="1")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; skips where there is none.

    It ends with its file: as long as it's there its event loop runs in this thread, and tests of
    other files could begin none of their own.
    """
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield found
        found.close()


@dataclass
class Visitor:
    """A browser tab on the app, with all that went wrong in it."""

    page: Page
    url: str
    troubles: list[str] = field(default_factory=list)

    def open(self, query: str = "") -> Visitor:
        self.page.on(
            "console",
            lambda said: self.troubles.append(said.text) if said.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self._note_request)
        self.page.goto(f"{self.url}/{query}")
        self.page.wait_for_selector("#tabs [role=tab][data-tab-id=classify]", timeout=PATIENCE)
        # Attached, for an address may put another tab in front.
        self.page.wait_for_selector("#classify-prompt textarea", state="attached", timeout=PATIENCE)
        return self

    def _note_request(self, request: object) -> None:
        address = str(request.url)  # type: ignore[attr-defined]
        if not address.startswith((self.url, "data:", "blob:")):
            self.troubles.append(f"asked another machine: {address}")

    def tab(self, name: str) -> Locator:
        """The tab's button in the main bar."""
        return self.page.locator(f"#tabs > .tab-wrapper [role=tab][data-tab-id={name}]")

    def go(self, name: str, shown: str) -> None:
        """Opens a tab and waits for what it shows."""
        self.tab(name).click()
        self.page.locator(shown).first.wait_for(timeout=PATIENCE)

    def settle(self) -> None:
        """Waits until nothing is asked for any more."""
        self.page.wait_for_timeout(700)


@pytest.fixture
def visit(app: App, browser: Browser) -> Iterator[Visitor]:
    """A visitor at a usual screen; the test opens the page."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    visitor = Visitor(page, app.url)
    yield visitor
    assert page.evaluate("window.xss") is None
    page.close()
    assert visitor.troubles == []


@pytest.fixture(scope="session")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studies]:
    """The page as annotators have it, with open studies."""
    from tests.e2e.rating import serve_studies  # it builds on this file

    yield from serve_studies(tmp_path_factory.mktemp("rated"))


@pytest.fixture
def rater(rated: Studies, browser: Browser) -> Iterator[Visitor]:
    """A person in a browser of their own, which remembers nothing of others."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    visitor = Visitor(context.new_page(), rated.app.url)
    yield visitor
    context.close()
