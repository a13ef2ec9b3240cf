"""TextGeneratorModule: the seed's model. It answers, and its policy can be trained."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import data
from orchestrator.api.learner import Asked, Learner
from orchestrator.api.outputs import TextOutput, input_of, no_match, output_of
from orchestrator.config import RunConfig
from orchestrator.config_files import resolve
from orchestrator.data_records import example
from orchestrator.domains import BUILTIN_NAMES, Domain, distinct, from_table, load_domains
from orchestrator.prompts import DEFAULT_BASE_PROMPT
from orchestrator.rollouts import Example
from orchestrator.wording import short
from shared.errors import RunFailed, UsageError
from shared.settings import openrouter_model

PromptTemplate = Callable[[dict[str, Any]], str]
#: A built-in name, a file, or a domain as a table with a "name".
DomainRef = str | Path | Mapping[str, Any]
#: Refs; or name -> table, as the seed writes them.
Domains = Sequence[DomainRef] | Mapping[str, Mapping[str, Any]]

MAX_SAMPLES = 256


class TextGeneratorModule:
    """Chooses concepts, a template and features for a text's domain, and has the engine answer.

    Before it is trained it draws its choices; after a TrainingManager has trained it, ``run``
    makes the best ones. Copies are independent models that know each other's outputs.
    """

    def __init__(
        self,
        name: str = "TextGenerator",
        prompt_template: PromptTemplate | None = None,
        domains: Domains | None = None,
        base_prompt: str = DEFAULT_BASE_PROMPT,
        *,
        seed: int = 0,
        concepts_per_prompt: int | None = None,
        features_per_prompt: int = 2,
        model: str | None = None,
    ) -> None:
        """``prompt_template``: input -> what is asked; the input's own text decides the domain.

        ``model``: a slug at OpenRouter; None is that of OPENROUTER_MODEL if a key is set too, else
        the built-in template engine. ``domains``: the three built-in ones if None.
        ``concepts_per_prompt``: if None 2, and fewer where a domain has no more. Raises UsageError
        for anything that cannot work.
        """
        if prompt_template is not None and not callable(prompt_template):
            raise UsageError(
                f"prompt_template must be a function from an input to a text, such as"
                f" lambda input: f\"Explain: {{input['text']}}\", found {short(prompt_template)}"
            )
        self.name = name
        #: Whether ``run`` makes the best choices; set when a TrainingManager has trained it.
        self.trained = False
        self._prompt_template = prompt_template
        config = _config(base_prompt, seed, concepts_per_prompt, features_per_prompt, model)
        #: What learns; read by GRPOOptimizer and TrainingManager.
        self.learner = Learner(config, _domains(domains), concepts_per_prompt is None)

    def __repr__(self) -> str:
        names = ", ".join(self.learner.inputs.domains)
        return f"<{type(self).__name__} {self.name!r}: {names}>"

    def run(self, input: Mapping[str, Any], *, greedy: bool | None = None) -> TextOutput:
        """Answer ``{"text": ...}``.

        ``greedy``: make the best choices; None = where it is trained, since in a domain that has
        learnt nothing all choices are equally good. Raises UsageError for an input that is none,
        RunFailed if the engine gives no answer.
        """
        return self._answer(input, 1, greedy)[0]

    async def arun(self, input: Mapping[str, Any], *, greedy: bool | None = None) -> TextOutput:
        """``run``, without blocking the event loop."""
        return await asyncio.to_thread(self.run, input, greedy=greedy)

    def sample(
        self, input: Mapping[str, Any], count: int = 8, *, greedy: bool = False
    ) -> list[TextOutput]:
        """Answer one input ``count`` times: a group that GRPOOptimizer.update can learn from."""
        if not isinstance(count, int) or not 1 <= count <= MAX_SAMPLES:
            raise UsageError(f"count must be 1 to {MAX_SAMPLES}, not {count!r}")
        return self._answer(input, count, greedy)

    async def asample(
        self, input: Mapping[str, Any], count: int = 8, *, greedy: bool = False
    ) -> list[TextOutput]:
        """``sample``, without blocking the event loop."""
        return await asyncio.to_thread(self.sample, input, count, greedy=greedy)

    def _answer(
        self, input: Mapping[str, Any], count: int, greedy: bool | None
    ) -> list[TextOutput]:
        record = data.record_of(input, "input")
        prompt = example(record, "input", "prompt")
        asked = self.ask("", prompt)
        if asked is None:
            self.learner.count_unmatched(count)
            return [no_match(self.learner.token, prompt, self.word(prompt)) for _ in range(count)]
        digest = hashlib.blake2b(asked.text.encode(), digest_size=8).hexdigest()
        asked = asked._replace(name=f"run-{digest}")
        step = self.learner.next_step(asked.name)
        if greedy is None:
            greedy = self.trained and self.learner.has_learnt(asked.domain)
        (group,) = self.learner.generate([asked], step, count, None, greedy)
        domain = self.learner.inputs.domains[asked.domain]
        outputs = [
            output_of(self.learner.token, domain, asked.text, group, rollout)
            for rollout in group.rollouts
            if rollout.completion is not None
        ]
        if not outputs:
            failure = group.rollouts[0].failure
            raise RunFailed(f"{short(prompt.text)} got no answer: {failure and failure.message}")
        return outputs

    def add_domain(self, name: str, domain: Mapping[str, Any]) -> None:
        """Add a domain: ``{"keywords": [...], "templates": [...], "relationships": {...}}``.

        It may hold all that a domain file may. Raises UsageError naming the domain.
        """
        self.learner.add(_table(name, domain, f"add_domain({short(name)})"))

    @property
    def weights(self) -> dict[str, dict[str, float]]:
        """Domain -> concept -> how often it is asked for, shown within the seed's [0.1, 0.95].

        Presentation: the policy itself keeps exact, unbounded logits.
        """
        return self.learner.shown_weights()

    @property
    def metrics(self) -> dict[str, Any]:
        """What was generated so far and how it was rewarded, by domain."""
        return self.learner.metrics()

    def word(self, prompt: Example) -> str:
        """What is asked for an example. Raises UsageError if the prompt template gives no text."""
        if self._prompt_template is None:
            return prompt.text
        text = self._prompt_template(input_of(prompt))
        if not isinstance(text, str) or not text.strip():
            raise UsageError(
                f"{prompt.source}: prompt_template returned {short(text)}; it must return a text"
            )
        return text

    def ask(self, name: str, prompt: Example) -> Asked | None:
        """The example as a prompt under a group id; None if it matches no domain."""
        domain = self.learner.domain_of(prompt)
        return None if domain is None else Asked(name, prompt, self.word(prompt), domain)


def _config(
    base_prompt: str, seed: int, concepts: int | None, features: int, model: str | None
) -> RunConfig:
    values = {
        "model": openrouter_model() if model is None else model,
        "base_prompt": base_prompt,
        # Every output has a place for the model's own estimate.
        "self_report": True,
        "seed": seed,
        "concepts_per_prompt": 2 if concepts is None else concepts,
        "features_per_prompt": features,
    }
    return resolve(
        [], [(key, "TextGeneratorModule", value) for key, value in values.items()]
    ).config


def _domains(given: Domains | None) -> tuple[Domain, ...]:
    if given is None:
        return load_domains(BUILTIN_NAMES)
    if isinstance(given, str | Path) or not isinstance(given, Sequence | Mapping):
        raise UsageError(
            f"domains must be a list of names, files or tables, or a mapping of name to table,"
            f" found {short(given)}"
        )
    if not given:
        raise UsageError("domains is empty; leave it out for the built-in ones")
    if isinstance(given, Mapping):
        return distinct(
            _table(name, table, f"domains[{short(name)}]") for name, table in given.items()
        )
    return distinct(
        domain for at, ref in enumerate(given) for domain in _domain(ref, f"domains[{at}]")
    )


def _domain(ref: DomainRef, where: str) -> tuple[Domain, ...]:
    if isinstance(ref, str | Path):
        return load_domains([str(ref)])
    if not isinstance(ref, Mapping):
        raise UsageError(f"{where}: a domain is a name, a file or a table, found {short(ref)}")
    if "name" not in ref:
        raise UsageError(
            f"{where}: the domain has no 'name'. Add one, or write domains={{name: table}}."
        )
    return (from_table("", ref, where),)


def _table(name: str, table: Mapping[str, Any], where: str) -> Domain:
    if not isinstance(table, Mapping):
        raise UsageError(
            f"{where}: must be a table with 'keywords' and 'templates', found {short(table)}"
        )
    return from_table(name, table, where)
