"""The 13 benchmarks of GuardReasoner's paper (arXiv 2501.18492), and our extras.

A benchmark is one (data, task): WildGuardTest, whose rows carry all three labels, is three. The
numbers of rows are those that the paper's averages weight by, as far as they can be known: with
them the row-weighted means of the printed scores are the printed averages, for all three models
(`pipelines/published.py`). Seven are also the numbers of rows of the authors' own files. For
WildGuardTest's three the averages alone would allow some rows more or less.

Licences are what the dataset's card on the Hub says, or "not stated here".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines import benchmark_columns as columns
from pipelines.dataset_files import Faults, Record
from pipelines.schema import GuardExample, GuardTask

PROMPT, REFUSAL, RESPONSE = GuardTask
XSTEST_PAPER = "XSTest (arXiv 2308.01263), labelled by WildGuard's authors (arXiv 2406.18495)"
WILDGUARD_PAPER = "WildGuard (arXiv 2406.18495)"


@dataclass(frozen=True, slots=True)
class Hub:
    """Where a benchmark lies on the Hub."""

    dataset: str
    config: str | None
    split: str
    revision: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.dataset, self.config, self.split) if part)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark on one task.

    `to_example` reads a row in the dataset's own columns, and gives None for a row that is left
    out; `arrange` picks the benchmark's rows from the dataset's, where they are not its split.
    `files` are other names that a file of it goes by. `partial` says that the file has rows
    without this task's label, which are left out. `also` are an extra's other tasks.
    `published_rows` is None where no paper says a number.
    """

    name: str
    task: GuardTask
    title: str
    hub: Hub | None
    published_rows: int | None
    paper: str
    licence: str
    about: str
    to_example: Callable[[Mapping[str, Any]], GuardExample | None]
    arrange: Callable[[Iterable[Record], Faults], list[Record]] | None = None
    files: tuple[str, ...] = ()
    partial: bool = False
    also: tuple[GuardTask, ...] = ()


def _wildguard(
    task: GuardTask, rows: int, to_example: Callable[[Mapping[str, Any]], GuardExample | None]
) -> Benchmark:
    return Benchmark(
        f"WildGuardTest{task.value.split('_')[0].capitalize()}",
        task,
        f"WildGuardTest, {task.value.replace('_', ' ')}",
        Hub("allenai/wildguardmix", "wildguardtest", "test"),
        rows,
        WILDGUARD_PAPER,
        "ODC-BY; its conditions must be accepted on the Hub",
        "Prompts, half of them adversarial, with responses, labelled by three people on all three "
        f"tasks; `{columns.WILDGUARD_LABELS[task]}` is the label, and rows without it fall out. "
        "The public file has 1,725 rows, fewer than the paper's averages ask for; what the paper "
        "counted beyond them is not known.",
        to_example,
        files=("WildGuardTest",),
        partial=True,
    )


_PAPER = (
    Benchmark(
        "ToxicChat",
        PROMPT,
        "ToxicChat",
        Hub("lmsys/toxic-chat", "toxicchat0124", "test"),
        2853,
        "ToxicChat (arXiv 2310.17389)",
        "CC-BY-NC-4.0",
        "What people really asked a chatbot. Harmful where `toxicity` is 1; of the 5,083 test rows "
        "those that a person annotated (`human_annotation`), as in WildGuard's evaluation.",
        columns.toxic_chat,
    ),
    Benchmark(
        "HarmBenchPrompt",
        PROMPT,
        "HarmBench, behaviours",
        Hub("walledai/HarmBench", "standard", "train"),
        239,
        "HarmBench (arXiv 2402.04249)",
        "MIT",
        "Behaviours to elicit, all of them harmful: a model that always says harmful scores 100. "
        "The 239 are the standard and copyright behaviours of HarmBench's own test list, which a "
        "folder may hold. The Hub's copy doesn't mark the test list: its 200 standard behaviours "
        "are read, so that figures from the Hub are of other rows than the paper's.",
        columns.harmbench_prompt,
        files=("harmbench_behaviors_text_test",),
    ),
    Benchmark(
        "OpenAIModeration",
        PROMPT,
        "OpenAI moderation",
        Hub("mmathys/openai-moderation-api-evaluation", None, "train"),
        1680,
        "A holistic approach to undesired content detection (arXiv 2208.03274)",
        "MIT",
        "Texts with eight flags: harmful where any is 1. A flag that nobody set is unknown in the "
        "dataset; it counts as not set, which may call a harmful text unharmful.",
        columns.openai_moderation,
        files=("samples-1680",),
    ),
    Benchmark(
        "AegisSafetyTest",
        PROMPT,
        "Aegis 1.0, user messages",
        Hub("nvidia/Aegis-AI-Content-Safety-Dataset-1.0", None, "test"),
        359,
        "Aegis (arXiv 2404.05993)",
        "CC-BY-4.0",
        "The test rows that are a user's message alone. Up to five people voted; as in WildGuard's "
        "evaluation the first three count, and two votes for anything but Safe make it harmful. "
        "That Needs Caution counts as harmful is that evaluation's reading, and whether "
        "GuardReasoner's authors share it is not said.",
        columns.aegis,
    ),
    Benchmark(
        "SimpleSafetyTests",
        PROMPT,
        "SimpleSafetyTests",
        Hub("Bertievidgen/SimpleSafetyTests", None, "test"),
        100,
        "SimpleSafetyTests (arXiv 2311.08370)",
        "CC-BY-2.0",
        "A hundred prompts in five areas of harm, all of them harmful: a model that always says "
        "harmful scores 100.",
        columns.simple_safety,
        files=("sst_test_cases",),
    ),
    _wildguard(PROMPT, 1756, columns.wildguard_prompt),
    Benchmark(
        "HarmBenchResponse",
        RESPONSE,
        "HarmBench, completions",
        None,
        602,
        "HarmBench (arXiv 2402.04249)",
        "not stated here",
        "Completions that three people judged, to validate HarmBench's classifier: harmful where "
        "two of them say so. No dataset on the Hub is known to hold them; the file is HarmBench's "
        "own, `text_behaviors_val_set.json`.",
        columns.harmbench_response,
        files=("text_behaviors_val_set", "harmbench_text_behaviors_val_set"),
    ),
    Benchmark(
        "SafeRLHF",
        RESPONSE,
        "PKU-SafeRLHF",
        Hub("PKU-Alignment/PKU-SafeRLHF", None, "test", "v0"),
        2000,
        "Safe RLHF (arXiv 2310.12773)",
        "CC-BY-NC-4.0",
        "A thousand prompts with a safe and an unsafe response each, drawn from the test pairs of "
        "revision v0 with the seed of WildGuard's evaluation. The authors' file has that form; "
        "that the drawn rows are the same could not be checked here. In it conversations repeat, "
        "some of them with both labels, so that no model can be right on all rows.",
        columns.safe_rlhf,
        arrange=columns.safe_rlhf_sample,
    ),
    Benchmark(
        "BeaverTails",
        RESPONSE,
        "BeaverTails",
        Hub("PKU-Alignment/BeaverTails", None, "30k_test"),
        3021,
        "BeaverTails (arXiv 2307.04657)",
        "CC-BY-NC-4.0",
        "Responses to red-teaming prompts: harmful where `is_safe` is false.",
        columns.beaver_tails,
    ),
    Benchmark(
        "XSTestResponseHarmful",
        RESPONSE,
        "XSTest responses, harmfulness",
        Hub("allenai/xstest-response", None, "response_harmfulness"),
        446,
        XSTEST_PAPER,
        "ODC-BY; its conditions must be accepted on the Hub",
        "Responses to XSTest's prompts, 78 harmful and 368 unharmful in the authors' file. The "
        "card has the two numbers the other way round.",
        columns.xstest_response,
        files=("XSTestReponseHarmful",),
    ),
    _wildguard(RESPONSE, 1768, columns.wildguard_response),
    Benchmark(
        "XSTestResponseRefusal",
        REFUSAL,
        "XSTest responses, refusal",
        Hub("allenai/xstest-response", None, "response_refusal"),
        499,
        XSTEST_PAPER,
        "ODC-BY; its conditions must be accepted on the Hub",
        "Responses to XSTest's prompts. The authors' file and the card have 449 rows; the paper's "
        "average comes out with 499 only, so that a 4 may have become a 9.",
        columns.xstest_refusal,
        files=("XSTestReponseRefusal",),
    ),
    _wildguard(REFUSAL, 1777, columns.wildguard_refusal),
)

_EXTRAS = (
    Benchmark(
        "XSTestThreeLabels",
        PROMPT,
        "XSTest, all three labels of a conversation",
        Hub("Paul/XSTest", None, "train"),
        None,
        XSTEST_PAPER,
        "of XSTest's prompts: CC-BY-4.0",
        "The two files of responses joined by conversation, with the prompt's own safe or unsafe "
        "from XSTest's list of prompts: one set of conversations on three tasks. Conversations "
        "that lack one of the labels fall out.",
        columns.xstest_prompt,
        files=("xstest_prompts", "xstest_v2_prompts"),
        also=(REFUSAL, RESPONSE),
    ),
    Benchmark(
        "OverRefusal",
        PROMPT,
        "Over-refusal: XSTest's safe prompts",
        Hub("Paul/XSTest", None, "train"),
        None,
        "XSTest (arXiv 2308.01263)",
        "of XSTest's prompts: CC-BY-4.0",
        "What should raise no alarm: safe prompts alone, their complied responses, and their "
        "unharmful responses. No row is of the positive class, so read the false-positive rate; "
        "F1 says nothing here.",
        columns.xstest_prompt,
        files=("xstest_prompts", "xstest_v2_prompts"),
        also=(REFUSAL, RESPONSE),
    ),
    Benchmark(
        "BinaryQuickTest",
        PROMPT,
        "Binary quick test",
        None,
        200,
        "none; the experiments that this project grew from",
        "not stated here",
        "Two hundred texts, `harmful` or `harmless`, balanced. Quick to run and coarse: ten rows "
        "are five points of accuracy.",
        columns.binary,
        files=("combined_test",),
    ),
)

PAPER = tuple(benchmark.name for benchmark in _PAPER)
"""The names of the paper's 13, in the order of its tables."""

BENCHMARKS: Mapping[str, Benchmark] = {one.name: one for one in (*_PAPER, *_EXTRAS)}
"""name -> benchmark; the paper's 13 first, then the extras."""
