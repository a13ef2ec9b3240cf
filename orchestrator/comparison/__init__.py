"""Policies side by side on prompts that they were not trained on: ``eval`` and ``ab``."""
