"""Studies that browser tests rate in, and what several of them do there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, expect

from db.session import Database
from pipelines.settings import Settings
from tests.e2e.conftest import ROOT, App, serve, wait_until_up
from tests.rating_study import invite, new_item, open_study, trace

NASTY = "<script>window.xss=1</script><img src=x onerror='window.xss=1'>"


@dataclass
class Studies:
    """The app, and codes of people of its studies."""

    app: App
    codes: dict[str, list[str]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)

    def restart(self) -> None:
        """Ends the server and starts it again on the same port."""
        self.app.process.terminate()
        self.app.process.wait(20)
        port = self.app.url.rpartition(":")[2]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("GUARDUI_")}
        env = clean | {"GUARDUI_HOME": str(self.app.settings.home), "GUARDUI_PORT": port}
        log = self.app.settings.home / "again.log"
        with log.open("wb") as file:
            self.app.process = subprocess.Popen(
                [sys.executable, "app.py"], cwd=ROOT, env=env, stdout=file, stderr=file
            )
        wait_until_up(self.app.url, self.app.process, log)


def serve_studies(home: Path) -> Iterator[Studies]:
    """The app with studies of every kind that the tests of the Rate tab need."""
    made: dict[str, tuple[int, list[str]]] = {}

    def fill(database: Database, settings: Settings) -> None:
        keyed = [new_item(0, "practice"), *(new_item(number) for number in range(2))]
        bad = new_item(0, prompt=NASTY, response=NASTY, topic=NASTY)
        bad.traces[0] = type(bad.traces[0])(0, trace(NASTY), {"refusal": NASTY})
        plans = {
            "keyed": (keyed, {"practice": True, "criteria_share": 1.0, "topics": ["weapons"]}),
            "hostile": ([bad], {"question": NASTY, "enrolment": "open"}),
            "kept": ([new_item(0), new_item(1)], {}),
            "late": ([new_item(0), new_item(1)], {"title": "late"}),
        }
        for name, (items, design) in plans.items():
            title = f"{name} {NASTY}" if name == "hostile" else name
            study_id = open_study(database, items, title, **design)
            made[name] = study_id, invite(database, settings, study_id, 2)

    for app in serve(home, fill):
        found = Studies(app)
        found.ids = {name: study_id for name, (study_id, _) in made.items()}
        found.codes = {name: codes for name, (_, codes) in made.items()}
        yield found
        app.process.terminate()
        app.process.wait(20)


def heading(page: Page, text: str) -> None:
    """The screen of this heading is there, and has the focus."""
    expect(page.locator("#rate-head")).to_contain_text(text)
    expect(page.locator("#rate-head")).to_be_focused()
    page.wait_for_timeout(450)  # a press that comes sooner is taken for a double one
