"""What is taken from the environment, and what is refused without being quoted."""

import re
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
from redis.connection import parse_url

from shared.errors import UsageError
from shared.queue import celery_app
from shared.redis_address import checked_redis_url, redacted, shows_password
from shared.settings import (
    checked_api_key,
    checked_base_url,
    openrouter_api_key,
    openrouter_base_url,
    redis_url,
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


#: What is written, and what it means: user, password, host, port, database, options of TLS.
ADDRESSES: dict[str, tuple[Any, ...]] = {
    "redis://host": (None, None, "host", 6379, 0, {}),
    "redis://host:7000/4": (None, None, "host", 7000, 4, {}),
    "redis://host?db=4": (None, None, "host", 6379, 4, {}),
    "redis://:hunter2@host/1": (None, "hunter2", "host", 6379, 1, {}),
    "redis://me:a%2Fb%3F%40c@host/1": ("me", "a/b?@c", "host", 6379, 1, {}),
    "redis://host?password=hunter2&username=me": ("me", "hunter2", "host", 6379, 0, {}),
    "redis://[::1]:7000/1": (None, None, "::1", 7000, 1, {}),
    "rediss://host/1": (None, None, "host", 6379, 1, {"ssl_cert_reqs": "required"}),
    "rediss://host?ssl_cert_reqs=none": (
        None, None, "host", 6379, 0, {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
}  # fmt: skip


@pytest.mark.parametrize(("url", "wanted"), ADDRESSES.items(), ids=ADDRESSES)
def test_an_address_means_the_same_to_every_client(url: str, wanted: tuple[Any, ...]) -> None:
    url = checked_redis_url(url, "REDIS_URL")

    ours = parse_url(url)
    tls = {name: value for name, value in ours.items() if name.startswith("ssl_")}
    login = ours.get("username"), ours.get("password")
    assert (*login, ours["host"], ours["port"], ours["db"], tls) == wanted

    celerys = celery_app(url).connection_for_write()
    reads = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
    tls = {name: reads.get(value, value) for name, value in tls.items()}
    login = celerys.userid, celerys.password
    place = celerys.hostname, celerys.port, int(celerys.virtual_host)
    assert (*login, *place, celerys.ssl or {}) == (*wanted[:5], tls)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://host/x", "the database is a whole number"),
        ("redis://host/-1", "the database is a whole number"),
        ("redis://host?db=4&dbx=5", "no option 'dbx'"),
        ("redis://host?socket_timeout=1", "known: db, username, password, ssl_cert_reqs"),
        ("redis://host?ssl_cert_reqs=none", "needs rediss://"),
        ("rediss://host?ssl_cert_reqs=maybe", "one of required, optional, none"),
        ("rediss://host?ssl_ca_certs=/no/such/file", "there is no file /no/such/file"),
        ("redis://host#run", "is not the address"),
        ("redis+socket:///tmp/redis.sock", "is not the address"),
        ("unix:///tmp/redis.sock?db=1", "is not the address"),
        ("redis://:hun/ter2@host", "is not the address"),
        ("redis://:hun#ter2@host", "is not the address"),
    ],
)
def test_an_address_that_not_every_client_understands_is_refused(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        checked_redis_url(url, "--redis")
    assert "ter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://me:hunter2@host/0", "redis://***@host/0"),
        ("redis://host/0?username=me&password=hunter2", "redis://host/0"),
        ("redis://host/0?password=hun@ter2", "redis://***"),
        ("redis://:hun?ter2@host/0", "redis://***"),
        ("redis://:hun/ter2@host/0", "redis://***"),
        ("redis://:hun#ter2@host/0#run", "redis://***"),
        ("redis://:hun@ter2@host/0#run", "redis://***@host/0#run"),
        ("redis://:hun://ter2@host/0", "redis://***"),
        ("redis://ter2:12/3@host", "redis://***"),
        ("me:hunter2@host:6379", "***@host:6379"),
        ("rediss://host/0?ssl_keyfile=/key#run", "rediss://host/0#run"),
    ],
)
def test_of_an_address_neither_user_nor_password_nor_options_are_shown(
    url: str, shown: str
) -> None:
    assert redacted(url) == shown
    assert shows_password(f"--redis={url}") == ("ter2" in url and url.startswith("redis"))


def test_address_and_password_come_from_variables_or_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REDIS_URL", "REDIS_URL_FILE", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert redis_url() is None

    (tmp_path / "url").write_text("redis://host/3\n")
    (tmp_path / "password").write_text("hunter2\n")
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "url"))
    assert redis_url() == "redis://host:6379/3"
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    assert redis_url() == "redis://:hunter2@host:6379/3"
    assert redis_url("redis://other") == "redis://:hunter2@other:6379/0"
    assert redis_url("redis://:own@other") == "redis://:own@other:6379/0"
    monkeypatch.setenv("REDIS_URL", "redis://first")
    monkeypatch.setenv("REDIS_PASSWORD", "seen/first")
    assert redis_url() == "redis://:seen%2Ffirst@first:6379/0"

    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "missing"))
    with pytest.raises(UsageError, match=r"REDIS_URL_FILE: .*missing cannot be read"):
        redis_url()
