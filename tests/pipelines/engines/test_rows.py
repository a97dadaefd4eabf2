"""Rows of one cache: what one reads or writes leaves the others as they are."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.engines.rows import Row, Rows


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=200,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()


def tokens(count: int, seed: int) -> list[int]:
    import torch

    generator = torch.Generator().manual_seed(seed)
    found: list[int] = torch.randint(1, 200, (count,), generator=generator).tolist()
    return found


def joined(model: Any, *rows: Row) -> Rows:
    held = Rows(model, [0], 0)
    for row in rows:
        held.join(row)
    return held


def alone(model: Any, ids: list[int], steps: int) -> list[int]:
    row = Row(list(ids))
    held = joined(model, row)
    while row.must_read:
        held.read([row], 512)
    for _ in range(steps):
        held.step([row])
    return row.ids


@pytest.mark.parametrize("length", [300, 700])
def test_a_long_row_between_two_short_ones_is_left_as_it_is(model: Any, length: int) -> None:
    """Those before and behind it read and write in passes that it takes no part in."""
    given = [tokens(40, 1), tokens(length, 2), tokens(40, 3)]
    first, long, last = (Row(list(ids)) for ids in given)
    rows = joined(model, first, long, last)
    rows.read([long], 256)
    rows.read([first, last], 512)
    while long.must_read:
        rows.read([long], 256)
        rows.step([first, last])
    for _ in range(12):
        rows.step([first, long, last])
    for row, ids in zip((first, long, last), given, strict=True):
        assert row.ids == alone(model, ids, len(row.ids) - len(ids))


def test_a_prefix_that_cannot_be_read_leaves_no_row_behind(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, row = Rows(model, [0], 0, tokens(20, 4)), Row(tokens(30, 4))

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(Rows, "put", fail)
        with pytest.raises(RuntimeError, match="no room"):
            rows.join(row)
    assert rows.rows == []
    rows.join(row)
    assert (rows.rows, row.cached) == ([row], 20)
