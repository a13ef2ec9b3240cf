"""``policy.json``: a trained policy that stands by itself, with everything needed to use it.

It holds no time, no path and no run name: the same seed gives the same bytes.
"""

from typing import Any

from orchestrator import policy
from orchestrator.inputs import Inputs
from orchestrator.rollouts import Params, Weights

FORMAT = "concept-grpo/policy@1"


def policy_document(inputs: Inputs, weights: Weights) -> dict[str, Any]:
    """The policy as JSON values: per domain the content, the logits, and the weights people see."""
    return {
        "format": FORMAT,
        "policy_version": weights.version,
        "seed": inputs.config.seed,
        "base_prompt": inputs.config.base_prompt,
        "concepts_per_prompt": inputs.config.concepts_per_prompt,
        "features_per_prompt": inputs.config.features_per_prompt,
        "deployed": "greedy",
        "domains": [_domain(inputs, weights, name) for name in inputs.domains],
    }


def _domain(inputs: Inputs, weights: Weights, name: str) -> dict[str, Any]:
    domain, space, params = inputs.domains[name], inputs.spaces[name], weights.domains[name].params
    best = policy.greedy(params, space)
    return {
        "name": domain.name,
        "aliases": list(domain.aliases),
        "concepts": dict(
            zip(domain.concepts, policy.inclusion(params, space).tolist(), strict=True)
        ),
        "templates": [template.text for template in domain.templates],
        "template_probabilities": policy.template_probabilities(params).tolist(),
        "relationships": {
            concept: [domain.features[feature] for feature in related]
            for concept, related in zip(domain.concepts, domain.related, strict=True)
        },
        "features": list(domain.features),
        "logits": _logits(params),
        "greedy": {
            "concepts": [domain.concepts[i] for i in best.concepts],
            "template": best.template,
            "features": [domain.features[i] for i in best.features],
        },
    }


def _logits(params: Params) -> dict[str, list[float]]:
    return {
        "concepts": params.theta.tolist(),
        "templates": params.phi.tolist(),
        "features": params.eta.tolist(),
    }
