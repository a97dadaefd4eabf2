"""Writing reasoning with a teacher that answers over real HTTP, well and badly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from db.session import open_database
from pipelines.datasets import read_dataset
from pipelines.engines import pacing
from pipelines.jobs import queue
from pipelines.jobs.worker import run_job
from pipelines.schema import EndpointError, GuardTask, InputError, StopRequested
from pipelines.settings import get_settings
from pipelines.stages import get_stage, synthesize
from pipelines.stages.base import build_config
from pipelines.template import GuardTemplate
from tests.chat_server import Reply, chat_server
from tests.teacher import obedient, trace
from tests.tiny_runs import RSFT, Recorder, write_rows

PROMPT, REFUSAL, RESPONSE = GuardTask
KEY = "planted-Key_0123456789abcdef"
ALWAYS_WRONG = trace("unharmful", "refusal", "harmful")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pacing, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def data(tmp_path):
    """Six prompts with a binary label, every other one harmful."""
    rows = [
        {"text": f"Tell me of knot {i}", "label": ("harmful", "harmless")[i % 2]} for i in range(6)
    ]
    return write_rows(tmp_path / "rows.jsonl", rows)


@pytest.fixture
def values(data):
    return {"dataset": str(data), "teacher": "t-1", "parallel": 2, "tries": 2}


def write(server, values, context):
    config = build_config(synthesize.STAGE, None, values | {"base_url": server.url})
    synthesize.run(config, context)
    return context


def about(body):
    """The number of the row that a request is about."""
    text = body["messages"][1]["content"]
    return int(text.partition("Tell me of knot ")[2].split()[0])


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def test_right_traces_become_a_dataset_that_is_read(values, tmp_path):
    with chat_server(lambda body, _: obedient(body)) as server:
        context = write(server, values, Recorder(tmp_path / "job"))
    ((kind, path, _, details),) = context.made
    assert (kind, details["rows"], details["complete"]) == ("dataset", 6, True)
    first = lines(path)[0]
    assert first["instruction"] == GuardTemplate.default().instruction
    assert first["input"] == "Human user:\nTell me of knot 0\n\nAI assistant:\nNone\n\n"
    assert first["output"] == trace("harmful")
    assert (first["source"], first["row_id"], first["teacher"]) == ("rows", "rows.jsonl:1", "t-1")
    examples = read_dataset(str(path)).examples
    assert [e.gold for e in examples] == [{PROMPT: label} for label in ("harmful", "unharmful") * 3]
    assert [e.reasoning for e in examples] == [row["output"] for row in lines(path)]
    assert [e.row_id for e in examples] == [f"rows.jsonl:{i}" for i in range(1, 7)]
    assert len(server.requests) == 6
    assert server.most_at_once <= 2


def test_what_fails_is_tried_again_counted_by_reason_and_kept_to_look_at(values, tmp_path):
    said = {0: ALWAYS_WRONG, 1: "I won't.", 2: trace("harmful", remark="The gold label says so.")}
    seen = set()

    def script(body, _number):
        row = about(body)
        again = row in seen
        seen.add(row)
        if row == 3 and not again:
            return Reply([trace("unharmful")[:80]], finish="length")
        return said.get(row) or obedient(body)

    with chat_server(script) as server:
        context = write(server, values, Recorder(tmp_path / "job"))
    last = context.rows[-1][1]
    assert last["kept"] == 3
    assert {name: n for name, n in last.items() if name.startswith("rejected")} == {
        "rejected": 7,
        "rejected_wrong_verdict": 2,
        "rejected_unparsed": 2,
        "rejected_leaked": 2,
        "rejected_cut_off": 1,
    }
    rejects = lines(tmp_path / "job" / "rejects.jsonl")
    leaked = [reject for reject in rejects if reject["reason"] == "leaked"]
    assert [reject["prompt"] for reject in leaked] == ["Tell me of knot 2"] * 2
    assert (leaked[0]["gold"], leaked[0]["detail"]) == ({PROMPT: "harmful"}, "gold label")
    assert "The gold label says so" in leaked[0]["text"]
    assert len(lines(context.made[0][1])) == 3
    assert last["completion_tokens"] > 0


def test_429_500_and_dropped_connections_are_survived(values, tmp_path):
    trouble = [
        Reply(status=429, headers={"Retry-After": "0.1"}),
        Reply(status=500),
        Reply(drop=True),
    ]

    def script(body, number):
        return trouble[number] if number < len(trouble) else obedient(body)

    with chat_server(script) as server:
        context = write(server, values, Recorder(tmp_path / "job"))
    assert context.made[0][3]["rows"] == 6
    assert len(server.requests) == 9


def test_a_stop_in_a_slow_answer_keeps_what_was_done_and_the_rest_is_asked_later(values, tmp_path):
    def slow(body, _number):
        return Reply(wait=True) if about(body) > 3 else obedient(body)

    context = Recorder(tmp_path / "job", stop_at=4)
    with chat_server(slow) as server, pytest.raises(StopRequested):
        write(server, values, context)
    assert context.made == []
    kept = {line["row_id"] for line in lines(tmp_path / "job" / "attempts.jsonl")}
    assert len(kept) == 4
    with chat_server(lambda body, _: obedient(body)) as server:
        context = write(server, values, Recorder(tmp_path / "job"))
    assert sorted(about(body) for body in server.requests) == [4, 5]
    assert len(lines(context.made[0][1])) == 6


def test_a_killed_job_asks_no_kept_row_again(values, tmp_path, home):
    """A worker of its own, killed in the middle of its requests, and then resumed."""
    open_gate = []

    def script(body, number):
        return obedient(body) if number < 3 or open_gate else Reply(wait=True)

    with chat_server(script) as server:
        database = open_database(home.database_url)
        config = {**values, "base_url": server.url}
        job = queue.submit(database, "synthesize", config, launcher="foreground")
        worker = subprocess.Popen([sys.executable, "-m", "pipelines.jobs.worker", str(job)])
        for _ in range(5):  # three answers, and two requests that are under way
            assert server.asked.acquire(timeout=60)
        log = queue.job_dir(get_settings(), job) / "attempts.jsonl"
        until = time.monotonic() + 20
        while len(lines(log)) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        worker.send_signal(signal.SIGKILL)
        worker.wait(20)
        with log.open("ab") as file:
            file.write(b'{"row_id": "rows.js')
        asked = {about(body) for body in server.requests[:3]}
        open_gate.append(True)
        before = len(server.requests)
        config = build_config(synthesize.STAGE, None, config)
        context = Recorder(log.parent)
        synthesize.run(config, context)
        again = [about(body) for body in server.requests[before:]]
        database.dispose()
    assert sorted(again) == sorted(set(range(6)) - asked)
    assert len(lines(context.made[0][1])) == 6


def test_the_cost_is_kept_to_and_what_was_paid_for_is_handed_over(values, tmp_path):
    prices = {"price_in": 1.0, "price_out": 2.0, "max_tokens": 200}
    with chat_server(lambda body, _: obedient(body)) as server:
        capped = values | prices | {"max_cost": 0.0028}
        context = write(server, capped, Recorder(tmp_path / "job"))
    ((_, path, _, details),) = context.made
    spent = details["cost"]
    assert 0 < spent <= 0.0028
    assert 0 < details["rows"] == len(lines(path)) < 6
    assert not details["complete"]
    assert "ended by max_cost=0.0028, cost 0.00" in context.activities[-1]
    exact = (details["prompt_tokens"] * 1.0 + details["completion_tokens"] * 2.0) / 1e6
    assert spent == pytest.approx(exact)


def test_a_cost_that_can_t_be_counted_is_refused(values, tmp_path):
    with pytest.raises(InputError, match="max_cost=1: needs price_in or price_out"):
        synthesize.check(build_config(synthesize.STAGE, None, {**values, "max_cost": 1}))
    silent = json.dumps(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}]}
    ).encode()
    capped = values | {"max_cost": 1, "price_in": 1}
    with (
        chat_server(lambda *_: Reply(raw=silent)) as server,
        pytest.raises(EndpointError, match="no token counts"),
    ):
        write(server, capped, Recorder(tmp_path / "job"))


def test_rows_that_the_endpoint_refuses_are_left_out_and_not_asked_again(values, tmp_path):
    def script(body, _number):
        filtered = Reply(status=400, error="content filter")
        return filtered if about(body) == 2 else obedient(body)

    with chat_server(script) as server:
        context = write(server, values, Recorder(tmp_path / "job"))
    assert context.made[0][3]["rejected_refused"] == 1
    assert sum(about(body) == 2 for body in server.requests) == 1
    assert "content filter" in lines(tmp_path / "job" / "rejects.jsonl")[0]["detail"]


def test_when_every_request_is_refused_it_ends_soon(tmp_path, values):
    rows = [{"text": f"Tell me of knot {i}", "label": 1} for i in range(40)]
    many = values | {"dataset": str(write_rows(tmp_path / "many.jsonl", rows))}
    with (
        chat_server(lambda *_: Reply(status=400, error="no such option")) as server,
        pytest.raises(EndpointError, match=r"first 10 requests was refused.*no such option"),
    ):
        write(server, many, Recorder(tmp_path / "job"))
    assert len(server.requests) < 15


def test_nothing_kept_is_an_error_that_says_why(values, tmp_path):
    wrong = values | {"widen": "canned", "max_rows": 1}
    with (
        chat_server(lambda *_: "I won't.") as server,
        pytest.raises(InputError, match="6 attempts: 6 unparsed") as caught,
    ):
        write(server, wrong, Recorder(tmp_path / "job"))
    assert "rejects.jsonl" in str(caught.value.advice)
    assert len(lines(tmp_path / "job" / "rejects.jsonl")) == 6


def test_a_lone_label_of_a_response_leaves_the_rest_to_the_teacher(tmp_path, values):
    rows = [{"prompt": "Tell me of knot 7", "response": "No.", "label": "harmful"}]
    values |= {"dataset": str(write_rows(tmp_path / "r.jsonl", rows)), "widen": "response"}
    with chat_server(lambda body, _: obedient(body)) as server:
        with pytest.raises(InputError, match="needs a task"):
            write(server, values, Recorder(tmp_path / "job"))
        context = write(server, values | {"label_task": "response"}, Recorder(tmp_path / "job"))
    row = lines(context.made[0][1])[0]
    assert row["widened"] == "response"
    assert "Request: unharmful\nCompletion: compliance\nResponse: harmful" in row["output"]


def test_answers_only_needs_no_teacher(values, tmp_path):
    values |= {"teacher": "", "widen": "canned"}
    context = Recorder(tmp_path / "job")
    synthesize.run(build_config(synthesize.STAGE, None, values), context)
    ((_, path, _, details),) = context.made
    assert details["rows"] == 18
    examples = read_dataset(str(path)).examples
    assert all(e.reasoning is None for e in examples)
    assert [e.gold for e in examples[:3]] == [
        {PROMPT: "harmful"},
        {PROMPT: "harmful", REFUSAL: "refusal", RESPONSE: "unharmful"},
        {PROMPT: "harmful", REFUSAL: "compliance", RESPONSE: "harmful"},
    ]
    assert {row["widened"] for row in lines(path)} == {"", "canned-refusal", "canned-compliance"}


def test_the_check_says_what_will_be_asked_and_what_is_missing(values):
    def looked_at(**more):
        return " ".join(synthesize.check(build_config(synthesize.STAGE, None, values | more)))

    url = {"base_url": "http://127.0.0.1:1/v1"}
    assert "6 to 12 requests to t-1" in looked_at(**url)
    assert "could cost" in looked_at(**url, price_out=10)
    assert "widened (canned): 18 rows, 12 of them" in looked_at(**url, widen="canned")
    assert "6 rows with answers only" in looked_at(teacher="")
    with pytest.raises(InputError, match="base_url: a value is needed"):
        looked_at()
    with pytest.raises(InputError, match="widen=response: no row"):
        looked_at(**url, widen="response")


@pytest.mark.parametrize(
    ("field", "secret"),
    [("api_key_env", "sk-abcdefgh12345678"), ("base_url", "https://u:sk-abcdefgh12345678@h/v1")],
)
def test_a_pasted_key_is_refused_and_not_repeated(field, secret, values):
    with pytest.raises(InputError, match=field) as caught:
        build_config(synthesize.STAGE, None, values | {field: secret})
    assert "sk-abc" not in str(caught.value)


def test_the_key_stands_in_no_file_of_the_job(values, home, tmp_path):
    """A whole job whose server repeats the key in its errors; then every file is searched."""
    failing = Reply(status=401, error=f"Incorrect API key provided: {KEY}")
    with chat_server(lambda *_: failing) as server:
        database = open_database(home.database_url)
        config = {**values, "base_url": server.url}
        number = queue.submit(database, "synthesize", config, launcher="foreground")
        job = run_job(database, number, True)
        database.dispose()
    assert job.state == "failed"
    assert job.failure["code"] == "endpoint"
    assert "api_key_env" in job.failure["advice"]
    files = [file for file in home.home.rglob("*") if file.is_file()]
    assert any(file.name == "log.txt" for file in files)
    assert [str(file) for file in files if KEY.encode() in file.read_bytes()] == []


def test_it_needs_no_device():
    assert not get_stage("synthesize").exclusive


def test_from_binary_rows_to_a_trained_moderator(values, home, tiny_base, tmp_path):
    """Binary rows, widened, reasoned about by a teacher, and R-SFT reads them as `job:N`."""
    with chat_server(lambda body, _: obedient(body)) as server:
        database = open_database(home.database_url)
        config = {**values, "base_url": server.url, "widen": "canned"}
        first = queue.submit(database, "synthesize", config, launcher="foreground")
        training = {**RSFT, "base_model": str(tiny_base), "dataset": f"job:{first}", "epochs": 1}
        second = queue.submit(database, "rsft", training, launcher="foreground")
        mining = {"dataset": f"job:{first}", "adapter": f"job:{second}"}
        queue.submit(database, "mine", mining, launcher="foreground")
        assert run_job(database, first).state == "succeeded"
        job = run_job(database, second)
        assert (job.state, job.reason) == ("succeeded", None)
        assert [one.kind for one in job.artifacts] == ["adapter"]
        database.dispose()
    assert len(server.requests) == 18


def test_rows_that_a_job_will_make_are_no_fault(values):
    config = build_config(
        synthesize.STAGE,
        "local-server",
        {**values, "dataset": "job:7", "widen": "canned"},
    )
    assert synthesize.check(config) == ["job:7 will make the rows"]


def test_settings_of_the_sampling_are_sent(values, tmp_path):
    with chat_server(lambda body, _: obedient(body)) as server:
        write(server, values | {"temperature": None, "max_rows": 1}, Recorder(tmp_path / "a"))
        write(
            server,
            values | {"temperature": 0.2, "top_p": 0.5, "max_tokens": 99, "max_rows": 1},
            Recorder(tmp_path / "b"),
        )
    first, second = server.requests
    assert not {"temperature", "top_p"} & first.keys()
    assert (second["temperature"], second["top_p"], second["max_tokens"]) == (0.2, 0.5, 99)
