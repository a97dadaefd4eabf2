"""How given texts are scored: their tokens packed as a tree behind the prompt, in one pass.

Texts that begin alike share the tokens they begin with. Each token sees the prompt and its own
branch alone (a 4D attention mask) at the position it would have in plain text, so one forward pass
over `prompt + tree` gives what a pass over each text would: the idea of SpecInfer's token trees
(arXiv 2305.09781), used here for reading instead of drafting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ROOT = -1
LARGEST_MASK = 256_000_000
"""Bytes of a batch's mask, one for each pair of tokens of each row."""


@dataclass(slots=True)
class Tree:
    """A prefix of token ids and the continuations behind it, one node a token.

    `parents[i]` is the node before node i, ROOT for the first ones; `lasts[c]` is continuation c's
    last node and `ends[c]` whether the model's end token must follow it.
    """

    prefix: list[int]
    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)

    def add(self, ids: Sequence[int], end: bool) -> None:
        """Adds a continuation; tokens that it shares with earlier ones are not added again."""
        node = ROOT
        for token in ids:
            node = self._child(node, token)
        self.lasts.append(node)
        self.ends.append(end)

    def _child(self, parent: int, token: int) -> int:
        for node, (above, known) in enumerate(zip(self.parents, self.tokens, strict=True)):
            if above == parent and known == token:
                return node
        self.parents.append(parent)
        self.tokens.append(token)
        return len(self.tokens) - 1

    def split(self) -> list[Tree]:
        """Each continuation as a tree of its own, whose one branch is plain text."""
        alone = []
        for last, end in zip(self.lasts, self.ends, strict=True):
            path, node = [], last
            while node != ROOT:
                path.append(self.tokens[node])
                node = self.parents[node]
            one = Tree(self.prefix)
            one.add(path[::-1], end)
            alone.append(one)
        return alone

    def __len__(self) -> int:
        return len(self.prefix) + len(self.tokens)


def grow(
    prompt: Sequence[int],
    written: Sequence[int],
    wholes: Sequence[Sequence[int]],
    ends: Sequence[bool],
) -> Tree:
    """The tree of continuations; `wholes` are the tokens of `written text + continuation`.

    A blank that ends the written text may have become part of a label's first token. So all that
    the written text and every whole have in common is the prefix, and what differs is scored.
    """
    shared = 0
    while all(len(ids) > shared for ids in (written, *wholes)) and (
        len({ids[shared] for ids in (written, *wholes)}) == 1
    ):
        shared += 1
    tree = Tree([*prompt, *written[:shared]])
    for ids, end in zip(wholes, ends, strict=True):
        tree.add(ids[shared:], end)
    return tree


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    most = min(len(one), len(other))
    return next((i for i in range(most) if one[i] != other[i]), most)


def can_pack(config: Any) -> bool:
    """Whether a model reads a tree rightly: rotary positions, all layers with full attention, and
    an implementation of attention that takes a mask of yes and no."""
    text = config.get_text_config()
    known = text.to_dict()
    kinds = set(known.get("layer_types") or ())
    rotary = known.get("rope_parameters") or known.get("rope_theta")
    full = kinds <= {"full_attention"} and not known.get("sliding_window")
    return bool(rotary and full and text._attn_implementation == "sdpa")


def parts(trees: Sequence[Tree]) -> list[list[Tree]]:
    """The trees in order, cut into runs whose packed masks have at most LARGEST_MASK bytes.

    A mask grows with the square of the longest tree of its batch, and it is built before any
    GPU could tell that the batch is too large. A tree that is too large alone stays alone.
    """
    found: list[list[Tree]] = []
    length = 0
    for tree in trees:
        longest = max(length, len(tree))
        if found and (len(found[-1]) + 1) * longest**2 <= LARGEST_MASK:
            found[-1].append(tree)
            length = longest
        else:
            found.append([tree])
            length = len(tree)
    return found


def pack(trees: Sequence[Tree], pad: int, *, packed: bool) -> Mapping[str, Any]:
    """Model inputs for B trees, left-padded to T tokens.

    input_ids, position_ids (B, T); attention_mask (B, 1, T, T), True where a token (third axis)
    sees another (fourth), or for plain text (B, T). Padding sees itself alone: a row that sees
    nothing would become NaN and spoil what it is multiplied with.
    """
    import torch

    length = max(map(len, trees))
    ids = torch.full((len(trees), length), pad)
    positions = torch.zeros((len(trees), length), dtype=torch.long)
    plain = torch.zeros((len(trees), length), dtype=torch.long)
    sees = torch.eye(length, dtype=torch.bool).repeat(len(trees) if packed else 0, 1, 1)
    for row, tree in enumerate(trees):
        first, before = length - len(tree), len(tree.prefix)
        ids[row, first:] = torch.tensor(tree.prefix + tree.tokens)
        plain[row, first:] = 1
        depths = list(range(before))
        for parent in tree.parents:
            depths.append((before - 1 if parent == ROOT else depths[before + parent]) + 1)
        positions[row, first:] = torch.tensor(depths)
        if not packed:
            continue
        root = first + before
        sees[row, first:root, first:root] = torch.ones(before, before, dtype=torch.bool).tril()
        for node, parent in enumerate(tree.parents):
            sees[row, root + node] |= sees[row, root + parent]
    mask = sees[:, None] if packed else plain
    return {"input_ids": ids, "position_ids": positions, "attention_mask": mask}


def read(tree: Tree, logits: Any, stop_ids: Sequence[int]) -> list[float]:
    """logits (K, V) of a tree's last K tokens -> the log-probability of each continuation, in
    nats and float32. The prefix's last token and all nodes are among the K."""
    import torch

    logits = logits[len(logits) - len(tree.tokens) - 1 :].float()
    norms = logits.logsumexp(-1)
    above = torch.tensor(tree.parents, dtype=torch.long, device=logits.device) + 1
    tokens = torch.tensor(tree.tokens, dtype=torch.long, device=logits.device)
    steps = (logits[above, tokens] - norms[above]).tolist()
    sums: list[float] = []
    for step, parent in zip(steps, tree.parents, strict=True):
        sums.append(step + (sums[parent] if parent != ROOT else 0.0))
    found = []
    for last, end in zip(tree.lasts, tree.ends, strict=True):
        total = sums[last] if last != ROOT else 0.0
        if end:
            total += float(logits[last + 1, list(stop_ids)].logsumexp(-1) - norms[last + 1])
        found.append(total)
    return found
