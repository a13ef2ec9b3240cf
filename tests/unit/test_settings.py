"""What is taken from the environment, and what is refused without being quoted."""

import traceback

import pytest

from shared.errors import UsageError
from shared.settings import (
    checked_api_key,
    checked_base_url,
    openrouter_api_key,
    openrouter_base_url,
)

KEY = "sk-or-v1-" + "0123456789abcdef" * 4


@pytest.mark.parametrize("raw", [KEY, f"{KEY}\n", f"  {KEY}\r\n", f"\t{KEY}\xa0"])
def test_blanks_around_a_key_are_removed(raw: str) -> None:
    assert checked_api_key(raw) == KEY


@pytest.mark.parametrize("raw", [None, "", " \n"])
def test_no_key_is_none(raw: str | None) -> None:
    assert checked_api_key(raw) is None


@pytest.mark.parametrize(
    "raw",
    [f"Bearer {KEY}", f"{KEY}\n{KEY}", f"{KEY}é", f"\ufeff{KEY}", f"{KEY}\x00", f"{KEY}\u200b"],
)
def test_a_key_that_no_header_can_carry_is_refused_without_being_quoted(raw: str) -> None:
    with pytest.raises(UsageError, match="OPENROUTER_API_KEY holds a space") as caught:
        checked_api_key(raw)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert "0123456789" not in shown


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENROUTER_BASE_URL", " http://127.0.0.1:8080/v1/ ")
    assert openrouter_api_key() == KEY
    assert openrouter_base_url() == "http://127.0.0.1:8080/v1"
    monkeypatch.delenv("OPENROUTER_API_KEY")
    monkeypatch.setenv("OPENROUTER_BASE_URL", "")
    assert openrouter_api_key() is None
    assert openrouter_base_url() == "https://openrouter.ai/api/v1"


@pytest.mark.parametrize(
    "url",
    [
        "openrouter.ai/api/v1",
        "ftp://openrouter.ai",
        "https://",
        "https://host:port",
        "https://[::1",
        "https://ho st/v1",
        "https://host/v1?key=hunter2",
        "https://host/v1#hunter2",
        "https://me:hunter2@host/v1",
    ],
)
def test_an_address_that_requests_cannot_be_sent_below_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="OPENROUTER_BASE_URL") as caught:
        checked_base_url(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
