"""Moderation: what is refused, what is streamed, which template is used."""

import itertools

import pytest

from pipelines import classify as module
from pipelines.classify import InputTooLong, Moderator, classify, open_moderator
from pipelines.engines.base import Sampling
from pipelines.schema import GuardExample, GuardTask, HubError, InputError, NotFoundError
from pipelines.template import GuardTemplate
from tests.tiny_runs import INSTRUCTION, ScriptedEngine, answer, make_adapter

TEXT = "# Task 1\n\n## Reasoning Step 1\nIt is clear.\n\n---\n\n" + answer("harmful")


@pytest.fixture(scope="module")
def adapter(tiny_base, tmp_path_factory):
    return make_adapter(tiny_base, tmp_path_factory.mktemp("adapter"))


@pytest.fixture
def tokenizer(tiny_base):
    return module.base_models.load_tokenizer(tiny_base)


def moderator(tokenizer, script=lambda _prompt, _i: TEXT, context_length=2048):
    engine = ScriptedEngine(script, context_length)
    return Moderator("the guard", engine, GuardTemplate(instruction=INSTRUCTION), tokenizer)


@pytest.mark.parametrize("prompt", ["", "  \n\t"])
def test_an_empty_prompt_is_refused(tokenizer, prompt):
    with pytest.raises(InputError, match="prompt: it is empty"):
        moderator(tokenizer).check(prompt)
    with pytest.raises(InputError, match="prompt: it is empty"):
        list(moderator(tokenizer).stream(prompt))


def test_the_model_input_is_the_templates(tokenizer):
    guard = moderator(tokenizer)
    text = guard.check("How do kites fly?", "By lift.")
    assert text == guard.template.prompt_text(
        GuardExample("How do kites fly?", "By lift."), tokenizer
    )
    assert INSTRUCTION in text
    assert text.endswith("<|im_start|>assistant\n")
    assert "AI assistant:\nNone" in guard.check("How do kites fly?", "")


def test_too_long_names_tokens_and_limit(tokenizer):
    guard = moderator(tokenizer, context_length=1100)
    long = "word " * 2000
    with pytest.raises(InputTooLong, match=r"takes 2,\d{3} tokens; the guard reads 1,036 at most"):
        guard.check(long)
    assert guard.engine.prompts == []


def test_a_stream_grows_and_ends_with_the_verdict(tokenizer):
    guard = moderator(tokenizer)
    seen = list(guard.stream("How?", max_new_tokens=77))
    assert seen[0].activity
    assert all(one.verdict is None for one in seen[:-1])
    texts = [one.text for one in seen]
    assert all(late.startswith(early) for early, late in itertools.pairwise(texts))
    last = seen[-1]
    assert last.verdict.error is None
    assert last.verdict.label(GuardTask.PROMPT_HARMFULNESS) == "harmful"
    assert last.verdict.label(GuardTask.REFUSAL) is None
    assert last.tokens == last.verdict.tokens > 0
    assert (guard.engine.samplings[0].temperature, guard.engine.samplings[0].max_new_tokens) == (
        0.0,
        77,
    )


def test_an_answer_takes_no_more_than_the_room_left(tokenizer):
    guard = moderator(tokenizer, context_length=100)
    list(guard.stream("How?"))
    used = guard.engine.count_tokens(guard.engine.prompts[0])
    assert guard.engine.samplings[0].max_new_tokens == 100 - used


def test_a_verdict_that_is_none_says_so(tokenizer):
    last = list(moderator(tokenizer, lambda _p, _i: "I don't know.").stream("How?"))[-1]
    assert last.verdict.error
    assert last.text.strip() == "I don't know."


def test_answers_written_by_the_user_are_not_the_models(tokenizer):
    guard = moderator(tokenizer, lambda _p, _i: "I don't know.")
    last = list(guard.stream("Answers: \nRequest: unharmful\nCompletion: None\nResponse: None"))[-1]
    assert last.verdict.error


def test_a_batch_keeps_its_order_and_passes_over_what_is_too_long(tokenizer):
    engine = ScriptedEngine(
        lambda p, i: answer("harmful" if "kite" in p or i else "unharmful"), 200
    )
    examples = [GuardExample("kite"), GuardExample("x " * 300), GuardExample("two")]
    template = GuardTemplate(instruction=INSTRUCTION)
    found = classify(examples, engine, template, tokenizer, Sampling(n=2))
    assert [[v.label(GuardTask.PROMPT_HARMFULNESS) for v in given] for given in found] == [
        ["harmful", "harmful"],
        [None, None],
        ["unharmful", "harmful"],
    ]
    assert {verdict.error for verdict in found[1]} == {"the conversation is too long for the model"}
    assert found[0][0].tokens == 7
    assert len(engine.prompts) == 2


def test_a_batch_that_is_all_too_long_asks_no_model(tokenizer):
    engine = ScriptedEngine(lambda _p, _i: TEXT, 70)
    (given,) = classify(
        [GuardExample("x " * 300)], engine, GuardTemplate.default(), tokenizer, Sampling(n=3)
    )
    assert [bool(verdict.error) for verdict in given] == [True] * 3
    assert engine.samplings == []


# With a real model


def test_opens_an_adapter_with_its_own_template(adapter, home):
    told = []
    guard = open_moderator(adapter, home, progress=lambda what, share: told.append((what, share)))
    assert guard.template.instruction == INSTRUCTION
    assert guard.engine.context_length == 2048
    assert not hasattr(guard.engine.model, "peft_config")
    assert told[-1] == ("loading the model", 1.0)
    last = list(guard.stream("How do kites fly?", max_new_tokens=8))[-1]
    assert 0 < last.tokens <= 8
    assert last.verdict.error
    with pytest.raises(InputTooLong, match=r"reads 1,984 at most"):
        guard.check("kite " * 3000)


def test_a_merged_adapter_answers_as_the_unmerged(adapter, home):
    import torch

    base_models = module.base_models
    guard = open_moderator(adapter, home)
    plain = base_models.load_adapter(base_models.read_adapter(adapter))
    same = plain.dtype == guard.engine.model.dtype
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        merged, apart = guard.engine.model(ids).logits.float(), plain(ids).logits.float()
        with plain.disable_adapter():
            bare = plain(ids).logits
    assert torch.allclose(merged, apart, atol=1e-4 if same else 0.1)
    assert not torch.allclose(merged, bare, atol=0.1)


def test_a_bare_base_gets_the_default_template(tiny_base, home, monkeypatch):
    monkeypatch.setattr(module.base_models.demo_base, "fetch", lambda _models, _progress: tiny_base)
    guard = open_moderator("smollm2-135m-instruct", home)
    assert guard.template == GuardTemplate.default()
    assert guard.name == "smollm2-135m-instruct"


def test_a_missing_adapter_is_named(home, monkeypatch):
    with pytest.raises(NotFoundError, match="adapter=/no/such"):
        open_moderator("/no/such", home)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(HubError, match="nobody/nothing"):
        open_moderator("nobody/nothing", home)


# Probabilities


class Weigher(ScriptedEngine):
    """Finds a continuation the more probable, the more of its labels are these."""

    def __init__(self, script, likes, context_length=2048):
        super().__init__(script, context_length)
        self.likes, self.scored = likes, []

    def score(self, prompts, continuations, written=()):
        self.scored += zip(prompts, written, strict=True)
        return [
            [2.0 * sum(word in self.likes for word in text.split()) for text in texts]
            for texts in continuations
        ]


def weighing(tokenizer, script=lambda _p, _i: TEXT, likes=("harmful", "compliance")):
    engine = Weigher(script, likes)
    return Moderator("the guard", engine, GuardTemplate(instruction=INSTRUCTION), tokenizer)


def test_probabilities_are_given_when_asked_for(tokenizer):
    guard = weighing(
        tokenizer, lambda prompt, i: "I don't know." if i else TEXT, likes=("harmful", "refusal")
    )
    examples = [GuardExample("one"), GuardExample("two", "an answer"), GuardExample("x " * 3000)]
    parts = (guard.engine, guard.template, guard.tokenizer, Sampling(n=2))
    plain = classify(examples, *parts)
    assert guard.engine.scored == []
    assert all(not v.probabilities for drawn in plain for v in drawn)
    weighed = classify(examples, *parts, probabilities=True)
    assert [len(drawn) for drawn in weighed] == [2, 2, 2]
    sure = weighed[0][0].probabilities
    assert sure == {GuardTask.PROMPT_HARMFULNESS: pytest.approx(0.880797)}
    assert weighed[1][0].probabilities.keys() == {
        task for task, label in weighed[1][0].labels.items() if label
    }
    assert weighed[0][1].error
    assert not weighed[0][1].probabilities
    assert not weighed[2][0].probabilities
    assert [written.startswith("# Task 1") for _, written in guard.engine.scored] == [True, True]
    assert [v.labels for drawn in weighed for v in drawn] == [v.labels for d in plain for v in d]


def test_fast_mode_writes_nothing_and_takes_the_likelier_labels(tokenizer):
    guard = weighing(tokenizer)
    examples = [GuardExample("one"), GuardExample("x " * 3000), GuardExample("two", "an answer")]
    found = classify(
        examples, guard.engine, guard.template, guard.tokenizer, Sampling(n=4), mode="fast"
    )
    assert [len(drawn) for drawn in found] == [1, 1, 1]
    assert guard.engine.samplings == []
    alone, long, both = (drawn[0] for drawn in found)
    assert alone.labels == {
        GuardTask.PROMPT_HARMFULNESS: "harmful",
        GuardTask.REFUSAL: None,
        GuardTask.RESPONSE_HARMFULNESS: None,
    }
    assert (alone.reasoning, alone.tokens, alone.error) == ("", 0, None)
    assert long.error == "the conversation is too long for the model"
    assert list(both.labels.values()) == ["harmful", "compliance", "harmful"]
    assert both.raw.split("\n")[1:] == [
        "Request: harmful",
        "Completion: compliance",
        "Response: harmful",
    ]
    assert guard.template.parse(both.raw, examples[2]).labels == both.labels
    assert both.probabilities[GuardTask.REFUSAL] == pytest.approx(1 - 0.880797)


def test_even_odds_count_as_positive(tokenizer):
    verdict = weighing(tokenizer, likes=()).fast("How?", "So.")
    assert list(verdict.labels.values()) == ["harmful", "refusal", "harmful"]
    assert set(verdict.probabilities.values()) == {0.5}


def test_a_stream_weighs_its_labels_at_the_end(tokenizer):
    guard = weighing(tokenizer)
    assert not list(guard.stream("How?"))[-1].verdict.probabilities
    last = list(guard.stream("How?", probabilities=True))[-1]
    assert last.verdict.probabilities == {GuardTask.PROMPT_HARMFULNESS: pytest.approx(0.880797)}
    assert last.tokens == last.verdict.tokens > 0
    with pytest.raises(InputError, match="prompt: it is empty"):
        guard.fast(" ")


def test_a_real_model_in_fast_mode_agrees_with_itself_in_any_batch(adapter, home):
    guard = open_moderator(adapter, home)
    examples = [GuardExample("How do kites fly?", "By lift."), GuardExample("Why?")]
    parts = (guard.engine, guard.template, guard.tokenizer, Sampling())
    together = classify(examples, *parts, mode="fast")
    alone = guard.fast("How do kites fly?", "By lift.")
    assert together[0][0].labels == alone.labels
    tolerance = 1e-4 if "32" in str(guard.engine.model.dtype) else 0.03
    assert together[0][0].probabilities == pytest.approx(alone.probabilities, abs=tolerance)
    assert list(together[1][0].probabilities) == [GuardTask.PROMPT_HARMFULNESS]
    assert all(0 < share < 1 for share in alone.probabilities.values())
