"""Everything that a run needs, examined without starting one."""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import NamedTuple

from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from orchestrator.config import RunConfig
from orchestrator.embedded import check_server, connect
from orchestrator.inputs import Inputs, prepare_new
from orchestrator.preflight import Models, preflight
from orchestrator.questions import ask
from shared.errors import ConceptGrpoError
from shared.fleet import live_workers
from shared.messages import Sampling
from shared.redis_address import redacted, refusal


class Finding(NamedTuple):
    """One line of the doctor."""

    what: str
    ok: bool
    words: str


def examine(config: Callable[[], RunConfig], server: str | None) -> Iterator[Finding]:
    """The findings in the order in which a run would meet them."""
    try:
        resolved = config()
        yield Finding("config", True, "ok")
        inputs = prepare_new(resolved)
    except ConceptGrpoError as error:
        yield Finding("config", False, str(error))
        return
    yield _data(inputs)
    try:
        models = preflight(resolved)
    except ConceptGrpoError as error:
        yield Finding("models", False, str(error))
    else:
        yield from _models(models)
    yield from _engine(server)


def _data(inputs: Inputs) -> Finding:
    concepts = sum(len(domain.concepts) for domain in inputs.domains.values())
    words = f"{len(inputs.domains)} domains, {concepts} concepts; {len(inputs.train)} prompts"
    if inputs.unmatched:
        places = ", ".join(example.source for example in inputs.unmatched[:3])
        more = ", …" if len(inputs.unmatched) > 3 else ""
        words += f"; {len(inputs.unmatched)} match no domain and are left out ({places}{more})"
        words += f"; WARNING: {inputs.left_out}" if inputs.left_out else ""
    return Finding("data", True, f"{words}; {len(inputs.heldout)} held out")


def _models(models: Models) -> Iterator[Finding]:
    if not models.all():
        yield Finding("models", True, "template engine: built in, free, offline")
        return
    key = models.key
    if key is not None:
        credit = "" if key.remaining_usd is None else f", ${key.remaining_usd:.2f} left"
        words = f"not checked: {key.unchecked}" if key.unchecked else f"ok{credit}"
        yield Finding("key", True, words)
    yield Finding("models", True, ", ".join(sampling.model for sampling in models.all()))
    for warning in models.warnings:
        yield Finding("models", True, f"warning: {warning}")
    for sampling in dict.fromkeys(s.model_dump_json() for s in models.all()):
        judge = sampling != models.generator.model_dump_json()
        yield _answer(Sampling.model_validate_json(sampling), judge)


def _answer(sampling: Sampling, judge: bool) -> Finding:
    """What comes back for one small question, asked as a run would ask."""
    try:
        came = ask(sampling, judge)
    except ConceptGrpoError as error:
        return Finding("answer", False, str(error))
    words = "; ".join([came.line, came.takes, *came.learnt])
    return Finding("answer", came.good, words)


def _engine(server: str | None) -> Iterator[Finding]:
    if server is None:
        yield Finding("engine", True, "embedded: a Valkey server and a worker start with the run")
        return
    try:
        found = check_server(server)
    except ConceptGrpoError as error:
        yield Finding("redis", False, str(error))
        return
    try:
        with connect(server) as client:
            yield from _server(client, f"{found} at {redacted(server)}")
    except RedisError as error:
        # A managed server may refuse its user what a run needs.
        words = f"{redacted(server)} refuses a command that a run needs: {refusal(error)}"
        yield Finding("redis", False, words)


def _server(client: Redis, found: str) -> Iterator[Finding]:
    try:
        memory, disk = client.info("memory"), client.info("persistence")
    except NoPermissionError as error:
        words = f"{found}; maxmemory-policy and append-only file not checked: {refusal(error)}"
        yield Finding("redis", True, words)
        yield _workers(client)
        return
    policy = str(memory.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        yield Finding("redis", True, f"{found}, noeviction")
    else:
        words = f"maxmemory-policy is {policy}: paid results could be evicted; set noeviction"
        yield Finding("redis", False, words)
    if int(disk.get("aof_enabled", 0)):
        yield Finding("redis", True, "append-only file on")
    else:
        words = "append-only file off: a restart forgets the queue; set appendonly yes"
        yield Finding("redis", False, words)
    yield _workers(client)


def _workers(client: Redis) -> Finding:
    cards = live_workers(client)
    if not cards:
        return Finding("workers", False, "none alive; start some with: orchestrator worker")
    versions = {card.version for card in cards}
    groups = sum(card.groups for card in cards)
    ours = version("concept-grpo")
    if versions != {ours}:
        words = f"versions {', '.join(sorted(versions))}, this orchestrator is {ours}"
        return Finding("workers", False, f"{words}; run the same everywhere")
    return Finding("workers", True, f"{len(cards)} online, {groups} groups at a time, all {ours}")
