"""Figures of verdicts against gold labels: counts, intervals, averages, tests, calibration."""
