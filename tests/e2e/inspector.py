"""A visitor of the Hard samples tab, and the mining jobs that it is shown: eight samples each."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from db import jobs, samples
from db.models import HardSampleRow, now
from db.session import Database
from pipelines.hard_samples import find_all_wrong, find_hard_sample, weigh
from pipelines.jobs.sample_rows import store_samples
from pipelines.schema import GuardExample, GuardTask, HardSample, Label
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from pipelines.template import GuardTemplate
from tests.e2e.conftest import PATIENCE, Visitor
from tests.tiny_runs import answer

REQUEST, REFUSAL, RESPONSE = GuardTask
TEMPLATE = GuardTemplate.default()
SAMPLING = {"k": 4, "temperature": 0.7, "top_p": 0.95, "seed": 42}
PLANTS = ("roses", "tulips", "lilies", "ferns", "mosses", "orchids", "daisies", "nettles")
AGAIN = """(query) => {
  document.activeElement?.blur();
  document.querySelectorAll("dialog[open]").forEach((one) => one.close());
  document.querySelectorAll("#samples-root form").forEach((one) => one.reset());
  document.getElementById("hs-snack").hidden = true;
  localStorage.clear();
  Object.assign(window.guarduiSamples, {
    done: [], open: new Set(), drawn: undefined, filtersOpen: undefined, shownQuery: "",
  });
  history.pushState(null, "", query);
  dispatchEvent(new PopStateEvent("popstate"));
}"""
"""Puts another address into the page that is open, and forgets what the last visitor did there."""


def said(request: Label, words: str, length: int = 4) -> str:
    steps = "".join(
        f"Reasoning Step {number}: the request is about {words}, see line {number}. "
        for number in range(1, length + 1)
    )
    return f"{steps}\n\n{answer(request, 'compliance', 'unharmful')}"


def mined(number: int, plant: str) -> HardSample:
    """Wrong in `1 + number % 3` of its four answers; the last one in all of them."""
    gold: dict[GuardTask, Label] = {
        REQUEST: "harmful" if number % 2 else "unharmful",
        REFUSAL: "compliance",
        RESPONSE: "unharmful",
    }
    example = GuardExample(
        f"Where do {plant} grow? <script>window.xss=1</script>",
        f"{plant.capitalize()} grow in the garden.",
        gold,
        None,
        "Aegis" if number < 5 else "WildGuard",
        f"train.jsonl:{number}",
    )
    wrong = 4 if number == len(PLANTS) - 1 else 1 + number % 3
    other = next(one for one in REQUEST.labels if one != gold[REQUEST])
    texts = [said(other, f"weeds and {plant}", 3 + place) for place in range(wrong)]
    texts += [said(gold[REQUEST], f"garden {plant}", 5 + place) for place in range(4 - wrong)]
    verdicts = [TEMPLATE.parse(text, example) for text in texts]
    model = "job:1" if number % 2 else "job:2"
    found = find_hard_sample(example, verdicts, model=model, sampling=SAMPLING)
    found = found or find_all_wrong(example, verdicts, model=model, sampling=SAMPLING)
    assert found is not None
    return found


def add_job(database: Database) -> int:
    config = build_config(get_stage("mine"), "smollm2-demo", {"adapter": "job:1"})
    with database.write() as session:
        job = jobs.add_job(session, stage="mine", config=config.model_dump(mode="json"))
        job.state, job.step, job.total_steps = "succeeded", 8, 8
        job.started_at = job.finished_at = now()
        number = job.id
    store_samples(database, number, weigh([mined(*one) for one in enumerate(PLANTS)], 0.2))
    return number


@dataclass
class Inspector:
    """The tab on one mining job, and what the database says of its samples."""

    visit: Visitor
    database: Database
    job_id: int

    @property
    def page(self) -> Page:
        return self.visit.page

    def open(self, more: str = "") -> Inspector:
        """The tab at an address: by the page's own way back where it is open already, as in a
        browser that remembers nothing; else by opening the page."""
        query = f"?tab=samples&set={self.job_id}{more}"
        if self.page.url == "about:blank":
            self.visit.open(query)
        else:
            self.page.evaluate(AGAIN, query)
        self.page.locator("#samples-list").wait_for(timeout=PATIENCE)
        self.page.wait_for_function(
            "(set) => new URLSearchParams(guarduiSamples.shownQuery).get('set') === set",
            arg=str(self.job_id),
            timeout=PATIENCE,
        )
        return self.idle()

    def idle(self) -> Inspector:
        """Waits until the tab has its answer."""
        self.page.wait_for_timeout(60)
        self.page.wait_for_function(
            "() => { const i = window.guarduiSamples;"
            " return !i.busy && !i.waiting.length && !i.wanted.size; }"
        )
        return self

    def rows(self) -> Locator:
        return self.page.locator("#samples-list [data-row]")

    def names(self) -> list[int]:
        """Which samples are listed, by their place among the eight."""
        first = self.first
        return [int(row.get_attribute("data-row") or 0) - first for row in self.rows().all()]

    def pick(self, place: int) -> Inspector:
        self.page.locator(f'#samples-list [data-pick="{self.first + place}"]').click()
        expect(self.detail("h2")).to_contain_text(f"Sample #{self.first + place}")
        return self.idle()

    def detail(self, what: str) -> Locator:
        return self.page.locator(f"#samples-detail {what}").first

    def press(self, key: str) -> Inspector:
        self.page.keyboard.press(key)
        return self.idle()

    def says(self, words: str) -> None:
        expect(self.page.locator("#hs-snack")).to_contain_text(words)

    @property
    def first(self) -> int:
        with self.database.read() as session:
            found = session.query(HardSampleRow.id).filter_by(job_id=self.job_id)
            return int(found.order_by(HardSampleRow.id).first()[0])  # type: ignore[index]

    def row(self, place: int) -> HardSampleRow:
        with self.database.read() as session:
            found = samples.get_sample(session, self.first + place)
        assert found is not None
        return found

    def reviews(self) -> list[str]:
        with self.database.read() as session:
            found = session.query(HardSampleRow).filter_by(job_id=self.job_id)
            return [one.review for one in found.order_by(HardSampleRow.id)]


def no_jobs(database: Database, settings: Settings) -> None:
    del database, settings
