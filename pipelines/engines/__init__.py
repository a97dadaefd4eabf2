"""Engines turn prompts into generations; each file is one way to run a model."""
