"""A trained policy without a run: the built-in domains, and opinions by chance."""

import json
from pathlib import Path

import numpy as np

from orchestrator.config import RunConfig
from orchestrator.inputs import Inputs, prepare
from orchestrator.policy_file import policy_document
from orchestrator.rollouts import DomainWeights, Params, Weights

VERSION = 9


def opinionated(inputs: Inputs) -> Weights:
    """Weights that prefer some choices, the same in every test."""
    chance = np.random.default_rng(5)
    domains = {}
    for name, space in inputs.spaces.items():
        params = Params(*(chance.normal(size=size) for size in (space.n, space.T, space.m)))
        domains[name] = DomainWeights(params, reference=params)
    return Weights(VERSION, domains)


def policy_file(folder: Path, config: RunConfig | None = None) -> Path:
    """``policy.json`` in ``folder``, of a run with that config."""
    inputs = prepare(config or RunConfig(seed=3))
    path = folder / "policy.json"
    document = policy_document(inputs, opinionated(inputs))
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
