"""The automatic score of a reasoning trace, with the evidence for it.

    score = 0.3 label correctness + 0.3 coherence + 0.2 relevance + 0.2 specificity

Each part is in [0, 1] and computed from the text alone: no model, no network, the same result each
time. Tasks that aren't applicable (no response) are left out everywhere.

**Label correctness**: the share of the tasks with a gold label that the verdict has right; 0 where
it wasn't parsed, None where nothing is known.

**Coherence**: does the reasoning lead to the answers? The product of five shares: tasks that got an
answer; tasks reasoned about (half, where it is outside the task's own section); how far the
conclusions of each section agree with its answer (see `conclusions`; one half where it concludes
nothing readable); words that stand in a task's section (free down to one half); and words that
are no repetition (free up to a tenth repeated, nothing left at one half).

**Relevance**: is it about this conversation? The mean of two: statements that refer to the
conversation by a word of its own (full at one half of the statements), and how many different such
words are taken up (full at four, or at all where the conversation has fewer).

**Specificity**: does it say anything of its own? The mean of two: statements with two words of
substance or more, that is, neither function words nor what a guard says of any case (full at one
half), and how many different ones it uses (full at three for two statements).

A repeated statement still counts as a statement, but as one that says nothing. Words in a run of
six or more that stands in the conversation are copied: they are nobody's reference and nobody's
substance. Where the conversation is in another script than the trace, no word can be compared, and
relevance is one half.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from statistics import fmean

from pipelines.quality_checks import Check, coherence, named, relevance, specificity
from pipelines.schema import GuardExample, GuardTask, Verdict
from pipelines.trace_statements import read_statements
from pipelines.trace_words import Talk

WEIGHTS = {"label_correctness": 0.3, "coherence": 0.3, "relevance": 0.2, "specificity": 0.2}
LABEL_FREE = ("coherence", "relevance", "specificity")


@dataclass(frozen=True, slots=True)
class Quality:
    """The score of one trace. `label_correctness` is None where no gold label is known."""

    label_correctness: float | None
    coherence: float
    relevance: float
    specificity: float
    checks: tuple[Check, ...] = ()

    @property
    def total(self) -> float:
        """The weighted sum, in [0, 1]; over the three other parts where no label is known."""
        parts = {name: getattr(self, name) for name in WEIGHTS}
        known = {name: value for name, value in parts.items() if value is not None}
        weight = sum(WEIGHTS[name] for name in known)
        return float(sum(WEIGHTS[name] * value for name, value in known.items()) / weight)


def score_trace(verdict: Verdict, example: GuardExample) -> Quality:
    """The quality of a parsed trace about a conversation. Never raises; linear in the text."""
    statements = read_statements(verdict.raw, example)
    judged = [one for one in statements if one.task is None or example.applicable(one.task)]
    talk = Talk.of(example.prompt, example.response)
    correctness, first = label_correctness(verdict, example)
    coherent = coherence(verdict, example, statements)
    relevant, specific = relevance(judged, talk), specificity(judged, talk)
    return Quality(
        correctness,
        prod(check.value for check in coherent),
        fmean(check.value for check in relevant),
        fmean(check.value for check in specific),
        (*first, *coherent, *relevant, *specific),
    )


def right(verdict: Verdict, example: GuardExample) -> bool:
    """Whether the verdict is right on every applicable task with a gold label, of which there is
    one at least."""
    return label_correctness(verdict, example)[0] == 1.0


def label_correctness(verdict: Verdict, example: GuardExample) -> tuple[float | None, list[Check]]:
    """(the share of known labels that the verdict has right, or None, and its evidence)."""
    gold = example.gold
    known = [task for task in GuardTask if task in gold and example.applicable(task)]
    if not known:
        return None, []
    if verdict.error:
        text = f"the verdict can't be used: {verdict.error}"
        return 0.0, [Check("label_correctness", "verdict", 0.0, text)]
    wrong = [task for task in known if verdict.label(task) != gold[task]]
    value = 1 - len(wrong) / len(known)
    text = "every known label is right" if not wrong else f"wrong on {named(wrong)}"
    return value, [Check("label_correctness", "verdict", value, text)]
