"""The judge model, asked over HTTP: rubric, retries, failures as values."""

import json

import pytest

from pipelines.engines import pacing
from pipelines.engines.openai_server import ChatEndpoint
from pipelines.judge import RUBRIC, Judge, read_grades
from pipelines.reasoning_quality import LABEL_FREE
from pipelines.schema import EndpointError, StopRequested
from pipelines.template import GuardTemplate
from tests.chat_server import Reply, chat_server
from tests.pipelines import traces
from tests.pipelines.traces import ALONE, TALK

TEMPLATE = GuardTemplate.default()
GRADES = {"coherence": 0.9, "relevance": 0.5, "specificity": 0.25, "why": "short"}
GOOD = (TEMPLATE.parse(traces.GOOD, TALK), TALK)
VAGUE = (TEMPLATE.parse(traces.VAGUE, TALK), TALK)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pacing, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def grades(**changed):
    return json.dumps(GRADES | changed)


def judged(script, asked=(GOOD,), retries=6, **options):
    """(judgements, the server) with replies by a function or one after the other."""
    if not callable(script):
        replies = list(script)

        def script(_body, number):
            return replies[min(number, len(replies) - 1)]

    with (
        chat_server(script) as server,
        ChatEndpoint(server.url, "judge-1", max_retries=retries) as e,
    ):
        return Judge(e, **options).judge(asked), server


def test_grades_and_the_label_correctness_that_is_ours():
    ((one,), server) = judged([grades()])
    assert one.error is None
    assert [getattr(one.quality, name) for name in LABEL_FREE] == [0.9, 0.5, 0.25]
    assert one.quality.label_correctness == 1.0
    assert one.quality.total == pytest.approx(0.3 + 0.27 + 0.1 + 0.05)
    assert {check.text for check in one.quality.checks if check.name == "judge"} == {"short"}
    assert one.prompt_tokens > 100
    (request,) = server.requests
    assert (request["model"], request["temperature"]) == ("judge-1", 0.0)
    assert request["messages"][0] == {"role": "system", "content": RUBRIC}
    case = json.loads(request["messages"][1]["content"])
    assert case == {
        "request": TALK.prompt,
        "response": TALK.response,
        "reasoning_and_answers": traces.GOOD,
    }


def test_the_gold_labels_are_not_told():
    _, server = judged([grades()])
    assert set(json.loads(server.user_texts()[0])) == {
        "request", "response", "reasoning_and_answers"
    }  # fmt: skip


def test_a_missing_response_stays_missing():
    _, server = judged([grades()], [(TEMPLATE.parse("It is.", ALONE), ALONE)])
    assert json.loads(server.user_texts()[0])["response"] is None


@pytest.mark.parametrize(
    "bad",
    [
        "I like it.",
        "",
        grades(coherence=1.5),
        grades(relevance="0.5"),
        grades(specificity=True),
        '{"coherence": NaN, "relevance": 0.1, "specificity": 0.1}',
        '{"coherence": 0.4}',
        '{"coherence": 0.4, "relev',
        "[0.1, 0.2, 0.3]",
    ],
)
def test_a_malformed_answer_is_asked_for_again(bad):
    ((one,), server) = judged([bad, grades()])
    assert one.quality.coherence == 0.9
    assert len(server.requests) == 2
    roles = [message["role"] for message in server.requests[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_malformed_to_the_end_is_a_value():
    ((one,), server) = judged(["No."], attempts=3)
    assert one.quality is None
    assert one.error == "the judge's answer holds no grades (3 attempts)"
    assert len(server.requests) == 3
    assert one.completion_tokens == 3


def test_a_failure_of_one_leaves_the_others():
    def script(body, _number):
        return "No." if "unethical" in str(body) else grades()

    (good, vague), _ = judged(script, [GOOD, VAGUE])
    assert good.quality is not None
    assert vague.quality is None


@pytest.mark.parametrize(
    "passing", [Reply(status=500), Reply(status=503), Reply(drop=True), Reply(raw=b"<html>")]
)
def test_a_passing_failure_of_the_server_is_waited_out(passing):
    ((one,), server) = judged([passing, passing, grades()])
    if passing.raw:  # answers that are no JSON at all
        assert len(server.requests) == 3
    assert one.quality.coherence == 0.9


def test_a_rate_limit_is_waited_for():
    ((one,), server) = judged([Reply(status=429, headers={"retry-after": "0.2"}), grades()])
    assert one.quality is not None
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_server_will_not_take_is_a_value(status):
    ((one, _), server) = judged(
        lambda body, _n: Reply(status=status) if "unethical" in str(body) else grades(),
        [VAGUE, GOOD],
    )
    assert one.quality is None
    assert str(status) in one.error
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_can_not_be_used_is_an_error(status):
    with pytest.raises(EndpointError) as caught:
        judged([Reply(status=status)], [GOOD, VAGUE])
    assert caught.value.status == status


def test_a_server_that_stays_down_is_an_error():
    with pytest.raises(EndpointError):
        judged([Reply(status=500)], retries=1)


def test_equal_traces_are_judged_once_and_order_is_kept():
    def script(body, _number):
        return grades(coherence=0.1 if "unethical" in str(body) else 0.8)

    found, server = judged(script, [VAGUE, GOOD, VAGUE, GOOD])
    assert [one.quality.coherence for one in found] == [0.1, 0.8, 0.1, 0.8]
    assert len(server.requests) == 2


def test_so_many_at_a_time():
    many = [(TEMPLATE.parse(f"Trace {i}", TALK), TALK) for i in range(12)]
    found, server = judged([grades()], many, parallel=3)
    assert len(found) == len(server.requests) == 12
    assert server.most_at_once <= 3


def test_an_empty_trace_costs_no_request():
    ((one,), server) = judged([grades()], [(TEMPLATE.parse(" \n", TALK), TALK)])
    assert (one.quality.total, server.requests) == (0.0, [])


def test_a_long_trace_is_cut_in_the_middle():
    raw = "begin " + "x" * 50_000 + " end"
    _, server = judged([grades()], [(TEMPLATE.parse(raw, TALK), TALK)])
    sent = json.loads(server.user_texts()[0])["reasoning_and_answers"]
    assert len(sent) < 17_000
    assert (sent[:5], sent[-3:]) == ("begin", "end")
    assert "characters left out" in sent


def test_a_stop_ends_it():
    with chat_server(lambda _b, _n: grades()) as server, ChatEndpoint(server.url, "j") as endpoint:
        with pytest.raises(StopRequested):
            Judge(endpoint).judge([GOOD], lambda: True)
        assert server.requests == []


def test_the_last_object_with_grades_counts():
    text = f'{{"note": 1}} first {grades(coherence=0.1)} no: ```json\n{grades()}\n``` {{}}'
    assert read_grades(text) == (0.9, 0.5, 0.25, "short")
    assert read_grades("{" * 2000 + grades()) == (0.9, 0.5, 0.25, "short")
