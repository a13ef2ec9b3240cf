"""A trained policy without a run: the built-in domains, and opinions by chance."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from orchestrator.config import RunConfig
from orchestrator.domains import Domain
from orchestrator.inputs import Inputs, prepare
from orchestrator.matching import Rule
from orchestrator.policy import initial_params
from orchestrator.policy_document import FORMAT, PolicyDocument, described
from orchestrator.policy_file import policy_document
from orchestrator.rollouts import DomainWeights, Params, Weights
from orchestrator.trained import Policy

VERSION = 9


def opinionated(inputs: Inputs) -> Weights:
    """Weights that prefer some choices, the same in every test."""
    chance = np.random.default_rng(5)
    domains = {}
    for name, space in inputs.spaces.items():
        params = Params(*(chance.normal(size=size) for size in (space.n, space.T, space.m)))
        domains[name] = DomainWeights(params, reference=params)
    return Weights(VERSION, domains)


def untrained(domains: Sequence[Domain], match: Rule = None) -> Policy:
    """The start of a policy over domains without features."""
    spaces = [(domain, domain.space(1, 0)) for domain in domains]
    document = PolicyDocument(
        format=FORMAT,
        policy_version=0,
        seed=0,
        base_prompt="Answer.",
        concepts_per_prompt=1,
        features_per_prompt=0,
        deployed="greedy",
        match=match,
        domains=tuple(
            described(domain, space, initial_params(space, None)) for domain, space in spaces
        ),
    )
    return Policy(document)


def policy_file(folder: Path, config: RunConfig | None = None) -> Path:
    """``policy.json`` in ``folder``, of a run with that config."""
    inputs = prepare(config or RunConfig(seed=3))
    path = folder / "policy.json"
    document = policy_document(inputs, opinionated(inputs))
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
