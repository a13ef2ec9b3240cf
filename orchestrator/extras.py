"""Packages that only some settings need, and what pip installs for them."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple

from shared.errors import EnvironmentNotReady


class Package(NamedTuple):
    """What is imported, and what pip calls it."""

    module: str
    pip: str


#: Name in ``report_to`` -> what it needs.
SERVICES: dict[str, Package] = {
    "tensorboard": Package("tensorboardX", "tensorboardX"),
    "wandb": Package("wandb", "wandb"),
    "mlflow": Package("mlflow", "mlflow-skinny"),
    "trackio": Package("trackio", "trackio"),
}


def require_services(names: Iterable[str]) -> None:
    """Raises EnvironmentNotReady for the first service whose package is not installed."""
    for name in names:
        package = SERVICES[name]
        if find_spec(package.module) is None:
            raise EnvironmentNotReady(
                f"report_to has {name!r}, whose package is not installed;"
                f" install it: pip install {package.pip}"
            )
