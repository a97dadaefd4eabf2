"""Rows of one cache: what joins, leaves and is weighed at any time reads as it would alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import base_models
from pipelines.engines.base import Sampling
from pipelines.engines.rows import Row, Rows
from pipelines.engines.transformers import TransformersEngine

BEGINS = "Human user: "
PROMPTS = [
    BEGINS + "hello",
    BEGINS + "a longer one, so that the batch has padding " * 6,
    BEGINS,
    BEGINS + "yes " * 40,
]
LENGTH = 24


@pytest.fixture(scope="module")
def engine(tiny_base: Path) -> Iterator[TransformersEngine]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # In bfloat16 padding changes the rounding, and with it now and then the likeliest token.
    model = base_models.load_model(tiny_base, dtype="float32")
    yield TransformersEngine(model, base_models.load_tokenizer(tiny_base))
    torch.set_num_threads(threads)


def rows_of(engine: TransformersEngine, *alike: str) -> Rows:
    rows = engine.rows(alike)
    assert rows is not None
    return rows


def write(rows: Rows, most: int, joining: dict[int, Row], leaving: dict[int, Row]) -> None:
    """Goes on until each has LENGTH tokens more; by turn, who joins and who leaves early."""
    begun: dict[Row, int] = {}
    for turn in range(400):
        if turn in joining:
            begun[joining[turn]] = len(joining[turn].ids)
            rows.join(joining[turn])
        if turn in leaving and leaving[turn] in rows.rows:
            rows.leave(leaving[turn])
        if unread := [row for row in rows.rows if row.must_read]:
            rows.read(unread, most)
        rows.step([row for row in rows.rows if not row.must_read])
        for row in [row for row in rows.rows if len(row.ids) == begun[row] + LENGTH]:
            rows.leave(row)
        if not rows.rows and turn > max(joining):
            return
    raise AssertionError("the rows did not end")


@pytest.mark.parametrize(("alike", "most"), [((), 1000), (PROMPTS[:2], 16), (PROMPTS[1:3], 64)])
def test_rows_that_come_and_go_are_written_as_they_would_be_alone(
    engine: TransformersEngine, alike: tuple[str, ...], most: int
) -> None:
    engine.stop_ids = []
    alone = engine.generate(PROMPTS, Sampling(max_new_tokens=LENGTH))
    rows = rows_of(engine, *alike)
    given = [Row(engine.tokens(prompt)) for prompt in PROMPTS]
    left = Row(engine.tokens(PROMPTS[3]))
    joining = {0: given[0], 1: left, 3: given[1], 4: given[2], 9: given[3]}
    write(rows, most, joining, {7: left})
    texts = [engine.decode(row.ids[-LENGTH:]) for row in given]
    assert texts == [answers[0].text for answers in alone]
    assert rows._layers == [], "nothing is kept for nobody"


def test_what_all_begin_with_is_read_once(engine: TransformersEngine) -> None:
    rows = rows_of(engine, *PROMPTS[:2])
    assert rows.prefix == engine.tokens(BEGINS)[: len(rows.prefix)]
    assert len(rows.prefix) > 3
    first, second = (Row(engine.tokens(prompt)) for prompt in PROMPTS[:2])
    for row in (first, second):
        rows.join(row)
        assert row.cached == len(rows.prefix)
    stranger = Row(engine.tokens("Something else"))
    rows.join(stranger)
    assert stranger.cached == 0
    assert rows.passes == 1


@pytest.mark.parametrize("most", [8, 48, 1000])
def test_rows_are_weighed_as_texts_are_scored(engine: TransformersEngine, most: int) -> None:
    texts = [["Request: harmful\n", "Request: unharmful\n"], ["harmful", "unharmful", "x y\n"]]
    written = ["Answers: ", ""]
    wanted = engine.score(PROMPTS[:2], texts, written)
    rows = rows_of(engine, *PROMPTS[:2])
    given = []
    for prompt, so_far, found in zip(PROMPTS, written, texts, strict=False):
        row = Row([])
        row.weigh(engine.tree(engine.tokens(prompt), so_far, found))
        rows.join(row)
        given.append(row)
    while unread := [row for row in given if row.must_read]:
        rows.read(unread, most)
    for row, scores in zip(given, wanted, strict=True):
        assert row.scores == pytest.approx(scores, abs=1e-4)


def test_a_written_text_is_weighed_without_reading_it_again(engine: TransformersEngine) -> None:
    engine.stop_ids = []
    rows = rows_of(engine)
    others = [Row(engine.tokens(prompt)) for prompt in PROMPTS[:2]]
    prompt, so_far = engine.tokens(PROMPTS[3]), "It is clear.\n\n---\n\nAnswers: \nRequest: "
    row = Row(prompt + engine.tokens(so_far + "harmful"))
    for one in (*others, row):
        rows.join(one)
    rows.read(rows.rows, 1000)
    rows.step(others)
    row.weigh(engine.tree(prompt, so_far, ["harmful\n", "unharmful\n"]))
    assert row.unread <= 2
    rows.read([row], 1000)
    (wanted,) = engine.score([PROMPTS[3]], [["harmful\n", "unharmful\n"]], [so_far])
    assert row.scores == pytest.approx(wanted, abs=1e-4)
    lengths = [len(one.ids) for one in others]
    rows.step(others)
    assert [len(one.ids) for one in others] == [length + 1 for length in lengths]


def test_all_is_forgotten_at_once_and_can_begin_again(engine: TransformersEngine) -> None:
    rows = rows_of(engine, *PROMPTS[:2])
    row = Row(engine.tokens(PROMPTS[1]))
    rows.join(row)
    rows.read([row], 1000)
    rows.step([row])
    rows.clear()
    assert (row.cached, rows.rows, rows._layers) == (0, [], [])
    before = list(row.ids)
    rows.join(row)
    rows.read([row], 1000)
    rows.step([row])
    again = Row(before)
    rows.join(again)
    rows.read([again], 1000)
    rows.step([again])
    assert row.ids == again.ids


def test_a_model_with_masks_of_its_own_has_no_rows(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.model.config, "_attn_implementation", "eager")
    assert engine.rows() is None
