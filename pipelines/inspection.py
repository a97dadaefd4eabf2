"""What can be told of a hard sample without a model: flags, near-duplicates, and word-level diffs.

Definitions, each in characters or words of the texts as they are stored:

- *hardness*: `hard` where the sample's task has right and wrong answers, `all_wrong` where every
  parsed answer contradicts the gold label, else `settled`.
- *label suspect*: hardness `all_wrong`. The moderator is sure of something else than the gold.
- *direction*: of the wrong answers on the sample's task. `false_alarm`: they say the positive class
  (harmful, refusal) while the gold label is the negative one; `miss`: the other way round.
- *unparsed*: answers, edits not counted, with a field that could not be read.
- *length*: characters of prompt and response together.
- *near equal*: chosen and rejected share at least 95% of their words in the same order (twice the
  longest common subsequence of words, over the words of both). Such a pair teaches little but its
  last line.
- *length gap*: one of the two has more than twice the other's characters and more than 300 more.
  Such a pair may teach length.
- *near-duplicate*: of an earlier conversation of the same job: the runs of three words of prompt
  and response, whatever their case and punctuation, have a Jaccard similarity of at least 0.8.
  The first of such conversations is no duplicate, and is what the others refer to.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from rapidfuzz.distance import Indel, LCSseq

from pipelines.hard_samples import hardness
from pipelines.schema import GuardTask, HardSample, Label

NEAR_EQUAL = 0.95
GAP_RATIO = 2
GAP_CHARACTERS = 300
NEAR_DUPLICATE = 0.8
SHINGLE_WORDS = 3

# 16 bands of 8: finds 95 in 100 pairs of similarity 0.8, 99 in 100 of 0.85; 6 in 100 of 0.5.
BANDS, BAND_ROWS = 16, 8
HASHED_TOGETHER = 2000
MAX_CANDIDATES = 20
MAX_LOOKED_UP = 200
TORN_WORDS = 6
MAX_DIFF_CELLS = 400_000_000  # the table of the diff takes an eighth of it in bytes: 50 MB

_WORDS = re.compile(r"[^\W_]+")
_WORD_AND_BLANKS = re.compile(r"\s*\S+|\s+$")

Op = Literal["equal", "insert", "delete"]


class Derived(NamedTuple):
    """What is stored beside a hard sample so that lists can be filtered by it."""

    hardness: str
    direction: str
    unparsed: int
    length: int
    near_equal: bool
    length_gap: bool
    chosen_length: int
    rejected_length: int


def derive(sample: HardSample, edited: Iterable[int] = ()) -> Derived:
    """All of it for one sample but duplicates, which need the job's others.

    `edited` are the positions of generations that a person wrote.
    """
    example, people = sample.example, set(edited)
    chosen, rejected = (
        "" if place is None else sample.generations[place].text
        for place in (sample.chosen, sample.rejected)
    )
    pair = sample.chosen is not None and sample.rejected is not None
    answers = (one for place, one in enumerate(sample.generations) if place not in people)
    return Derived(
        hardness=hardness(sample),
        direction=direction(sample.task, example.gold.get(sample.task)),
        unparsed=sum(bool(one.verdict.error) for one in answers),
        length=len(example.prompt) + len(example.response or ""),
        near_equal=pair and near_equal(chosen, rejected),
        length_gap=pair and length_gap(len(chosen), len(rejected)),
        chosen_length=len(chosen),
        rejected_length=len(rejected),
    )


def direction(task: GuardTask, gold: Label | None) -> str:
    """Which way an answer is wrong where it contradicts this gold label; empty without one."""
    if gold is None:
        return ""
    return "miss" if gold == task.labels[0] else "false_alarm"


def near_equal(chosen: str, rejected: str) -> bool:
    """Whether two texts share at least 95% of their words in the same order."""
    words = chosen.split(), rejected.split()
    return Indel.normalized_similarity(*words, score_cutoff=NEAR_EQUAL) >= NEAR_EQUAL


def length_gap(chosen: int, rejected: int) -> bool:
    """Whether of two lengths, in characters, one is more than twice and 300 above the other."""
    shorter, longer = sorted((chosen, rejected))
    return longer > GAP_RATIO * shorter and longer - shorter > GAP_CHARACTERS


def word_diff(a: str, b: str) -> list[tuple[Op, str]]:
    """What became of `a` in `b`, word by word, in as few words as possible.

    The texts of `equal` and `delete` joined are `a`, those of `equal` and `insert` are `b`. Takes
    milliseconds for texts of thousands of words. Where both differ over more than 20,000 words,
    that part counts as replaced whole.
    """
    first, second = _WORD_AND_BLANKS.findall(a), _WORD_AND_BLANKS.findall(b)
    head = _common(first, second)
    tail = _common(first[head:][::-1], second[head:][::-1])
    ends = len(first) - tail, len(second) - tail
    middle = _tidy(_changes(first[head : ends[0]], second[head : ends[1]]))
    whole: list[tuple[Op, list[str]]] = [
        ("equal", first[:head]),
        *middle,
        ("equal", first[ends[0] :]),
    ]
    return [(op, "".join(words)) for op, words in whole if words]


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words both begin with."""
    for place, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return place
    return min(len(a), len(b))


def _changes(a: list[str], b: list[str]) -> Iterator[tuple[Op, list[str]]]:
    if len(a) * len(b) > MAX_DIFF_CELLS:
        yield "delete", a
        yield "insert", b
        return
    for step in LCSseq.opcodes(a, b):
        if step.tag == "equal":
            yield "equal", a[step.src_start : step.src_end]
        else:
            yield "delete", a[step.src_start : step.src_end]
            yield "insert", b[step.dest_start : step.dest_end]


def _tidy(changes: Iterable[tuple[Op, list[str]]]) -> Iterator[tuple[Op, list[str]]]:
    """Between two equal parts at most one deletion, then one insertion.

    A single word that stays between long changes is counted with them: it would only tear apart
    what reads as one change.
    """
    gone: list[str] = []
    new: list[str] = []
    for op, words in (*changes, ("equal", list[str]())):
        if op == "delete":
            gone += words
        elif op == "insert":
            new += words
        elif len(words) == 1 and gone and new and len(gone) + len(new) >= TORN_WORDS:
            gone += words
            new += words
        else:
            if gone:
                yield "delete", gone
            if new:
                yield "insert", new
            gone, new = [], []
            if words:
                yield "equal", words


def near_duplicates(texts: Sequence[str]) -> list[int | None]:
    """For each text the index of the first that it is a near-duplicate of; None for a first one.

    Candidates come from MinHash signatures in bands (Broder 1997; Leskovec, Rajaraman and Ullman,
    Mining of Massive Datasets, chapter 3), and each is held to the true similarity. Texts of no
    words are duplicates of nothing. 100,000 texts of 1,000 characters take half a minute and
    some 700 MB.
    """
    index = _Index(texts)
    firsts: list[int | None] = []
    for place, (shingles, signature) in enumerate(_signatures(texts)):
        first = min(index.alike(shingles, signature, MAX_CANDIDATES), default=None)
        if first is None:
            index.add(place, shingles, signature)
        firsts.append(first)
    return firsts


def nearly_among(texts: Sequence[str], known: Sequence[str]) -> list[bool]:
    """For each text whether it is a near-duplicate (see `near_duplicates`) of one of `known`, all
    of which are looked up: near-duplicates of one another have neighbours of their own."""
    index = _Index(known)
    for place, (shingles, signature) in enumerate(_signatures(known)):
        index.add(place, shingles, signature)
    return [
        any(True for _ in index.alike(shingles, signature, MAX_LOOKED_UP))
        for shingles, signature in _signatures(texts)
    ]


class _Index:
    """Finds those of `texts` that were added and are alike enough."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np
        from datasketch import MinHashLSH

        self._lsh = MinHashLSH(num_perm=BANDS * BAND_ROWS, params=(BANDS, BAND_ROWS))
        self._known = np.zeros((len(texts), BANDS * BAND_ROWS), dtype=np.uint32)
        self._shingles = lru_cache(HASHED_TOGETHER)(lambda index: _shingles(texts[index]))

    def add(self, place: int, shingles: set[int], signature: Any) -> None:
        if shingles:
            self._known[place] = signature.hashvalues
            self._lsh.insert(place, signature, check_duplication=False)

    def alike(self, shingles: set[int], signature: Any, most: int) -> Iterator[int]:
        """The places of those, the likeliest first; no more than `most` are looked at, for
        thousands may share a template and be no duplicates for all that."""
        import numpy as np

        if not shingles:
            return
        candidates = np.array(sorted(self._lsh.query(signature)), dtype=np.intp)
        agreeing = (self._known[candidates] == signature.hashvalues).sum(axis=1)
        for place in candidates[np.argsort(-agreeing, kind="stable")[:most]]:
            if _alike(shingles, self._shingles(int(place))):
                yield int(place)


def _alike(a: set[int], b: set[int]) -> bool:
    """Whether two sets of shingles are alike enough."""
    return len(a & b) >= NEAR_DUPLICATE * len(a | b)


def _shingles(text: str) -> set[int]:
    """Hashes of all runs of three words; of the words together where there are fewer."""
    words = [word.encode() for word in _WORDS.findall(text.casefold())]
    if len(words) < SHINGLE_WORDS:
        return {zlib.crc32(b" ".join(words))} if words else set()
    runs = zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False)
    return {zlib.crc32(b" ".join(run)) for run in runs}


def _signatures(texts: Sequence[str]) -> Iterator[tuple[set[int], Any]]:
    """(shingles, their MinHash) of each text, hashed some at a time to be fast and small."""
    from datasketch import MinHash

    for start in range(0, len(texts), HASHED_TOGETHER):
        found = [_shingles(text) for text in texts[start : start + HASHED_TOGETHER]]
        signatures = MinHash.generator(found, num_perm=BANDS * BAND_ROWS, hashfunc=int)
        yield from zip(found, signatures, strict=True)
