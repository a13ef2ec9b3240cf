"""``policy.json``: a trained policy that stands by itself, with everything needed to use it.

It holds no time, no path and no run name: the same seed gives the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator import policy
from orchestrator.inputs import Inputs
from orchestrator.rollouts import Params, Weights
from orchestrator.strict_json import parse
from orchestrator.text_files import read_text
from shared.errors import UsageError

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


def read_params(path: Path, inputs: Inputs) -> dict[str, Params]:
    """The params of each domain of ``inputs`` in a policy file.

    Raises UsageError if the file is no policy, or one for other domains.
    """
    document = parse(read_text(path, (".json",)), path)
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        for key in ("concepts_per_prompt", "features_per_prompt"):
            if document[key] != inputs.config.model_dump()[key]:
                raise ValueError(f"{key} = {document[key]!r}")
        found = {domain["name"]: domain for domain in document["domains"]}
        return {name: _params(found[name], inputs, name) for name in inputs.domains}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path}: no policy for the domains {', '.join(inputs.domains)}"
            f" ({type(error).__name__}: {error}); give the policy.json of a run over the same"
            " domains"
        ) from None


def _params(found: Mapping[str, Any], inputs: Inputs, name: str) -> Params:
    domain, space, logits = inputs.domains[name], inputs.spaces[name], found["logits"]
    texts = [template.text for template in domain.templates]
    same = list(found["concepts"]) == list(domain.concepts) and found["templates"] == texts
    if not same or found["features"] != list(domain.features):
        raise ValueError(f"other concepts, templates or features in {name!r}")
    params = Params(*(np.array(logits[f"{kind}s"], dtype=np.float64) for kind in
                      ("concept", "template", "feature")))  # fmt: skip
    if params.flat().shape != (space.d,) or not np.isfinite(params.flat()).all():
        raise ValueError(f"the logits of {name!r} do not fit")
    return params


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
