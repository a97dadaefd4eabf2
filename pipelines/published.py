"""What GuardReasoner's paper prints of its own models (arXiv 2501.18492), to stand beside ours.

Scores are F1 in PERCENT, as printed. They were computed by the authors' own rules: a failure on a
harmful row is dropped, any other counts wrong twice; and their stored predictions reproduce some
of them only nearly (`docs/evaluation.md`).
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.schema import GuardTask

SOURCE = "GuardReasoner, arXiv 2501.18492"
OVERALL = "overall"

SCORES: Mapping[str, Mapping[str, float]] = {
    "GuardReasoner-1B": {
        "ToxicChat": 72.43,
        "HarmBenchPrompt": 96.31,
        "OpenAIModeration": 70.06,
        "AegisSafetyTest": 89.34,
        "SimpleSafetyTests": 98.99,
        "WildGuardTestPrompt": 87.37,
        "HarmBenchResponse": 84.75,
        "SafeRLHF": 68.39,
        "BeaverTails": 85.84,
        "XSTestResponseHarmful": 90.12,
        "WildGuardTestResponse": 74.81,
        "XSTestResponseRefusal": 91.34,
        "WildGuardTestRefusal": 87.71,
    },
    "GuardReasoner-3B": {
        "ToxicChat": 78.20,
        "HarmBenchPrompt": 89.10,
        "OpenAIModeration": 71.87,
        "AegisSafetyTest": 91.39,
        "SimpleSafetyTests": 100.00,
        "WildGuardTestPrompt": 89.01,
        "HarmBenchResponse": 85.66,
        "SafeRLHF": 69.02,
        "BeaverTails": 86.72,
        "XSTestResponseHarmful": 91.36,
        "WildGuardTestResponse": 79.70,
        "XSTestResponseRefusal": 80.31,
        "WildGuardTestRefusal": 87.54,
    },
    "GuardReasoner-8B": {
        "ToxicChat": 78.79,
        "HarmBenchPrompt": 91.86,
        "OpenAIModeration": 72.00,
        "AegisSafetyTest": 90.18,
        "SimpleSafetyTests": 99.50,
        "WildGuardTestPrompt": 89.17,
        "HarmBenchResponse": 85.47,
        "SafeRLHF": 70.04,
        "BeaverTails": 87.60,
        "XSTestResponseHarmful": 94.34,
        "WildGuardTestResponse": 78.20,
        "XSTestResponseRefusal": 93.68,
        "WildGuardTestRefusal": 88.91,
    },
}
"""model -> benchmark -> F1 in percent."""

AVERAGES: Mapping[str, Mapping[str, float]] = {
    "GuardReasoner-1B": {
        GuardTask.PROMPT_HARMFULNESS: 77.68,
        GuardTask.RESPONSE_HARMFULNESS: 79.06,
        GuardTask.REFUSAL: 88.51,
        OVERALL: 81.75,
    },
    "GuardReasoner-3B": {
        GuardTask.PROMPT_HARMFULNESS: 80.76,
        GuardTask.RESPONSE_HARMFULNESS: 80.80,
        GuardTask.REFUSAL: 85.95,
        OVERALL: 82.50,
    },
    "GuardReasoner-8B": {
        GuardTask.PROMPT_HARMFULNESS: 81.09,
        GuardTask.RESPONSE_HARMFULNESS: 81.22,
        GuardTask.REFUSAL: 89.96,
        OVERALL: 84.09,
    },
}
"""model -> task, or OVERALL -> average F1 in percent.

A task's average weights by rows. The overall is the plain mean of the three: so the 84.09 that is
cited for the 8B model comes about, while weighted by rows over all 13 it would be 82.33. For 1B
and 3B the overall is that mean of ours, not seen in print.
"""
