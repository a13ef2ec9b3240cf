"""What a call costs: its ceiling before it leaves, and its bill when it has ended.

In whole nano-dollars, in which sums are exact. How many tokens a text has, and whether a bill
keeps to ``max_tokens``, is the other side's to say: a ceiling assumes what is usual, and every bill
that is dearer raises it for the calls that follow (``Rates``).
"""

import math
from typing import NamedTuple

from shared.messages import Price, Sampling
from shared.wire.requests import message_bytes
from shared.wire.verdicts import Answer, Billed, Classified, Verdict

NANO = 1_000_000_000
#: Characters of English text per token, low so that estimates are ceilings.
CHARACTERS_PER_TOKEN = 3


#: What is learnt of bills is raised by this much: the next text may be a little dearer.
MARGIN = 1.25


class Rates(NamedTuple):
    """What a model has been found to bill, against what is usual; no less than that."""

    #: Of the messages' texts.
    tokens_per_byte: float = 1 / CHARACTERS_PER_TOKEN
    #: Tokens billed for an answer, as a multiple of ``max_tokens``.
    completion: float = 1.0
    #: What was charged, as a multiple of what the tokens cost at the price.
    price: float = 1.0

    def raised(self, found: "Rates") -> "Rates":
        """The larger of each."""
        return Rates(*map(max, self, found))


USUAL = Rates()


class Ceiling(NamedTuple):
    """The most that one attempt may cost, in 1e-9 USD, in the parts that ``Rates`` change.

    ``worker/governor/ledger.lua`` computes the same.
    """

    #: What is around the messages, and the fee of a request.
    fixed_nusd: int = 0
    #: The messages, were each byte a token.
    bytes_nusd: int = 0
    #: ``max_tokens``.
    completion_nusd: int = 0

    def nusd(self, rates: Rates = USUAL) -> int:
        """The ceiling at these rates."""
        messages = self.bytes_nusd * rates.tokens_per_byte
        answer = self.completion_nusd * rates.completion
        # Thirds of a nano-dollar are none.
        return math.ceil((self.fixed_nusd + messages + answer) * rates.price - 1e-6)


class Bill(NamedTuple):
    """What one attempt cost. Made by ``bill``, read by whoever keeps the money."""

    #: What the endpoint named; None = it did not.
    cost_nusd: int | None
    #: Stands in for it; 0 if the price is unknown.
    estimate_nusd: int
    billed: Billed
    #: Prompt and completion; None = not said.
    tokens: int | None
    #: What it says of the model's bills, raised by the margin; None = there is no bill.
    rates: Rates | None = None


def prompt_tokens(body: bytes) -> int:
    """An upper estimate of the tokens of a request."""
    return len(body) // CHARACTERS_PER_TOKEN + 1


def cost_nusd(price: Price | None, prompt: int, completion: int) -> int:
    """What so many tokens cost, rounded up; 0 if the price is unknown."""
    if price is None:
        return 0
    dollars = price.prompt_usd * prompt + price.completion_usd * completion + price.request_usd
    return int(-(-dollars * NANO // 1))


def ceiling(body: bytes, sampling: Sampling) -> Ceiling:
    """The most that one attempt may cost; nothing if the price is unknown."""
    price = sampling.price
    if price is None:
        return Ceiling()
    answer = math.ceil(price.completion_usd * sampling.max_tokens * NANO)
    texts = math.ceil(price.prompt_usd * message_bytes(body) * NANO)
    whole = cost_nusd(price, prompt_tokens(body), sampling.max_tokens)
    return Ceiling(whole - answer - math.ceil(texts / CHARACTERS_PER_TOKEN), texts, answer)


def ceiling_nusd(body: bytes, sampling: Sampling) -> int:
    """The same at the usual rates, in 1e-9 USD."""
    return ceiling(body, sampling).nusd()


def cost_usd(found: Classified, sampling: Sampling) -> float | None:
    """What a call cost, in USD; None where that is not known.

    As the endpoint names it. One of the OpenAI API never does: its own count of tokens is the bill,
    at the price that it or the config lists. OpenRouter's bill may differ from its list.
    """
    answer, price = found.answer, sampling.price
    if found.cost_usd is not None or answer is None or price is None:
        return found.cost_usd
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    if sampling.dialect == "openrouter" or prompt is None or completion is None:
        return None
    return cost_nusd(price, prompt, completion) / NANO


def bill(found: Classified, body: bytes, sampling: Sampling) -> Bill:
    """What an attempt cost, or may have cost."""
    answer = found.answer
    if found.billed is Billed.NO:
        # What a cache repeats is free, and says all the same how many tokens there are.
        whole = answer if found.verdict is Verdict.COMPLETION else None
        rates = whole and _rates(whole, None, body, sampling)
        return Bill(0, 0, Billed.NO, 0, rates)
    lost = found.billed is Billed.PERHAPS and found.verdict is not Verdict.COMPLETION
    if lost or answer is None:
        return Bill(None, ceiling_nusd(body, sampling), Billed.PERHAPS, None)
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    estimate = cost_nusd(
        sampling.price,
        prompt_tokens(body) if prompt is None else prompt,
        answer.characters // CHARACTERS_PER_TOKEN + 1 if completion is None else completion,
    )
    cost = None if answer.cost_usd is None else round(answer.cost_usd * NANO)
    tokens = None if prompt is None or completion is None else prompt + completion
    return Bill(cost, estimate, Billed.YES, tokens, _rates(answer, cost, body, sampling))


def _rates(answer: Answer, cost: int | None, body: bytes, sampling: Sampling) -> Rates:
    """What a bill shows, with the margin where it is dearer than usual or nearly so."""
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    found = USUAL
    if prompt is not None:
        found = found._replace(tokens_per_byte=MARGIN * prompt / message_bytes(body))
    if completion is not None and completion > sampling.max_tokens:
        found = found._replace(completion=MARGIN * completion / sampling.max_tokens)
    if prompt is None or completion is None:
        due = ceiling_nusd(body, sampling)
    else:
        due = cost_nusd(sampling.price, prompt, completion)
    # Sums that round differently are no other price.
    if cost is not None and due > 0 and cost > due * 1.001 + 1:
        found = found._replace(price=MARGIN * cost / due)
    return USUAL.raised(found)
