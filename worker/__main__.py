"""``python -m worker``: one worker process."""

import gc
import json
import logging
import sys

import click
from redis import Redis
from redis.exceptions import RedisError

from shared.errors import ConceptGrpoError
from shared.fleet import live_workers
from shared.keys import LEASE_TTL_S, LONGEST_LEASE_S
from shared.queue import QUEUES
from shared.redis_address import redacted
from shared.settings import redis_url
from shared.terminal import print_harmlessly
from worker.consumer import exit_code
from worker.tasks import build_app, default_name


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--groups",
    envvar="WORKER_GROUPS",
    default=32,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Groups at a time.",
)
@click.option("-n", "--name", default=None, help="Unique name  [default: host-pid]")
@click.option(
    "-Q", "--queues", default=",".join(QUEUES), show_default=True, help="Queues to take work from."
)
@click.option(
    "--lease-s",
    envvar="WORKER_LEASE_S",
    default=LEASE_TTL_S,
    show_default=True,
    type=click.FloatRange(1, LONGEST_LEASE_S),
    help="Seconds after which the groups of a worker that died go to others.",
)
@click.option(
    "--healthy",
    is_flag=True,
    help="Do not work: exit 0 if a worker of this host has a fresh heartbeat, else 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Say on stdout who works, as a JSON line.")
def main(
    groups: int, name: str | None, queues: str, lease_s: float, healthy: bool, as_json: bool
) -> None:
    """Take groups from the queues of the Redis server at REDIS_URL, generate and score them."""
    print_harmlessly()
    if healthy:
        sys.exit(0 if _heartbeat_of_this_host() else 1)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for chatty in ("httpx", "celery.worker.strategy", "celery.app.trace", "kombu"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Messages come by the thousand and hold no cycles.
    gc.set_threshold(20_000, 20, 20)
    chosen = tuple(queue.strip() for queue in queues.split(",") if queue.strip())
    if unknown := sorted(set(chosen) - set(QUEUES)) or (not chosen and ["nothing"]):
        raise click.UsageError(f"no queue {unknown[0]!r}; choose from {', '.join(QUEUES)}")
    name = name or default_name()
    try:
        app = build_app(name, groups, chosen, lease_s)
    except ConceptGrpoError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    server = redacted(redis_url() or "")
    if as_json:
        card = {"worker": name, "groups": groups, "queues": chosen, "redis": server}
        click.echo(json.dumps(card))
    else:
        click.echo(f"worker {name}: {groups} groups at a time from {server}", err=True)
    app.worker_main([
        "--quiet", "worker", "--pool=threads", f"--concurrency={groups}", f"--hostname={name}@%h",
        f"--queues={','.join(chosen)}", "--without-gossip", "--without-mingle",
        "--loglevel=WARNING",
    ])  # fmt: skip
    sys.exit(exit_code())


def _heartbeat_of_this_host() -> bool:
    host = default_name().rpartition("-")[0]
    try:
        with Redis.from_url(
            redis_url() or "", decode_responses=True, socket_timeout=2, socket_connect_timeout=2
        ) as redis:
            return any(card.name.startswith(f"{host}-") for card in live_workers(redis))
    except (RedisError, ValueError):
        return False


if __name__ == "__main__":
    main()
