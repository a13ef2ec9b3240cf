"""What becomes of a request: planned by the policy or passed through, and told in headers."""

import itertools
import secrets
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from orchestrator.plans import Plan
from orchestrator.serve.errors import Refused
from orchestrator.serve.requests import (
    Fields,
    Unfit,
    asks_format,
    encoded,
    has_system,
    names_ours,
    parsed,
    question,
    with_instructions,
)
from orchestrator.trained import Policy
from shared.errors import UsageError

#: Says "plan", or "passthrough; reason=...". In a request, "off" asks for the latter.
HEADER = "X-Concept-Grpo"


class Outgoing(NamedTuple):
    """A request as the model will see it."""

    body: bytes
    #: What the body says.
    fields: Fields
    #: Whether the answer is asked for as server-sent events.
    stream: bool
    #: Whether the policy's plan is in it.
    planned: bool
    #: Whether the model is asked for an object around its text.
    self_report: bool
    #: What the caller is told of it, fit for headers.
    told: Mapping[str, str]
    #: The same in few words, for the access line.
    note: str


class Planner:
    """Puts one policy into requests."""

    def __init__(
        self,
        policy: Policy,
        model: str,
        *,
        greedy: bool,
        seed: int | None,
        follow_ups: bool,
        domain: str | None = None,
    ) -> None:
        """``model`` stands in where a request names none, or ours; empty: it must name one.

        ``domain``: the one that every request belongs to; None: the one that its words name.
        Not ``greedy``: each plan is drawn anew, by the request's own seed if it has one, else by
        ``seed`` and how many were drawn before.
        """
        self._policy = policy
        self._model = model
        self._greedy = greedy
        self._follow_ups = follow_ups
        self._domain = domain
        self._seeds = itertools.count(secrets.randbits(31) if seed is None else seed)

    def outgoing(self, body: bytes, wanted: bool) -> Outgoing:
        """The request to send on. Raises Refused for what is no chat request.

        A request that the policy does not fit, or where it is not ``wanted``, keeps its very bytes,
        unless its model has to be put in.
        """
        fields = parsed(body)
        ours = names_ours(fields)
        if ours:
            fields = {**fields, "model": self._own_model()}
        try:
            if not wanted:
                raise Unfit("asked")
            text = question(fields, self._follow_ups)
            plan = self._plan(text, fields.get("seed"))
            self_report = plan.self_report and not has_system(fields)
            if self_report and asks_format(fields):
                raise Unfit("response-format")
        except Unfit as unfit:
            sent = encoded(fields) if ours else body
            told = {HEADER: f"passthrough; reason={unfit}"}
            stream = fields.get("stream") is True
            return Outgoing(sent, fields, stream, False, False, told, f"passthrough: {unfit}")
        system, user = plan.messages
        planned = with_instructions(fields, system["content"], user["content"][len(text) :])
        sent = encoded(planned)
        note = f"plan: {quote(plan.domain, safe=' ')}"
        stream = fields.get("stream") is True
        return Outgoing(sent, planned, stream, True, self_report, self._told(plan), note)

    def _own_model(self) -> str:
        if not self._model:
            raise Refused(
                400,
                "no_model",
                "the request names no model, and this server has none of its own: put a model into"
                " the request, or start the server with --model",
            )
        return self._model

    def _plan(self, text: str, seed: object) -> Plan:
        drawn_with = seed if type(seed) is int and seed >= 0 else None
        if not self._greedy and drawn_with is None:
            drawn_with = next(self._seeds)
        try:
            return self._policy.plan(
                text, greedy=self._greedy, seed=drawn_with, domain=self._domain
            )
        except UsageError:
            raise Unfit("no-domain") from None

    def _told(self, plan: Plan) -> dict[str, str]:
        of_domain = next(d for d in self._policy.document.domains if d.name == plan.domain)
        return {
            HEADER: "plan",
            f"{HEADER}-Domain": _ascii([plan.domain]),
            f"{HEADER}-Concepts": _ascii(plan.concepts),
            f"{HEADER}-Features": _ascii(plan.features),
            f"{HEADER}-Template": str(of_domain.templates.index(plan.template)),
            f"{HEADER}-Policy-Version": str(plan.policy_version),
        }


def _ascii(names: Iterable[str]) -> str:
    """Percent-encoded but for blanks, so that ", " only ever stands between two names."""
    return ", ".join(quote(name, safe=" ") for name in names)
