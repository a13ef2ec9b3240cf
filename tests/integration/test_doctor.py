"""The doctor on a server that does not let it look at everything."""

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
    assert "NoPermissionError" in last.words
    assert "guest:guest" not in last.words
