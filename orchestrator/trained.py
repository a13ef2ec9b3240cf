"""A trained policy in people's own code: load it, plan prompts with it, have a model answer them.

    policy = Policy.load("runs/latest")
    plan = policy.plan("Explain qubits", seed=7)

Importing this loads numpy, pydantic and the standard library; what else a call needs loads then.
"""

import secrets
from pathlib import Path

from pydantic import Field, computed_field

from orchestrator import policy
from orchestrator.data_records import MAX_TEXT
from orchestrator.matching import match
from orchestrator.policy_document import PolicyDocument, read, trained, validated
from orchestrator.prompts import Prompt, build
from orchestrator.rollouts import Example
from orchestrator.run_names import run_path
from orchestrator.wording import listed, short
from shared.errors import UsageError
from shared.messages import Message
from shared.settings import redacted

RUNS_DIR = Path("runs")
REDIS_SCHEMES = ("redis://", "rediss://")


class Plan(Message):
    """What to ask for, for one text. Made by ``Policy.plan``."""

    text: str
    domain: str
    #: As it is written in the domain.
    template: str
    concepts: tuple[str, ...]
    features: tuple[str, ...]
    #: Exact log pi of this choice under the policy, in nats; of the greedy one too.
    log_prob: float
    #: What it was drawn with: the same seed, text and policy give the same plan. None: not drawn.
    seed: int | None
    policy_version: int
    #: The messages, and the filled template that the template engine answers.
    prompt: Prompt = Field(exclude=True, repr=False)

    # mypy knows no decorators above a property; pydantic wants this order.
    @computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def messages(self) -> list[dict[str, str]]:
        """What to send, as chat clients take it: ``[{"role": "system", "content": ...}, ...]``."""
        return [message.model_dump() for message in self.prompt.messages]


class Policy:
    """A trained policy: for a text, what to ask a model for. Immutable; safe to share."""

    def __init__(self, document: PolicyDocument, source: str = "policy") -> None:
        """``source`` names the policy in messages. Raises UsageError if it cannot be drawn from."""
        self.document = document
        self.source = source
        self._trained = {each.name: trained(document, each, source) for each in document.domains}

    @classmethod
    def load(cls, ref: str | Path) -> "Policy":
        """The policy of a run, or of a file.

        ``ref``: a run's folder, name or part of its name (looked for in ``runs/``), "latest", a
        ``policy.json``, an exported file, or ``redis://HOST:PORT/DB#RUN`` for the newest weights of
        a run under way. Raises UsageError for what is none, EnvironmentNotReady if Redis is away.
        """
        name = str(ref)
        if name.startswith(REDIS_SCHEMES):
            from orchestrator.live_policy import live_policy

            return cls(live_policy(name), redacted(name))
        if name.endswith(".json") or Path(name).is_file():
            return cls(read(Path(name)), name)
        if (Path(name) / "policy.json").is_file():
            return cls(read(Path(name) / "policy.json"), name)
        folder = run_path(RUNS_DIR, name)
        if (folder / "policy.json").is_file():
            return cls(read(folder / "policy.json"), name)
        from orchestrator.stored_run import unfinished_policy

        return cls(validated(unfinished_policy(folder), name), name)

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of its domains."""
        return tuple(self._trained)

    def __repr__(self) -> str:
        version = self.document.policy_version
        return f"<Policy {self.source!r}, version {version}: {', '.join(self.domains)}>"

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
        template. ``domain`` is used in place of the one that the text's words name.
        Raises UsageError for an empty text, or one that no domain matches.
        """
        found = self._trained[self._domain_of(text, domain)]
        if greedy:
            action = policy.greedy(found.params, found.space)
            log_prob = policy.log_prob(found.params, found.space, [action])[0]
        else:
            seed = secrets.randbits(31) if seed is None else seed
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
            prompt=build(Example("", text), content, action, self.document.base_prompt),
        )

    def _domain_of(self, text: str, explicit: str | None) -> str:
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
            raise UsageError(
                f"the text must be a string of 1 to {MAX_TEXT:,} characters, found {short(text)}"
            )
        contents = [each.domain for each in self._trained.values()]
        found = match(text, explicit, contents).domain
        if found is None:
            raise UsageError(
                f"{short(text)} names no domain of the policy; say which one it belongs to:"
                f" domain = {listed([repr(name) for name in self.domains], 'or')}"
            )
        return found.name
