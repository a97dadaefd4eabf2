"""Evaluations side by side: tables, pairs, groups of mistakes, trends."""
