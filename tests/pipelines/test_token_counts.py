"""Counting tokens where no tokenizer is here."""

from pipelines.token_counts import CHARACTERS_A_TOKEN, count_tokens


def texts(*found):
    return [lambda text=text: text for text in found]


def test_without_a_tokenizer_characters_tell(home):
    assert count_tokens(texts("x" * 420, ""), "some/unknown-model") == [
        round(420 / CHARACTERS_A_TOKEN),
        0,
    ]
