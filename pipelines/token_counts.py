"""How many tokens texts have, told without loading a model; most are not tokenised at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pipelines import base_models
from pipelines.template import GuardTemplate

# Of English text, in the vocabularies of Llama 3 and SmolLM2; used where no tokenizer is here.
CHARACTERS_A_TOKEN = 4.2
COUNTED, COUNTED_LONGEST = 48, 16
# What a chat template puts around the text.
WRAPPING_TOKENS = 20


def count_tokens(texts: Sequence[Callable[[], str]], base: str) -> list[int]:
    """Tokens of each text: the longest and some spread evenly are counted where the base's
    tokenizer is here, the others told by their characters."""
    lengths = [len(text()) for text in texts]
    counter = _counter(base)
    if counter is None or not lengths:
        return [math.ceil(length / CHARACTERS_A_TOKEN) for length in lengths]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    spread = order[:: max(1, len(order) // COUNTED)]
    known = {index: counter(texts[index]()) for index in {*spread, *order[-COUNTED_LONGEST:]}}
    characters = sum(lengths[index] for index in spread)
    ratio = sum(known[index] for index in spread) / max(1, characters)
    return [known.get(i, math.ceil(length * ratio)) for i, length in enumerate(lengths)]


def _counter(base: str) -> Callable[[str], int] | None:
    folder = Path(base) if Path(base).is_dir() else base_models.cached_base(base) if base else None
    file = folder / "tokenizer.json" if folder else None
    if file is None or not file.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def prompt_overhead(instructions: Iterable[str], base: str) -> int:
    """Tokens of the instruction and its wrapping, which every row has."""
    longest = max(instructions, key=len, default=GuardTemplate.default().instruction)
    return count_tokens([lambda: longest], base)[0] + WRAPPING_TOKENS
