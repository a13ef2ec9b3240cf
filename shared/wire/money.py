"""What a call costs: its ceiling before it leaves, and its bill when it has ended.

In whole nano-dollars, in which sums are exact.
"""

from typing import NamedTuple

from shared.messages import Price, Sampling
from shared.wire.verdicts import Billed, Classified, Verdict

NANO = 1_000_000_000
#: Characters of English text per token, low so that estimates are ceilings.
CHARACTERS_PER_TOKEN = 3


class Bill(NamedTuple):
    """What one attempt cost. Made by ``bill``, read by whoever keeps the money."""

    #: What the endpoint named; None = it did not.
    cost_nusd: int | None
    #: Stands in for it; 0 if the price is unknown.
    estimate_nusd: int
    billed: Billed
    #: Prompt and completion; None = not said.
    tokens: int | None


def prompt_tokens(body: bytes) -> int:
    """An upper estimate of the tokens of a request."""
    return len(body) // CHARACTERS_PER_TOKEN + 1


def cost_nusd(price: Price | None, prompt: int, completion: int) -> int:
    """What so many tokens cost, rounded up; 0 if the price is unknown."""
    if price is None:
        return 0
    dollars = price.prompt_usd * prompt + price.completion_usd * completion + price.request_usd
    return int(-(-dollars * NANO // 1))


def ceiling_nusd(body: bytes, sampling: Sampling) -> int:
    """The most that one attempt may cost; 0 if the price is unknown."""
    return cost_nusd(sampling.price, prompt_tokens(body), sampling.max_tokens)


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
        return Bill(0, 0, Billed.NO, 0)
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
    return Bill(cost, estimate, Billed.YES, tokens)
