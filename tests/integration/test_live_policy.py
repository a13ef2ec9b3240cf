"""The policy of a run under way, from its Redis server."""

from dataclasses import replace

import numpy as np
import pytest
from redis import Redis

from orchestrator import Policy
from orchestrator.config import RunConfig
from orchestrator.inputs import prepare
from orchestrator.policy_file import policy_document
from orchestrator.rollouts import StepReport
from orchestrator.store import Store
from shared.errors import EnvironmentNotReady, UsageError
from tests.trained_policies import VERSION, opinionated

TEXT = "Explain how qubits differ from bits"


def test_it_has_the_newest_weights_and_their_probabilities(
    empty_url: str, empty_redis: Redis, run_id: str
) -> None:
    inputs = prepare(RunConfig(seed=3))
    first = opinionated(inputs)
    moved = {
        name: replace(domain, params=domain.params.unflat(-domain.params.flat()))
        for name, domain in first.domains.items()
    }
    newest = replace(first, version=VERSION + 1, domains=moved)

    with Store(empty_redis, run_id) as store:
        store.begin(first, 1)
        store.describe(policy_document(inputs, first))
        before = Policy.load(f"{empty_url}#{run_id}")
        store.commit(newest, 1, StepReport(1, {}))
        after = Policy.load(f"{empty_url}#{run_id}")

    assert before.document.model_dump(mode="json") == policy_document(inputs, first)
    assert after.document.model_dump(mode="json") == policy_document(inputs, newest)
    probability = np.exp(after.plan(TEXT, greedy=True).log_prob)
    assert probability != pytest.approx(np.exp(before.plan(TEXT, greedy=True).log_prob))


def test_a_run_or_server_that_is_not_there_is_said_without_the_password(empty_url: str) -> None:
    password = empty_url.partition("@")[0].rpartition(":")[2]
    assert password
    for ref, kind, words in (
        (empty_url, UsageError, "names no run"),
        (f"{empty_url}#nobody", UsageError, "knows no such run"),
        (f"redis://:{password}@127.0.0.1:1/0#any", EnvironmentNotReady, "does not answer"),
    ):
        with pytest.raises(kind, match=words) as raised:
            Policy.load(ref)
        assert password not in str(raised.value)
