"""The doctor on a server that does not let it look at everything."""

import pytest
from redis import Redis

from orchestrator.config import RunConfig
from orchestrator.doctor import examine


def test_a_server_that_refuses_its_user_is_a_finding(empty_url: str, empty_redis: Redis) -> None:
    empty_redis.execute_command("ACL", "SETUSER", "guest", "on", ">guest", "resetkeys", "+info",
                                "+select", "+ping", "+client")  # fmt: skip
    try:
        _, _, place = empty_url.rpartition("@")
        found = list(examine(RunConfig, f"redis://guest:guest@{place}"))
    finally:
        empty_redis.execute_command("ACL", "DELUSER", "guest")

    last = found[-1]
    assert (last.what, last.ok) == ("redis", False)
    assert "refuses a command that a run needs: this user has no permissions" in last.words
    assert "guest" not in last.words


def test_a_user_who_may_not_look_at_the_server_can_have_a_run_checked(
    empty_url: str, empty_redis: Redis
) -> None:
    empty_redis.execute_command("ACL", "SETUSER", "guest", "on", ">guest", "allkeys", "allchannels",
                                "+@all", "-info")  # fmt: skip
    try:
        _, _, place = empty_url.rpartition("@")
        found = list(examine(RunConfig, f"redis://guest:guest@{place}"))
    finally:
        empty_redis.execute_command("ACL", "DELUSER", "guest")

    by_name = {finding.what: finding for finding in found}
    assert by_name["redis"].ok
    assert "maxmemory-policy and append-only file not checked" in by_name["redis"].words
    assert "no worker" in by_name["workers"].words or "none alive" in by_name["workers"].words


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("redis://:wrong@{place}/0", "refuses the user or password"),
        ("redis://nobody:wrong@{place}/0", "refuses the user or password"),
        ("redis://{place}/0", "refuses the user or password"),
        ("redis://:{password}@{place}/99", "refuses: DB index is out of range"),
        ("rediss://:{password}@{place}/0", "do not agree on TLS"),
    ],
)
def test_the_refusal_of_a_server_is_told_in_its_own_words(
    server: str, address: str, words: str
) -> None:
    login, _, place = server.partition("://")[2].rpartition("@")
    url = address.format(place=place, password=login.lstrip(":"))

    *_, last = examine(RunConfig, url)

    assert (last.what, last.ok) == ("redis", False)
    assert words in last.words
    assert "does not answer" not in last.words
    assert login not in last.words
