"""The newest policy of a run whose state lies in a Redis server."""

from orchestrator.embedded import check_server, connect
from orchestrator.policy_document import PolicyDocument, described, trained, validated
from orchestrator.store import Store
from shared.errors import UsageError
from shared.redis_address import redacted
from shared.settings import redis_url


def live_policy(ref: str) -> PolicyDocument:
    """The policy of ``redis://HOST:PORT/DB#RUN`` with its newest weights.

    Raises UsageError for an address without a run, or a run that the server does not know,
    EnvironmentNotReady if the server does not answer.
    """
    url, _, run = ref.partition("#")
    where = redacted(ref)
    if not run:
        raise UsageError(f"{where} names no run; write redis://HOST:PORT/DB#RUN")
    server = redis_url(url, "the policy's address") or ""
    check_server(server)
    with connect(server) as redis:
        store = Store(redis, run)
        values = store.description()
        if values is None:
            raise UsageError(f"{where}: the server knows no such run")
        weights = store.weights()
    document = validated(values, where)
    found = [trained(document, domain, where) for domain in document.domains]
    newest = tuple(
        described(each.domain, each.space, weights.domains[each.domain.name].params)
        for each in found
    )
    return document.model_copy(update={"policy_version": weights.version, "domains": newest})
