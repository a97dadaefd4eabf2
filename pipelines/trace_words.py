"""Words of traces and conversations: stems, words that any trace may use, copied runs.

Everything here is a set or list operation over words, linear in the text, without a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

COPIED_RUN = 6
"""So many words in a row that stand in the conversation too are copied; fewer are a quotation.
Twice as many where words are pairs of characters."""

# Scripts without blanks between words are read as pairs of characters.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:['\u2019][^\W\d_]+)?")
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]+")
_SUFFIX = re.compile(r"(?:'s|\u2019s|ing|ed|es|s|ly|e)$")

_FUNCTION = """
a about above after again against all almost along already also although always am among an and
another any anything are aren't around as at away back be became because been before being below
between both but by can cannot can't could couldn't did didn't do does doesn't doing don't done down
during each either else enough etc even ever every everything few first for from further get gets
getting give given gives giving go goes going got had has hasn't have haven't having he her here
hers him himself his how however i i'd i'll i'm i've if in indeed instead into is isn't it it's its
itself just keep kind last least less let let's like likely made make makes making many may maybe me
mean means meant might mine more most much must my myself near need needs neither never next no non
none nor not nothing now of off often oh on once one ones only onto or other others otherwise our
ours out over own part per perhaps please put quite rather really regarding same say says saying
second see seem seems several shall she should shouldn't since so some someone something sometimes
still such take taken takes taking than that that's the their theirs them themselves then there
therefore these they they're thing things this those though through thus to together too toward
towards two under unless until up upon us use used using very via want wants was wasn't way ways we
well were weren't what what's whatever when where whether which while who whole whom whose why will
with within without won't would wouldn't yes yet you you're you've your yours yourself
"""
# What traces of any conversation say: the guard's own trade.
_TRADE = """
absence accept acceptable access accordance according acknowledge act action activity address
advice advise ai aim align allow alternative analysis analyze answer apply approach appropriate
article ask aspect assess assist assistance assistant associate attempt avoid aware based basis
behavior benign broad case category cause caution change check cite claim classification classified
classifier classify clear common completion compliance compliant comply concern conclude conclusion
conduct consent consequence consider consideration consistent constitute constructive contain
content context contribute controversial conversation could create creation criminal damage danger
dangerous deem deny depend describe despite detail detailed determination determine direct directly
disclaimer discourage discuss discussion disrespectful educational element emphasize encourage
endorse engage ensure especially essential ethic ethical evaluate evaluation event evidence examine
example explain explanation explicit explicitly express facilitate fact factual fall false feature
find focus follow form format fulfill further general generally generate generation genuine goal
good guard guidance guide guideline harm harmful harmfulness harmless help helpful highlight human
identify illegal illicit immoral impact implication imply importance important improper
inappropriate inciting include including indicate indication individual inform information
informative inherent inherently initial inquire inquiry instruct instruction intend intent
intention interaction interpret invite involve issue judge lack language law lawful lead legal
legality legitimate limit list malicious manner material matter mention method mild misuse moral
motive nature necessary negative neutral non-harmful note object objective observe offensive offer
openly option outcome overall overt people perform person perspective pertain phrase plan point
policy polite pose positive possible potential potentially practice present prevent problem process
prohibit promote prompt proper propose provide public purpose query question raise real reason
reasonable reasoning recognize reference reflect refrain refusal refuse regard reject relate
related relevant remain reply represent request require resource respect respectful respond
response responsible result reveal review risk safe safety scenario seek sensitive serious serve
severe similar simple simply situation society specific specify state statement step strict subject
suggest suggestion suitable summary support task tell term text therefore think thought threat tone
topic true type ultimately unacceptable unclear understand understanding unethical unharmful
unlawful unsafe user usually valid verdict violate violation violence violent way word world write
wrong
"""


def words(text: str) -> list[str]:
    """Lower-case words in order; text of unspaced scripts as pairs of characters."""
    text = text.casefold()
    if text.isascii():
        return _ASCII_WORD.findall(text)
    found: list[str] = []
    for word in _WORD.findall(text):
        if len(word) > 1 and _UNSPACED_RUN.match(word):
            found += (word[i : i + 2] for i in range(len(word) - 1))
        else:
            found.append(word)
    return found


def stem(word: str) -> str:
    """A word without its commonest English ending, six characters at most: forms of a word meet."""
    if len(word) > 4:
        word = _SUFFIX.sub("", word)
    return word[:6]


GENERIC = frozenset(stem(word) for word in words(_FUNCTION + _TRADE))


@lru_cache(100_000)
def _topic(word: str) -> str:
    """The stem of a word that is about something, else an empty text."""
    cut = stem(word)
    long = len(cut) > 2 or (len(cut) > 1 and not cut.isascii())
    return cut if long and cut not in GENERIC else ""


def content(found: Iterable[str]) -> list[str]:
    """The different stems of words about something: neither function words nor the trade's."""
    return list(topics(found))


def topics(found: Iterable[str]) -> dict[str, str]:
    """stem -> the first word that has it, of the words that `content` takes."""
    first: dict[str, str] = {}
    for word in found:
        if cut := _topic(word):
            first.setdefault(cut, word)
    return first


def foreign_share(stems: Iterable[str]) -> float:
    """The share of stems that are not in Latin letters or digits."""
    every = list(stems)
    return sum(not cut.isascii() and ord(cut[0]) > 0x24F for cut in every) / max(len(every), 1)


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation's words: the stems that it is about, and its runs of `length` words."""

    stems: frozenset[str]
    runs: frozenset[tuple[str, ...]]
    length: int

    @classmethod
    def of(cls, prompt: str, response: str | None) -> Talk:
        """Prompt and response apart, so that no run crosses from one to the other."""
        parts = [words(prompt), words(response or "")]
        stems = frozenset(content(parts[0] + parts[1]))
        unspaced = sum(bool(_UNSPACED_RUN.match(cut)) for cut in stems) * 2 > len(stems)
        length = COPIED_RUN * (2 if unspaced else 1)
        runs = {
            tuple(part[i : i + length]) for part in parts for i in range(len(part) - length + 1)
        }
        return cls(stems, frozenset(runs), length)

    def own(self, found: Sequence[str]) -> list[str]:
        """The words that don't stand in a run copied from the conversation."""
        copied: set[int] = set()
        if self.runs:
            for i in range(len(found) - self.length + 1):
                if tuple(found[i : i + self.length]) in self.runs:
                    copied.update(range(i, i + self.length))
        return [word for i, word in enumerate(found) if i not in copied]
