"""Who writes completions: the seam, one file per provider, and their names."""

from collections.abc import Callable

from worker.providers.base import Provider
from worker.providers.template import TemplateProvider

#: By the name that ``Sampling.provider`` carries.
PROVIDERS: dict[str, Callable[[], Provider]] = {"template": TemplateProvider}
