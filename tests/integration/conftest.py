"""One OpenRouter stand-in for all integration tests, as new for each."""

from collections.abc import Iterator

import pytest

from orchestrator.standin import Running, Settings, running


@pytest.fixture(scope="session")
def shared() -> Iterator[Running]:
    """The stand-in itself; ask for ``standin`` instead."""
    with running() as standin:
        yield standin


@pytest.fixture
def standin(shared: Running) -> Running:
    """A stand-in that remembers nothing, with default settings."""
    shared.control("settings", Settings().model_dump(mode="json"))
    shared.control("reset", {})
    return shared
