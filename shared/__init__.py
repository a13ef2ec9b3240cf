"""The contract between processes: what travels, where it travels, and nothing else.

A module belongs here only if both ``orchestrator`` and ``worker`` import it (a test checks).
"""
