"""Who writes completions: the seam, one file per provider, and their names."""

from worker.calls import Caller
from worker.providers.base import Provider
from worker.providers.openrouter import OpenRouterProvider
from worker.providers.template import TemplateProvider


def providers(caller: Caller) -> dict[str, Provider]:
    """By the name that ``Sampling.provider`` carries."""
    return {"template": TemplateProvider(), "openrouter": OpenRouterProvider(caller)}
