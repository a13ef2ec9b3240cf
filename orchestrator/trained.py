"""A trained policy in people's own code: load it, plan prompts with it, have a model answer them.

    policy = Policy.load("runs/latest")
    plan = policy.plan("Explain qubits", seed=7)

Importing this loads numpy, pydantic and the standard library; what else a call needs loads then.
"""

import asyncio
import operator
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import policy
from orchestrator.data_records import MAX_TEXT
from orchestrator.matching import match
from orchestrator.plans import Plan, Reply, answered, drafted
from orchestrator.policy_document import (
    FORMAT,
    PolicyDocument,
    Trained,
    described,
    read,
    trained,
    validated,
)
from orchestrator.prompts import build
from orchestrator.rollouts import Action, Example
from orchestrator.run_names import find_run
from orchestrator.wording import listed, short
from shared.errors import EnvironmentNotReady, UsageError
from shared.redis_address import redacted

if TYPE_CHECKING:
    from orchestrator.preflight import Models

RUNS_DIR = Path("runs")
#: Seconds that a text may take, its waits and repeated calls included; and one call of them.
TIMEOUT_S, CALL_TIMEOUT_S = 120.0, 90.0
REDIS_SCHEMES = ("redis://", "rediss://")


class Policy:
    """A trained policy: for a text, what to ask a model for. Immutable; safe to share."""

    def __init__(self, document: PolicyDocument, source: str = "policy") -> None:
        """``source`` names the policy in messages. Raises UsageError if it cannot be drawn from."""
        self.document = document
        self.source = source
        self._trained = {each.name: trained(document, each, source) for each in document.domains}
        self._choices: dict[str, tuple[Action, float]] = {}

    @classmethod
    def load(cls, ref: str | Path) -> "Policy":
        """The policy of a run, or of a file.

        ``ref``: a run's folder, name or part of its name (looked for in ``runs/``), "latest", a
        ``policy.json``, an exported file, or ``redis://HOST:PORT/DB#RUN`` for the newest weights of
        a run under way. Raises UsageError for what is none, EnvironmentNotReady if Redis is away.
        """
        name = str(ref)
        if name.startswith(REDIS_SCHEMES):
            with _whole_installation("a policy in Redis"):
                from orchestrator.live_policy import live_policy

            return cls(live_policy(name), redacted(name))
        if name.endswith(".json") or _is_file(Path(name)):
            return cls(read(Path(name)), name)
        if _is_file(Path(name) / "policy.json"):
            return cls(read(Path(name) / "policy.json"), name)
        folder = find_run(RUNS_DIR, name)
        if _is_file(folder / "policy.json"):
            return cls(read(folder / "policy.json"), name)
        with _whole_installation("a run that has not ended"):
            from orchestrator.stored_run import unfinished_policy

        return cls(validated(unfinished_policy(folder), name), name)

    def exported(self) -> PolicyDocument:
        """The policy as a document of the newest format, whatever it was loaded from."""
        domains = tuple(described(*each) for each in self._trained.values())
        return self.document.model_copy(update={"format": FORMAT, "domains": domains})

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of its domains."""
        return tuple(self._trained)

    def __repr__(self) -> str:
        version = self.document.policy_version
        return f"<Policy {self.source!r}, version {version}: {', '.join(self.domains)}>"

    def describe(self) -> str:
        """The deployed choice of each domain, and how often each concept is asked for."""
        lines = []
        for domain in self.exported().domains:
            best = domain.greedy
            chosen = [*best.concepts, f"template {best.template + 1}", *best.features]
            ranked = sorted(domain.concepts.items(), key=lambda pair: -pair[1])
            lines += [
                f"{domain.name}: {' + '.join(chosen)}",
                "  " + "  ".join(f"{concept} {share:.2f}" for concept, share in ranked),
            ]
        return "\n".join(lines)

    def check_domain(self, name: str) -> None:
        """Raises UsageError if the policy has no such domain."""
        match("", name, [each.domain for each in self._trained.values()])

    def plan(
        self,
        text: str,
        *,
        seed: int | None = None,
        greedy: bool = False,
        domain: str | None = None,
    ) -> Plan:
        """Choose concepts, a template and features for ``text``.

        Drawn with ``seed``, or with a fresh one that the plan then carries; ``greedy`` takes the
        deployed choice: the likeliest concepts, of their features the likeliest, and the likeliest
        template. ``domain`` is used in place of the one that the text's words name;
        a policy of one domain needs neither.
        Raises UsageError for an empty text, one that no domain matches, a seed that is none.
        """
        found = self._trained[self._domain_of(text, domain)]
        if greedy:
            action, log_prob = self._deployed(found)
        else:
            seed = secrets.randbits(31) if seed is None else _whole(seed)
            uniforms_1U = policy.uniforms((seed, 0, text), 1, found.space.uniforms_needed)
            (action,), (log_prob,) = policy.draw(found.params, found.space, uniforms_1U)
        content = found.domain
        return Plan(
            text=text,
            domain=content.name,
            template=content.templates[action.template].text,
            concepts=tuple(content.concepts[i] for i in action.concepts),
            features=tuple(content.features[i] for i in action.features),
            log_prob=float(log_prob),
            seed=seed,
            policy_version=self.document.policy_version,
            self_report=self.document.self_report,
            prompt=build(Example("", text), content, action, self.document.base_prompt),
        )

    def generate(
        self,
        text: str,
        *,
        model: str | None = None,
        seed: int | None = None,
        greedy: bool = False,
        domain: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Reply:
        """Plan, and have a model of OpenRouter answer: the bytes are those of training.

        ``model`` is a slug; None is the template engine, which fills the plan's template, free.
        What is None besides is as the policy was trained. The key comes from OPENROUTER_API_KEY,
        another endpoint from OPENROUTER_BASE_URL. ``timeout_s`` holds for all waits and repeated
        calls together. Raises UsageError for what cannot be asked, EnvironmentNotReady for an
        endpoint, key or credit that is not there, RunFailed if the model gives no answer.
        """
        if _in_event_loop():
            raise UsageError(
                "generate() would block the event loop that is running here; write:"
                " reply = await policy.agenerate(...)"
            )
        return asyncio.run(
            self.agenerate(
                text,
                model=model,
                seed=seed,
                greedy=greedy,
                domain=domain,
                max_tokens=max_tokens,
                temperature=temperature,
                timeout_s=timeout_s,
            )
        )

    async def agenerate(
        self,
        text: str,
        *,
        model: str | None = None,
        seed: int | None = None,
        greedy: bool = False,
        domain: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Reply:
        """``generate``, without blocking the event loop; any number of them at the same time."""
        plan = self.plan(text, seed=seed, greedy=greedy, domain=domain)
        if model is None:
            return drafted(plan)
        with _whole_installation("asking a model"):
            from orchestrator.asking import asker_of_loop

        models = await asyncio.to_thread(
            self.models_for,
            model,
            max_tokens=max_tokens,
            temperature=temperature,
            timeout_s=timeout_s,
        )
        return await answered(asker_of_loop(models.generator), plan)

    def models_for(
        self,
        model: str,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout_s: float = TIMEOUT_S,
        max_cost_usd: float | None = None,
        prices: Mapping[str, tuple[float, float]] | None = None,
    ) -> "Models":
        """How ``generate`` asks a model, checked with its endpoint. Raises as ``generate`` does."""
        from orchestrator.asking import models_for

        trained = self.document.generator
        settings = trained.model_dump(exclude={"model"}) if trained else {}
        if trained and trained.model != model:
            # Who hosts one model does not host another.
            del settings["routing"]
        settings["self_report"] = self.document.self_report
        given = {"max_tokens": max_tokens, "temperature": temperature}
        settings |= {key: value for key, value in given.items() if value is not None}
        return models_for(
            model,
            **settings,
            max_cost_usd=max_cost_usd,
            prices=prices,
            slot_timeout_s=timeout_s,
            request_timeout_s=min(timeout_s, CALL_TIMEOUT_S),
        )

    def _deployed(self, found: Trained) -> tuple[Action, float]:
        """The greedy choice and its log-probability: the same for every text of a domain."""
        name = found.domain.name
        if name not in self._choices:
            action = policy.greedy(found.params, found.space)
            log_prob = policy.log_prob(found.params, found.space, [action])[0]
            self._choices[name] = action, float(log_prob)
        return self._choices[name]

    def _domain_of(self, text: str, explicit: str | None) -> str:
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
            raise UsageError(
                f"the text must be a string of 1 to {MAX_TEXT:,} characters, found {short(text)}"
            )
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(f"{short(text)} holds what is no character; give it as UTF-8")
        contents = [each.domain for each in self._trained.values()]
        found = match(text, explicit, contents, rule=self.document.match).domain
        if found is None:
            first = self.domains[0]
            raise UsageError(
                f"{short(text)} names no domain of the policy; say which one it belongs to,"
                f" {listed([repr(name) for name in self.domains], 'or')}:"
                f" --domain {shlex.quote(first)} (in Python: domain={first!r})"
            )
        return found.name


def _is_file(path: Path) -> bool:
    """Whether there is such a file; no for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _whole(seed: int) -> int:
    try:
        return operator.index(seed)
    except TypeError:
        raise UsageError(f"the seed must be a whole number, found {short(seed)}") from None


@contextmanager
def _whole_installation(what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise EnvironmentNotReady(
            f"{what} needs the module {error.name}: install concept-grpo with its dependencies"
        ) from None


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
