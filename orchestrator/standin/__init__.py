"""A stand-in for OpenRouter on loopback: what a client meets there, faults and bills included.

For tests, demos and benchmarks: ``orchestrator demo-openrouter`` starts one, and a run pointed at
it by OPENROUTER_BASE_URL cannot tell the difference, except that no money moves.

It knows nothing of the rest of this project, so that it can prove the client wrong.
"""

from orchestrator.standin.background import Running, running
from orchestrator.standin.settings import DEFAULT_KEY, Settings

__all__ = ["DEFAULT_KEY", "Running", "Settings", "running"]
