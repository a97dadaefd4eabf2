"""Log-probabilities of given texts, against a plain pass over each of them."""

import pytest
import torch

from pipelines import base_models
from pipelines.engines import scoring
from pipelines.engines.openai_server import ChatEndpoint
from pipelines.engines.transformers import TransformersEngine
from pipelines.schema import EndpointError, InputError

PROMPTS = ["Human user: hi", "Human user: a longer one, so that the batch has padding", "Task"]
LABELS = ["harmful\nCompletion: ", "unharmful\n", "refusal", "zebra crossing", "harmful\n"]
WRITTEN = "Answers: \nRequest: "


@pytest.fixture(scope="module")
def engine(tiny_base):
    model = base_models.load_model(tiny_base)
    return TransformersEngine(model, base_models.load_tokenizer(tiny_base))


def by_hand(engine, prompt, written, text, others=LABELS):
    """The sum over the tokens of one text, without batch, padding, mask or shared tokens, from
    where the written text and all continuations cease to be the same tokens."""

    def ids(text):
        return engine.tokenizer(text, add_special_tokens=False)["input_ids"]

    whole, before = ids(written + text), ids(written)
    every = [before, *(ids(written + other) for other in others)]
    columns = enumerate(zip(*every, strict=False))
    shared = next((i for i, column in columns if len(set(column)) > 1), min(map(len, every)))
    given = ids(prompt)
    with torch.no_grad():
        logits = engine.model(torch.tensor([given + whole])).logits[0].double()
    chances = logits.log_softmax(-1)
    first = len(given)
    total = sum(
        chances[first + i - 1, token].item() for i, token in enumerate(whole) if i >= shared
    )
    if not text.endswith("\n"):
        total += chances[-1, engine.stop_ids].logsumexp(-1).item()
    return total


@pytest.fixture(params=["packed", "one by one"])
def way(request, monkeypatch, engine):
    if request.param == "one by one":
        monkeypatch.setattr(scoring, "can_pack", lambda _config: False)
    else:
        assert scoring.can_pack(engine.model.config)
    return request.param


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("written", ["", WRITTEN, "# Task 1\nSo be it.\n\n" + WRITTEN])
def test_scores_are_those_of_each_text_alone(engine, way, written, side, monkeypatch):
    monkeypatch.setattr(engine.tokenizer, "padding_side", side)
    found = engine.score(PROMPTS, [LABELS] * 3, [written] * 3)
    expected = [[by_hand(engine, p, written, text) for text in LABELS] for p in PROMPTS]
    for got, want in zip(found, expected, strict=True):
        assert got == pytest.approx(want, abs=1e-4, rel=0)


def test_neither_order_nor_company_matters(engine, way):
    texts = [LABELS, LABELS[2:4], LABELS[::-1]]
    together = engine.score(PROMPTS, texts)
    backwards = engine.score(PROMPTS[::-1], texts[::-1])[::-1]
    alone = [engine.score([p], [t])[0] for p, t in zip(PROMPTS, texts, strict=True)]
    for one, two, three in zip(together, backwards, alone, strict=True):
        assert one == pytest.approx(two, abs=1e-4, rel=0)
        assert one == pytest.approx(three, abs=1e-4, rel=0)
    assert together[0] == pytest.approx(together[0], abs=0)
    assert [len(found) for found in together] == [5, 2, 5]


def test_all_that_may_follow_adds_up_to_one(engine):
    """Over every next token, with the end among them: nothing is lost, nothing counted twice."""
    every = [engine.tokenizer.decode([i]) for i in range(len(engine.tokenizer))]
    single = [t for i, t in enumerate(every) if engine._tokens([t]) == [[i]]]
    lines = [text + "\n" for text in single if not text.endswith("\n")]
    (found,) = engine.score(PROMPTS[:1], [[*lines, ""]])
    assert torch.tensor(found).exp().sum() < 1
    assert all(score < 0 for score in found)


def test_a_label_may_take_several_tokens_and_the_blank_before_it(engine):
    tokens = engine._tokens([WRITTEN, WRITTEN + "harmful\n", WRITTEN + "zebra\n"])
    assert len(tokens[2]) - len(tokens[1]) >= 1
    tree = scoring.grow([7], tokens[0], tokens[1:], [False, False])
    assert tree.prefix == [7, *tokens[0][: len(tree.prefix) - 1]]
    assert [7, *tokens[1]] == tree.prefix + list(tree.split()[0].tokens)
    assert [7, *tokens[2]] == tree.prefix + list(tree.split()[1].tokens)


def test_what_continuations_share_stands_once_in_the_tree():
    tree = scoring.grow([1, 2], [3, 9], [[3, 4, 5, 6], [3, 4, 5, 7], [3, 4], []], [True] * 4)
    assert (tree.prefix, tree.tokens) == ([1, 2], [3, 4, 5, 6, 7])
    assert (tree.parents, tree.lasts) == ([-1, 0, 1, 2, 2], [3, 4, 1, -1])
    given = scoring.pack([tree], 0, packed=True)
    assert given["position_ids"].tolist() == [[0, 1, 2, 3, 4, 5, 5]]
    assert given["attention_mask"][0, 0, -1].tolist() == [True] * 5 + [False, True]


def test_a_batch_too_large_for_the_memory_is_halved(engine, monkeypatch):
    expected = engine.score(PROMPTS, [LABELS] * 3)
    forward, sizes = engine.model.forward, []

    def small(**inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(**inputs)

    monkeypatch.setattr(engine.model, "forward", small)
    found = engine.score(PROMPTS, [LABELS] * 3)
    assert sizes == [3, 1, 2, 1, 1]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4, rel=0)


def test_a_batch_whose_mask_would_be_large_is_cut_before_it_is_packed(engine, monkeypatch):
    expected = engine.score(PROMPTS, [LABELS] * 3)
    pack, sizes = scoring.pack, []

    def watched(trees, pad, *, packed):
        given = pack(trees, pad, packed=packed)
        sizes.append((len(trees), given["attention_mask"].numel()))
        return given

    monkeypatch.setattr(scoring, "pack", watched)
    assert engine.score(PROMPTS, [LABELS] * 3) == expected
    ((count, most),) = sizes
    for largest, counts in ((most, [3]), (most - 1, [2, 1]), (1, [1, 1, 1])):
        sizes.clear()
        monkeypatch.setattr(scoring, "LARGEST_MASK", largest)
        found = engine.score(PROMPTS, [LABELS] * 3)
        assert [count for count, _ in sizes] == counts
        assert largest == 1 or max(size for _, size in sizes) <= largest
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-4, rel=0)
    assert count == 3


def test_thirty_two_long_conversations_have_a_mask_that_is_bounded():
    trees = [scoring.grow([1] * length, [], [[2], [3]], [True] * 2) for length in [3_000, 40] * 16]
    parts = scoring.parts(trees)
    assert [tree for part in parts for tree in part] == trees
    masks = [len(part) * max(map(len, part)) ** 2 for part in parts]
    assert len(masks) == 2
    assert max(masks) <= 256e6 < 32 * 3_002**2
    assert scoring.parts([]) == []


def test_only_the_last_tokens_get_logits(engine, monkeypatch):
    forward, kept = engine.model.forward, []

    def watched(**inputs):
        answer = forward(**inputs)
        kept.append((answer.logits.shape[1], inputs["input_ids"].shape[1]))
        return answer

    monkeypatch.setattr(engine.model, "forward", watched)
    engine.score(["word " * 300], [["harmful\n", "unharmful\n"]])
    ((given, length),) = kept
    assert given < 20 < 300 < length


def test_a_peft_model_is_scored_with_its_adapter(tiny_base):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        base_models.load_model(tiny_base),
        LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False, r=4),
    )
    adapted = TransformersEngine(model, base_models.load_tokenizer(tiny_base))
    (found,) = adapted.score(PROMPTS[:1], [LABELS], [WRITTEN])
    assert found == pytest.approx(
        [by_hand(adapted, PROMPTS[0], WRITTEN, text) for text in LABELS], abs=1e-4
    )
    with model.disable_adapter():
        (bare,) = adapted.score(PROMPTS[:1], [LABELS], [WRITTEN])
    assert found != pytest.approx(bare, abs=1e-3)


def test_models_that_a_tree_would_mislead_are_read_text_by_text(engine):
    from transformers import GPT2Config, MistralConfig, Qwen2Config

    for config, packs in (
        (MistralConfig(sliding_window=64), False),
        (GPT2Config(), False),
        (Qwen2Config(), True),
    ):
        config._attn_implementation = "sdpa"
        assert scoring.can_pack(config) is packs, config.model_type
    config._attn_implementation = "eager"
    assert not scoring.can_pack(config)


def test_nothing_to_go_on_is_refused(engine):
    with pytest.raises(InputError, match=r"prompts\[1\]: it is empty"):
        engine.score(["a", ""], [["b"], ["c"]])
    assert engine.score([], []) == []


def test_a_chat_endpoint_says_that_it_cannot():
    with (
        ChatEndpoint("http://127.0.0.1:1/v1", "teacher-1") as endpoint,
        pytest.raises(EndpointError, match="teacher-1: can't score given answers"),
    ):
        endpoint.score(["a"], [["b"]])
