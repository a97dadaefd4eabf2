"""Generation with a tiny real model."""

import pytest
import torch

from pipelines import base_models
from pipelines.engines import transformers as engine_module
from pipelines.engines.base import Sampling
from pipelines.engines.transformers import TransformersEngine

PROMPTS = ["Human user: hello", "Human user: a longer one, so that the batch has padding"]


@pytest.fixture(scope="module")
def engine(tiny_base):
    model = base_models.load_model(tiny_base)
    return TransformersEngine(model, base_models.load_tokenizer(tiny_base))


def test_answers_come_in_the_order_of_the_prompts(engine):
    sampling = Sampling(max_new_tokens=12, n=2)
    together = engine.generate(PROMPTS, sampling)
    alone = [engine.generate([prompt], sampling)[0] for prompt in PROMPTS]
    assert [len(answers) for answers in together] == [2, 2]
    assert [[a.text for a in answers] for answers in together] == [
        [a.text for a in answers] for answers in alone
    ]
    assert together[0][0] == together[0][1]  # greedy


def test_a_seed_repeats_its_answers_and_another_does_not(engine):
    def draw(seed):
        return engine.generate(PROMPTS, Sampling(1.0, 1.0, 24, n=2, seed=seed))

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@pytest.mark.parametrize("length", [5, 16, 40])
def test_rounds_write_what_one_piece_would(engine, monkeypatch, length):
    sampling = Sampling(max_new_tokens=length)
    whole = engine.generate(PROMPTS, sampling)
    monkeypatch.setattr(engine_module, "ROUND", 7)
    assert engine.generate(PROMPTS, sampling) == whole
    assert all(a.ended or a.tokens == length for answers in whole for a in answers)


def test_each_round_tells_how_many_have_ended(engine, monkeypatch):
    monkeypatch.setattr(engine_module, "ROUND", 7)
    told = []
    answers = engine.generate(
        PROMPTS, Sampling(max_new_tokens=16, n=2), on_ended=lambda *counts: told.append(counts)
    )
    every = [answer for given in answers for answer in given]
    assert len(told) == 3
    assert told[-1] == (sum(answer.ended for answer in every), 4)
    assert sorted(told) == told


def test_an_answer_ends_at_the_tokenizers_end_token(engine, monkeypatch):
    """A model made from a config names no end token of its own."""
    prompt = engine._tokens(PROMPTS[:1])
    [[token]] = engine._round(prompt, 1, Sampling(), should_stop=lambda: False)
    monkeypatch.setattr(engine, "stop_ids", [token])
    ended = engine.generate(PROMPTS[:1], Sampling(max_new_tokens=8))[0][0]
    assert ended.ended
    assert ended.tokens == 0
    assert ended.text == ""


def test_a_batch_too_large_for_the_memory_is_halved(engine, monkeypatch):
    expected = engine.generate(PROMPTS * 2, Sampling(max_new_tokens=6))
    generate, sizes = engine.model.generate, []

    def small(**inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return generate(**inputs)

    monkeypatch.setattr(engine.model, "generate", small)
    assert engine.generate(PROMPTS * 2, Sampling(max_new_tokens=6)) == expected
    assert sizes == [4, 2, 1, 1, 2, 1, 1]


def test_stopping_ends_a_batch_early(engine):
    answers = engine.generate(PROMPTS, Sampling(max_new_tokens=200), should_stop=lambda: True)
    assert all(a.tokens <= 1 for given in answers for a in given)


def test_streamed_pieces_make_the_whole_answer(engine):
    sampling = Sampling(max_new_tokens=20)
    pieces = list(engine.stream(PROMPTS[0], sampling))
    assert "".join(pieces) == engine.generate(PROMPTS[:1], sampling)[0][0].text


def test_a_reader_who_leaves_ends_the_generation(engine):
    stream = engine.stream(PROMPTS[0], Sampling(max_new_tokens=1500))
    next(stream)
    stream.close()
    assert not engine._lock.locked()


def test_a_failure_in_the_model_reaches_the_reader(engine, monkeypatch):
    def broken(**_inputs):
        raise RuntimeError("the model broke")

    monkeypatch.setattr(engine.model, "generate", broken)
    with pytest.raises(RuntimeError, match="the model broke"):
        list(engine.stream(PROMPTS[0], Sampling(max_new_tokens=5)))
