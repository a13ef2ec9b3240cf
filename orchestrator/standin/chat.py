"""``POST /chat/completions``, from the key to the reply."""

import asyncio
import json
import time
from dataclasses import dataclass, replace

from orchestrator.standin import latency
from orchestrator.standin.asking import Ask, accepted, parsed
from orchestrator.standin.cache import Kept, Wish, status_headers, wish
from orchestrator.standin.catalog import Model
from orchestrator.standin.completions import Completion
from orchestrator.standin.desk import Desk, Memory
from orchestrator.standin.draws import Draws, digest, question
from orchestrator.standin.faults import Fault, Stage
from orchestrator.standin.faults.errors import Circumstances, Refusal, error_reply, refusal
from orchestrator.standin.formats import answer
from orchestrator.standin.http import Request
from orchestrator.standin.received import Exchange
from orchestrator.standin.settings import Settings
from orchestrator.standin.streaming import events
from orchestrator.standin.tokens import count, first
from orchestrator.standin.wire import SSE_TYPE, Delivery, Reply

THOUGHTS = "The request names what to build on; I will take that in turn, briefly, with an example."


@dataclass(slots=True)
class Turn:
    """One accepted request on its way to an answer."""

    ask: Ask
    model: Model
    prompt_tokens: int
    body: bytes
    #: What is asked, whatever the run is called: the key of all that is drawn.
    asked: bytes
    key: str
    wished: Wish
    settings: Settings
    memory: Memory
    exchange: Exchange


async def reply_to(request: Request, exchange: Exchange, desk: Desk) -> Reply:
    """The reply to a chat request, whatever comes of it."""
    try:
        return await _reply(request, exchange, desk)
    except Refusal as refused:
        if exchange.fault != refused.name:
            exchange.refused = refused.name
        return refused.reply


def authorized(request: Request, settings: Settings) -> str:
    """The key of a request. Raises Refusal without a good one."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if settings.key is None:
        return key
    if scheme.lower() != "bearer" or not key:
        raise refusal("no_key")
    if key != settings.key:
        raise refusal("unauthorized")
    return key


async def _reply(request: Request, exchange: Exchange, desk: Desk) -> Reply:
    settings, memory = desk.settings, desk.memory
    key = authorized(request, settings)
    exchange.key = f"…{key[-4:]}" if key else "none"
    ask = parsed(request.body)
    body, asked = digest(request.body), question(request.body)
    exchange.asked = asked.hex()
    exchange.model, exchange.body, exchange.size = ask.model, body.hex(), len(request.body)
    ordered = memory.plan.ordered(ask.model, request.body)
    if ordered.fault is not None and ordered.fault.stage is Stage.BEFORE:
        draws = Draws(settings.seed, asked, None)
        await _strike(ordered.fault, ask, exchange, settings, draws)
    model, prompt_tokens = accepted(ask)
    wished = wish(request.headers)
    turn = Turn(ask, model, prompt_tokens, body, asked, key, wished, settings, memory, exchange)
    hit = memory.cache.find(key, body, wished)
    fault = ordered.fault
    if hit is None:
        memory.limits.check(settings, model, ask.max_tokens)
        with memory.limits.generation():
            draws = _draws(turn)
            if not ordered.decided:
                fault = memory.plan.drawn(draws)
            completion = await _generated(turn, fault, draws)
    else:
        exchange.fault = fault.name if fault else None
        completion = _replayed(turn, hit)
    if wished.use:
        exchange.cache = "MISS" if hit is None else "HIT"
    exchange.generation = completion.id
    return _packed(turn, completion, fault, hit)


def _draws(turn: Turn) -> Draws:
    nth = turn.memory.seen[turn.body]
    turn.memory.seen[turn.body] += 1
    turn.exchange.nth = nth
    return Draws(turn.settings.seed, turn.asked, nth)


async def _strike(
    fault: Fault, ask: Ask, exchange: Exchange, settings: Settings, draws: Draws
) -> None:
    exchange.fault = fault.name
    if fault.late and (wait := latency.seconds(settings, draws)):
        await asyncio.sleep(wait)
    wait_s = float(settings.retry_after_s)
    raise Refusal(
        fault.name,
        error_reply(
            fault.name, Circumstances(model=ask.model, max_tokens=ask.max_tokens, wait_s=wait_s)
        ),
    )


async def _generated(turn: Turn, fault: Fault | None, draws: Draws) -> Completion:
    """Ask the model. The client may be gone when it is done: it pays all the same."""
    if fault is not None and fault.stage is Stage.BEFORE:
        await _strike(fault, turn.ask, turn.exchange, turn.settings, draws)
    if wait := latency.seconds(turn.settings, draws):
        await asyncio.sleep(wait)
    completion = _written(turn, draws)
    if fault is not None:
        turn.exchange.fault = fault.name
        completion = fault.changes(completion) if fault.changes else completion
        completion = replace(completion, waived=not fault.billed)
    turn.memory.ledger.record(completion, turn.body, fault.name if fault else None)
    if fault is None or fault.stored:
        turn.memory.cache.keep(turn.key, turn.body, turn.wished, completion)
    return completion


def _written(turn: Turn, draws: Draws) -> Completion:
    """What the model says, within its limits."""
    ask, model = turn.ask, turn.model
    # With a seed or without temperature, a model says the same every time.
    said = draws._replace(nth=None) if ask.repeatable else draws
    source = said.source("text")
    limit = min(ask.max_tokens or model.max_completion, model.max_completion)
    thoughts = _thoughts(said) if ask.thinks(model) else None
    thinking = min(count(thoughts), limit) if thoughts else 0
    content = answer(ask, model, turn.settings, source)
    now = int(time.time())
    completion = Completion(
        id=f"gen-{now}-{draws.letters('id', 20)}",
        created=now,
        model=model,
        content=content,
        prompt_tokens=turn.prompt_tokens,
        completion_tokens=thinking + count(content),
        reasoning=first(thoughts, thinking) if thoughts else None,
        reasoning_tokens=thinking,
    )
    return completion.cut(limit - thinking) if completion.completion_tokens > limit else completion


def _thoughts(draws: Draws) -> str:
    return " ".join([THOUGHTS] * draws.source("thoughts").randint(1, 4))


def _replayed(turn: Turn, hit: Kept) -> Completion:
    # Replays are numbered by themselves: what comes after one is what would have come without.
    draws = Draws(turn.settings.seed, turn.asked, -1 - turn.memory.ledger.replays)
    now = int(time.time())
    completion = hit.completion.replayed(f"gen-{now}-{draws.letters('id', 20)}", now)
    turn.memory.ledger.record(completion, turn.body, None)
    return completion


def _packed(turn: Turn, completion: Completion, fault: Fault | None, hit: Kept | None) -> Reply:
    if hit is not None and fault is not None and fault.changes is not None:
        completion = fault.changes(completion)
    content = completion.body()
    if fault is not None and fault.shapes is not None:
        content = fault.shapes(content)
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    headers = (("X-Generation-Id", completion.id), *status_headers(turn.wished, hit))
    reply = Reply(200, body, headers)
    if turn.ask.stream:
        pieces = events(body)
        reply = Reply(200, b"".join(pieces), headers, SSE_TYPE, Delivery.PIECES, pieces)
    return fault.delivers(reply) if fault is not None and fault.delivers else reply
