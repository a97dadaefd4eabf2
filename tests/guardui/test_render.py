"""The renderers: escaping, words for every state, and numbers that people can read."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from db.models import Artifact, Event, GenerationRow, HardSampleRow, Job, now
from guardui import render, render_chart, render_job, render_jobs, render_train
from pipelines.datasets import read_dataset
from pipelines.schema import ConfigError, DataError, GuardTask, InputError, Verdict

NASTY = "<script>window.xss=1</script><img src=x onerror='window.xss=1'>\"&"


def job(**values: object) -> Job:
    filled: dict[str, object] = {
        "id": 7,
        "stage": "rsft",
        "preset": None,
        "state": "running",
        "step": 0,
        "total_steps": 0,
        "activity": "",
        "config": {},
        "command": "",
        "created_at": now(),
        "device": "cpu",
        "attempt": 1,
    }
    return Job(**(filled | values))


def sample(**values: object) -> HardSampleRow:
    filled: dict[str, object] = {
        "id": 3,
        "job_id": 1,
        "row_id": "train.jsonl:1",
        "source": "Aegis",
        "task": "prompt_harmfulness",
        "prompt": "a question",
        "response": None,
        "gold": {"prompt_harmfulness": "harmful"},
        "k_correct": 1,
        "k_incorrect": 1,
        "chosen": 0,
        "rejected": 1,
        "weight": 1.1,
        "generations": [answer(0, "harmful"), answer(1, "unharmful")],
    }
    return HardSampleRow(**(filled | values))


def answer(position: int, label: str | None, error: str | None = None) -> GenerationRow:
    labels = {} if error else {"prompt_harmfulness": label}
    return GenerationRow(
        position=position, text=f"trace {position}", labels=labels, error=error, tokens=12
    )


def split(text: str) -> list[tuple[str, list[str]]]:
    return [("Request", [text])]


class Elements(HTMLParser):
    """Every element that a browser would make of a text, with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def assert_inert(html: str) -> None:
    elements = Elements(html)
    assert not elements.tags & {"script", "img", "iframe"}
    assert not [name for name in elements.attributes if name.startswith("on")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min 00 s"), (119, "1 min 59 s"), (150, "2 min"),
     (3599, "59 min"), (7500, "2 h 05 min")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


def test_unknown_duration_is_a_dash() -> None:
    assert render.duration(None) == render.DASH


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (9_400_000, "9.4 MB"), (3e9, "3.0 GB")])
def test_size(count: int, text: str) -> None:
    assert render.size(count) == text


# Verdicts


def cards(verdict: Verdict | None, *, has_response: bool = True) -> list[tuple[str, str]]:
    html = render.verdict_cards(verdict, has_response=has_response)
    return re.findall(r'gu-verdict (\w+)">.*?aria-hidden="true">.</span>([^<]+)<', html)


def test_verdicts_are_told_by_word_sign_and_colour() -> None:
    labels = {
        GuardTask.PROMPT_HARMFULNESS: "harmful",
        GuardTask.REFUSAL: "refusal",
        GuardTask.RESPONSE_HARMFULNESS: "unharmful",
    }
    verdict = Verdict(labels, "", "")
    assert cards(verdict) == [("bad", "harmful"), ("neutral", "refusal"), ("ok", "unharmful")]
    html = render.verdict_cards(verdict, has_response=True)
    assert [sign in html for sign in "⚠↩✓"] == [True] * 3


def test_without_a_response_two_tasks_are_not_applicable_whatever_was_said() -> None:
    verdict = Verdict({GuardTask.PROMPT_HARMFULNESS: "unharmful"}, "", "")
    assert cards(verdict, has_response=False) == [("ok", "unharmful"), ("na", "n/a"), ("na", "n/a")]


def test_parse_error_has_its_own_look_and_says_fail_closed() -> None:
    verdict = Verdict({}, "", "gibberish", error="no answers block")
    assert cards(verdict) == [("error", "parse error")] * 3
    assert "fail-closed" in render.verdict_cards(verdict, has_response=True)


def test_what_could_be_read_is_shown_beside_what_could_not() -> None:
    verdict = Verdict({GuardTask.PROMPT_HARMFULNESS: "harmful"}, "", "", error="no Response line")
    assert cards(verdict)[0] == ("bad", "harmful")
    assert cards(verdict)[1] == ("error", "parse error")


def test_a_verdict_to_come_waits() -> None:
    assert cards(None) == [("waiting", "waiting")] * 3


def test_probability_is_that_of_the_label_said() -> None:
    labels = {GuardTask.PROMPT_HARMFULNESS: "unharmful"}
    verdict = Verdict(labels, "", "", probabilities={GuardTask.PROMPT_HARMFULNESS: 0.06})
    assert "94%" in render.verdict_cards(verdict, has_response=False)


# Foreign text


def test_foreign_text_is_inert_everywhere() -> None:
    nasty = job(
        state="failed",
        preset=NASTY,
        reason=NASTY,
        activity=NASTY,
        command=NASTY,
        config={"dataset": NASTY},
        resolved={"dataset": NASTY + "2"},
        failure={"code": "x", "message": NASTY, "advice": NASTY, "traceback": NASTY},
    )
    artifact = Artifact(id=1, kind=NASTY, name=NASTY, path=NASTY, sha256="ab" * 32, bytes=3)
    chart = render_chart.line_chart(NASTY, render_chart.Series(NASTY, [(1, 2), (2, 3)]))
    for html in (
        render.header(NASTY, NASTY, NASTY),
        render.note("bad", NASTY, [NASTY], NASTY),
        render.empty(NASTY, NASTY),
        render.copy_block(NASTY, NASTY),
        render.hidden(NASTY, "request"),
        render.trace([(NASTY, [NASTY])]),
        render_jobs.jobs_table([nasty], None, now()),
        render_job.headline(nasty, [], now()),
        render_job.config_blocks(nasty),
        render_job.log_tail(NASTY),
        render_job.artifacts_table([artifact]),
        render_train.chain([(NASTY, NASTY)]),
        chart,
    ):
        assert_inert(html)
        assert "&lt;script&gt;" in html


def test_empty_lists_say_what_to_do_next() -> None:
    assert "Train tab" in render_jobs.jobs_table([], None, now())


def test_time_left_follows_the_pace_so_far() -> None:
    moment = now()
    running = job(started_at=moment - timedelta(minutes=6), step=150, total_steps=300)
    time = render_jobs.timing(running, moment)
    assert (time.share, time.elapsed, time.left) == (0.5, 360, pytest.approx(360))
    assert render_jobs.running_line(running, moment) == "R-SFT #7 50% · 6 min left"


def test_a_resumed_job_goes_by_the_pace_of_its_events() -> None:
    moment = now()
    resumed = job(attempt=2, started_at=moment - timedelta(seconds=30), step=110, total_steps=200)
    assert render_jobs.timing(resumed, moment).left is None
    events = [
        Event(step=step, at=moment - timedelta(seconds=20 - 2 * (step - 100)), data={"loss": 1})
        for step in (100, 105, 110)
    ]
    assert render_jobs.timing(resumed, moment, events).left == pytest.approx(180)
    before = [Event(step=90, at=moment - timedelta(hours=3), data={})]
    assert render_jobs.pace(resumed, before + events) == pytest.approx(2)


def test_a_job_that_waits_has_no_times() -> None:
    assert render_jobs.timing(job(state="queued"), now()) == render_jobs.Timing(0.0, None, None)
    assert render_jobs.running_line(None, now()) is None


@pytest.mark.parametrize("state", sorted(render_jobs.STATE_LOOKS))
def test_each_state_has_word_sign_and_colour(state: str) -> None:
    look, sign = render_jobs.STATE_LOOKS[state]
    html = render_jobs.state_word(job(state=state))
    assert look in html
    assert sign in html
    assert state in html


def test_a_failure_is_named_with_advice_and_its_traceback_closed() -> None:
    failure = {"code": "out_of_memory", "message": "needed 31 GB of 24", "advice": "Try 4-bit."}
    failed = job(state="failed", failure=failure | {"traceback": "Traceback: line 1"})
    html = render_job.headline(failed, [], now())
    assert "out of memory" in html
    assert "Try 4-bit." in html
    assert html.index("<details>") < html.index("Traceback: line 1")


def test_the_picked_row_is_marked() -> None:
    html = render_jobs.jobs_table([job(id=1), job(id=2)], 2, now())
    assert re.findall(r'data-pick="(\d)" aria-current="true"', html) == ["2"]


def test_config_shows_only_what_references_became() -> None:
    config = {"adapter": "job:3", "k": 4}
    html = render_job.config_blocks(job(config=config, resolved=config | {"adapter": "/jobs/3/a"}))
    resolved = html[html.index("Resolved") :]
    assert "/jobs/3/a" in resolved
    assert "k: 4" not in resolved


def test_metrics_come_in_a_telling_order_and_nulls_are_left_out() -> None:
    events = [
        Event(step=1, data={"grad_norm": 1.0, "loss": 2.0, "epoch": 0.1}),
        Event(step=2, data={"grad_norm": 1.0, "loss": None}),
    ]
    assert render_job.metric_names(events) == ["loss", "grad_norm"]
    assert render_job.series(job(), events, "loss").points == [(1.0, 2.0)]


# Hard samples


# Notes


def test_faults_are_listed_one_a_line_up_to_a_limit() -> None:
    error = DataError("bad data", [f"rows.jsonl:{n}: text: missing" for n in range(60)])
    html = render.fault_note(error, limit=50)
    assert html.count("<li>") == 51
    assert "and 10 more" in html


def test_one_fault_needs_no_list() -> None:
    html = render.fault_note(ConfigError(["learning_rate=1: must be at most 0.01"]))
    assert "learning_rate=1: must be at most 0.01" in html
    assert "<li>" not in html


def test_an_error_carries_its_advice() -> None:
    assert "Try this." in render.fault_note(InputError("x=1: no", advice="Try this."))


def test_dataset_preview_counts_and_hides() -> None:
    dataset = read_dataset("starter")
    html = render_train.dataset_preview(dataset)
    assert f"{len(dataset.examples):,}" in html
    assert html.count("<details>") == render_train.SHOWN_ROWS
    first = html.index("<details>")
    assert render.esc(dataset.examples[0].prompt) in html[first:]
    assert render.esc(dataset.examples[0].prompt) not in html[:first]
