"""``policy.json`` of a run: written, and read back for the same domains."""

from pathlib import Path
from typing import Any

from orchestrator.inputs import Inputs
from orchestrator.policy_document import (
    FORMAT,
    DomainPolicy,
    Generator,
    PolicyDocument,
    described,
    trained,
    validated,
)
from orchestrator.prompts import system_message
from orchestrator.rollouts import Params, Weights
from orchestrator.strict_json import parse
from orchestrator.text_files import read_text
from shared.errors import UsageError


def policy_document(inputs: Inputs, weights: Weights) -> dict[str, Any]:
    """The policy as JSON values: per domain the content, the logits, and the weights people see."""
    config = inputs.config
    sampled = ("model", "max_tokens", "temperature", "top_p", "routing")
    asked = {key: value for key, value in config.model_dump().items() if key in sampled}
    return PolicyDocument(
        format=FORMAT,
        policy_version=weights.version,
        seed=config.seed,
        base_prompt=system_message(config),
        self_report=config.asks_self_report(),
        concepts_per_prompt=config.concepts_per_prompt,
        features_per_prompt=config.features_per_prompt,
        deployed="greedy",
        match=config.match,
        generator=Generator(**asked) if config.model else None,
        domains=tuple(
            described(domain, inputs.spaces[name], weights.domains[name].params)
            for name, domain in inputs.domains.items()
        ),
    ).model_dump(mode="json")


def read_params(path: Path, inputs: Inputs) -> dict[str, Params]:
    """The params of each domain of ``inputs`` in a policy file.

    Raises UsageError if the file is no policy, or one for other domains.
    """
    values = parse(read_text(path, (".json",)), path)
    try:
        document = validated(values, str(path))
        if document.concepts_per_prompt != inputs.config.concepts_per_prompt:
            raise ValueError(f"concepts_per_prompt = {document.concepts_per_prompt}")
        if document.features_per_prompt != inputs.config.features_per_prompt:
            raise ValueError(f"features_per_prompt = {document.features_per_prompt}")
        domains = {domain.name: domain for domain in document.domains}
        return {name: _params(document, domains[name], inputs) for name in inputs.domains}
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"{path}: no policy for the domains {', '.join(inputs.domains)}"
            f" ({type(error).__name__}: {error}); give the policy.json of a run over the same"
            " domains"
        ) from None


def _params(document: PolicyDocument, domain: DomainPolicy, inputs: Inputs) -> Params:
    found, ours = trained(document, domain, "its"), inputs.domains[domain.name]
    content = (found.domain.concepts, found.domain.templates, found.domain.related)
    if content != (ours.concepts, ours.templates, ours.related):
        raise ValueError(f"other concepts, templates or features in {domain.name!r}")
    return found.params
