"""The learning part of a TextGeneratorModule: its domains, its policy, its rollouts."""

import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from orchestrator import groups, policy, update
from orchestrator.algorithm import Algorithm
from orchestrator.api import shared_engine
from orchestrator.config import RunConfig
from orchestrator.domains import Domain, distinct
from orchestrator.inputs import Inputs, space
from orchestrator.ledger import GroupJob
from orchestrator.matching import match
from orchestrator.preflight import Models, preflight
from orchestrator.rollouts import DomainWeights, Example, Group, UpdateReport, Weights
from shared.messages import RewardTerm

#: The seed's bounds on the weights that people see; the policy itself has none.
LOWEST_WEIGHT, HIGHEST_WEIGHT = 0.1, 0.95

#: Not the learner's own: a model with a lock in it could not be copied.
_tallying = threading.Lock()


class Asked(NamedTuple):
    """One prompt on its way to the engine."""

    #: The group's id: with the step and the seed it decides the random numbers.
    name: str
    example: Example
    #: What is asked: the example's text through the prompt template.
    text: str
    domain: str


class Learner:
    """Domains, weights and tallies of one model."""

    def __init__(self, config: RunConfig, domains: Sequence[Domain], fit_domain: bool) -> None:
        """``fit_domain``: a domain of few concepts is asked for fewer than the config says."""
        self.token = secrets.token_hex(8)
        self.weights = Weights(0, {})
        self.inputs = Inputs(
            config,
            {},
            {},
            (),
            (),
            {},
            {},
            unmatched=(),
            ties=(),
            rewards=(),
            eval_metrics=(),
            rubric="",
            columns=(),
            files={},
        )
        self._fit_domain = fit_domain
        self._models: Models | None = None
        self._asked: Counter[str] = Counter()
        self._generated: Counter[str | None] = Counter()
        self._rewards: defaultdict[str, list[float]] = defaultdict(list)
        for domain in domains:
            self.add(domain)

    @property
    def models(self) -> Models:
        """How the model is asked. Raises UsageError or EnvironmentNotReady at the first use."""
        if self._models is None:
            self._models = preflight(self.inputs.config, ask=True)
        return self._models

    def add(self, domain: Domain) -> None:
        """Add a domain at its starting weights. Raises UsageError if it does not fit."""
        distinct([*self.inputs.domains.values(), domain])
        config = self.inputs.config
        if self._fit_domain:
            fitting = min(config.concepts_per_prompt, len(domain.concepts) - 1)
            config = config.model_copy(update={"concepts_per_prompt": fitting})
        actions = space(domain, config)
        start = policy.initial_params(actions, domain.weights)
        self.inputs = replace(
            self.inputs,
            domains={**self.inputs.domains, domain.name: domain},
            spaces={**self.inputs.spaces, domain.name: actions},
        )
        domains = {**self.weights.domains, domain.name: DomainWeights(start, reference=start)}
        self.weights = replace(self.weights, domains=domains)

    def domain_of(self, example: Example) -> str | None:
        """The example's domain; None if none matches. Raises UsageError if it names an unknown."""
        domains = list(self.inputs.domains.values())
        found = match(example.text, example.domain, domains, example.source).domain
        return found.name if found else None

    def has_learnt(self, domain: str) -> bool:
        """Whether the domain's policy has left its start."""
        weights = self.weights.domains[domain]
        return not np.array_equal(weights.params.flat(), weights.reference.flat())

    def next_step(self, name: str) -> int:
        """1, 2, ... by name: the same however calls for other names fall between."""
        with _tallying:
            self._asked[name] += 1
            return self._asked[name]

    def generate(
        self,
        asked: Sequence[Asked],
        step: int,
        slots: int,
        terms: tuple[RewardTerm, ...] | None,
        greedy: bool = False,
    ) -> tuple[Group, ...]:
        """A group of ``slots`` completions per prompt, with rewards if there are ``terms``."""
        drawn = groups.draw(
            self.inputs,
            {one.example.id: one.domain for one in asked},
            self.weights,
            [(one.name, one.example) for one in asked],
            step,
            slots,
            greedy,
        )
        jobs = [self._job(group, one.text, terms) for group, one in zip(drawn, asked, strict=True)]
        finished = groups.finish(drawn, shared_engine.collect(jobs))
        with _tallying:
            self._generated.update({group.domain: slots for group in finished})
        return finished

    def _job(self, group: Group, text: str, terms: tuple[RewardTerm, ...] | None) -> GroupJob:
        worded = replace(group, example=replace(group.example, text=text))
        inputs = replace(self.inputs, rewards=terms or ())
        job = groups.jobs(inputs, self.models, [worded], run="")[0]
        if terms is None or job.score is None:
            return job._replace(score=None, label=groups.label(group))
        # The wording is the model's, the subject is the input's: only the latter is relevance.
        score = job.score.model_copy(update={"prompt": group.example.text})
        return job._replace(score=score, label=groups.label(group))

    def learn(self, scored: Sequence[Group], algorithm: Algorithm) -> UpdateReport:
        """One update, from groups with advantages."""
        self.weights, report = update.step(self.weights, scored, algorithm, self.inputs.spaces)
        with _tallying:
            for group in scored:
                self._rewards[group.domain] += group.rewards().tolist()
        return report

    def count_unmatched(self, outputs: int) -> None:
        """Remember answers that no domain could give."""
        with _tallying:
            self._generated[None] += outputs

    def shown_weights(self) -> dict[str, dict[str, float]]:
        """Domain -> concept -> how often it is asked for, within the seed's bounds."""
        shown = {}
        for name, domain in self.inputs.domains.items():
            mu_n = policy.inclusion(self.weights.domains[name].params, self.inputs.spaces[name])
            bounded_n = np.clip(mu_n, LOWEST_WEIGHT, HIGHEST_WEIGHT)
            shown[name] = dict(zip(domain.concepts, bounded_n.tolist(), strict=True))
        return shown

    def metrics(self) -> dict[str, Any]:
        """What was generated and how it was rewarded so far."""
        with _tallying:
            domains = {
                name: {
                    "generated": self._generated[name],
                    "scored": len(self._rewards[name]),
                    "reward": float(np.mean(self._rewards[name])) if self._rewards[name] else None,
                }
                for name in self.inputs.domains
            }
            return {
                "policy_version": self.weights.version,
                "generated": self._generated.total(),
                "unmatched": self._generated[None],
                "domains": domains,
            }
