"""Texts that a model reads and writes together, each with a row of one key-value cache.

A row's tokens lie at its own positions from 0 on, and what it hasn't got is masked out, so rows
join and leave between any two passes and nothing is read twice: neither a text whose labels are
weighed when it has ended (`Row.tree`), nor the instruction that all prompts begin with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.engines import scoring

BLOCK = 128
"""Tokens by which the cache grows; growing copies it."""


@dataclass(slots=True, eq=False)
class Row:
    """Token ids, of which the first `cached` are in the cache.

    With a tree, `ids` are its prefix, and `scores` are the tree's once all has been read. Without,
    the row is written on by `Rows.step` when one token is unread.
    """

    ids: list[int]
    cached: int = 0
    tree: scoring.Tree | None = None
    scores: list[float] | None = None

    @property
    def unread(self) -> int:
        return len(self.ids) - self.cached

    @property
    def must_read(self) -> bool:
        return self.scores is None if self.tree else self.unread > 1

    def weigh(self, tree: scoring.Tree) -> None:
        """Goes over to weighing these continuations; what is read of their prefix is kept."""
        self.cached = min(scoring.alike(self.ids, tree.prefix), self.cached, len(tree.prefix) - 1)
        self.ids, self.tree, self.scores = list(tree.prefix), tree, None


@dataclass(slots=True)
class _Part:
    """What one pass reads of a row: tokens from `row.cached` on, and its tree with the last."""

    row: Row
    tokens: list[int]
    tree: scoring.Tree | None = None

    def __len__(self) -> int:
        return len(self.tokens) + (len(self.tree.tokens) if self.tree else 0)


class _Pass:
    """The part of transformers' Cache that a model uses while it reads: where keys go."""

    def __init__(self, rows: Rows, slots: slice, places: Any, length: int) -> None:
        self.rows, self.slots, self.places, self.length = rows, slots, places, length

    def update(self, keys: Any, values: Any, layer: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Keys and values (B, H, Q, D) of new tokens -> those of all tokens (B, H, K, D)."""
        return self.rows.put(self, layer, keys, values)

    def get_seq_length(self, _layer: int = 0) -> int:
        return 0  # positions and masks are given, so nothing is made from it


@dataclass(slots=True)
class Rows:
    """The rows of one model. Not for two threads at once.

    `prefix` are tokens that most prompts begin with; they are read once.
    """

    model: Any
    stop_ids: Sequence[int]
    pad: int
    prefix: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    passes: int = 0
    _layers: list[tuple[Any, Any]] = field(default_factory=list)
    _shared: list[tuple[Any, Any]] = field(default_factory=list)

    def join(self, row: Row) -> None:
        """Takes a row in. What it shares with the prefix counts as read."""
        import torch

        with torch.inference_mode():
            if self.prefix and not self._shared and not self.rows:
                self._read_prefix()
            self.rows.append(row)
            shared = (
                min(scoring.alike(row.ids, self.prefix), len(row.ids) - 1) if self._shared else 0
            )
            row.cached = shared
            if not shared:
                return
            self._reserve(len(self.rows), shared)
            for (keys, values), (kept_keys, kept_values) in zip(
                self._layers, self._shared, strict=True
            ):
                keys[len(self.rows) - 1, :, :shared] = kept_keys[:, :shared]
                values[len(self.rows) - 1, :, :shared] = kept_values[:, :shared]

    def leave(self, row: Row) -> None:
        """Gives a row's place to the last one; with the last row goes the cache."""
        slot, last = self.rows.index(row), len(self.rows) - 1
        if slot != last:
            import torch

            moved = self.rows[last]
            with torch.inference_mode():
                for pair in self._layers:
                    for one in pair:
                        one[slot, :, : moved.cached] = one[last, :, : moved.cached]
            self.rows[slot] = moved
        self.rows.pop()
        if not self.rows:
            self._layers = []

    def clear(self) -> None:
        """Forgets all rows and the prefix, and gives the memory back."""
        for row in self.rows:
            row.cached = 0
        self.rows, self._layers, self._shared = [], [], []

    def read(self, rows: Sequence[Row], most: int) -> None:
        """Reads on in these rows, up to about `most` tokens with the padding. Those that come out
        with one token unread are ready for `step`, those with a tree have their scores."""
        parts: list[_Part] = []
        longest = 0
        for row in rows:
            part = self._next_part(row, most)
            longest = max(longest, len(part))
            if parts and longest * (len(parts) + 1) > most:
                break
            parts.append(part)
        if parts:
            self._read(parts)

    @staticmethod
    def _next_part(row: Row, room: int) -> _Part:
        if row.tree is None:
            return _Part(row, row.ids[row.cached : -1][:room])
        if row.unread + len(row.tree.tokens) <= max(room, len(row.tree.tokens) + 1):
            return _Part(row, row.ids[row.cached :], row.tree)
        return _Part(row, row.ids[row.cached : -1][:room])

    def _read(self, parts: list[_Part]) -> None:
        """One pass over the slots from the first to the last of these rows."""
        import torch

        trees = [len(part.tree.tokens) for part in parts if part.tree]
        with torch.inference_mode():
            first, logits = self._forward(parts, 1 + max(trees, default=0))
            for part in parts:
                row = part.row
                row.cached += len(part.tokens)
                if part.tree:
                    found = logits[self.rows.index(row) - first]
                    row.scores = scoring.read(part.tree, found, self.stop_ids)

    def step(self, rows: Sequence[Row]) -> None:
        """Writes the likeliest next token of each of these rows, whose last token is unread."""
        import torch

        if not rows:
            return
        with torch.inference_mode():
            first, logits = self._forward([_Part(row, row.ids[-1:]) for row in rows], 1)
            tokens = logits[:, -1].argmax(-1).tolist()
            for row in rows:
                row.cached += 1
                row.ids.append(tokens[self.rows.index(row) - first])

    def _forward(self, parts: list[_Part], kept: int) -> tuple[int, Any]:
        """(first slot, logits (B, kept, V)) of one pass over B slots; parts are left-padded.

        Slots between that have no part read padding: a copy of the others' cache would be dearer.
        """
        import torch

        slots = {self.rows.index(part.row): part for part in parts}
        first, end = min(slots), max(slots) + 1
        width = max(map(len, parts))
        length = max(part.row.cached + len(part) for part in parts)
        # The column after all that is read takes the padding's keys; nobody looks there. It's
        # after what a longer row between has read, too, though this pass doesn't look so far.
        spare = max(length, *(row.cached for row in self.rows[first:end]))
        self._reserve(len(self.rows), spare)
        shape = (end - first, width)
        ids, positions = torch.full(shape, self.pad), torch.zeros(shape, dtype=torch.long)
        places = torch.full(shape, spare)
        sees = torch.zeros((*shape, length), dtype=torch.bool)
        sees[:, :, 0] = True  # a row that sees nothing would become NaN
        for slot, part in slots.items():
            start, here = part.row.cached, slice(width - len(part), None)
            tree = part.tree
            ids[slot - first, here] = torch.tensor(part.tokens + (tree.tokens if tree else []))
            places[slot - first, here] = torch.arange(start, start + len(part))
            depths, seen = _branches(part)
            positions[slot - first, here] = start + torch.tensor(depths)
            sees[slot - first, here, 0] = False
            sees[slot - first, here, :start] = True
            sees[slot - first, here, start : start + len(part)] = seen
        device = self.model.device
        window = _Pass(self, slice(first, end), places.to(device), length)
        self.passes += 1
        logits = self.model(
            input_ids=ids.to(device),
            position_ids=positions.to(device),
            attention_mask=sees[:, None].to(device),
            past_key_values=window,
            use_cache=True,
            logits_to_keep=min(kept, width),
        ).logits
        return first, logits

    def put(self, window: _Pass, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """Writes a layer's new keys and values; gives all that the pass looks at."""
        import torch

        if layer == len(self._layers):  # the first pass of all: now the shape is known
            slots, room = len(self.rows), _blocks(window.length)
            self._layers.append(
                (
                    keys.new_zeros(slots, keys.shape[1], room, keys.shape[3]),
                    values.new_zeros(slots, values.shape[1], room, values.shape[3]),
                )
            )
        held = self._layers[layer]
        rows = torch.arange(window.slots.start, window.slots.stop, device=keys.device)[:, None]
        for one, new in zip(held, (keys, values), strict=True):
            one[rows, :, window.places.to(one.device)] = new.transpose(1, 2)
        seen = (window.slots, slice(None), slice(window.length))
        return held[0][seen], held[1][seen]

    def _reserve(self, slots: int, length: int) -> None:
        """Makes room for so many rows of so many tokens, and a column for padding."""
        like = self._layers or [(k[None], v[None]) for k, v in self._shared]
        if not like:
            return
        held = self._layers[0][0].shape if self._layers else (0, 0, 0, 0)
        if held[0] >= slots and held[2] > length:
            return
        # Rows by doubling: at each join a copy of all would be dear.
        rows = held[0] if held[0] >= slots else 1 << (slots - 1).bit_length()
        room = max(held[2], _blocks(length))
        grown = []
        for pair in like:
            new = [one.new_zeros(rows, one.shape[1], room, one.shape[3]) for one in pair]
            if self._layers:
                for one, old in zip(new, pair, strict=True):
                    one[: held[0], :, : held[2]] = old
            grown.append((new[0], new[1]))
        self._layers = grown

    def _read_prefix(self) -> None:
        row = Row([*self.prefix, self.pad])
        size = len(self.prefix)
        self.rows.append(row)
        try:
            self._read([_Part(row, self.prefix)])
            self._shared = [
                (k[0, :, :size].clone(), v[0, :, :size].clone()) for k, v in self._layers
            ]
        finally:
            self.leave(row)


def _blocks(length: int) -> int:
    return (length // BLOCK + 1) * BLOCK


def _branches(part: _Part) -> tuple[list[int], Any]:
    """(depth of each token, what it sees of the others (Q, Q)): a chain, and the tree behind."""
    import torch

    chain, size = len(part.tokens), len(part)
    depths = list(range(chain))
    sees = torch.eye(size, dtype=torch.bool)
    sees[:chain, :chain] = torch.ones(chain, chain, dtype=torch.bool).tril()
    for node, parent in enumerate(part.tree.parents if part.tree else ()):
        above = chain - 1 if parent == scoring.ROOT else chain + parent
        depths.append(depths[above] + 1)
        sees[chain + node] |= sees[above]
    return depths, sees
