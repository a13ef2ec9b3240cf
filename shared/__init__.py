"""What both sides say, to each other and to model endpoints (``wire``), and nothing else.

A module belongs here only if both ``orchestrator`` and ``worker`` import it (a test checks).
"""
