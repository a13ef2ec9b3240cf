"""The offline provider answers with the draft: free, on time, never judging itself."""

import asyncio
import pickle
import time

from shared.messages import (
    ChatMessage,
    Completion,
    FailureKind,
    GenerateJob,
    Sampling,
    SlotPrompt,
)
from worker.failures import ProviderFailure
from worker.providers.base import Provider
from worker.providers.template import TemplateProvider
from worker.slots import GroupTask, Held

PROMPT = SlotPrompt(
    slot=5,
    messages=(
        ChatMessage(role="system", content="Explain well."),
        ChatMessage(role="user", content="Explain quantum computing"),
    ),
    draft="Quantum computing builds on qubit and entanglement.",
    seed=7,
)
HELD = Held(GroupTask("r", 1, "e1", "generate", 1), "tester", "", {})


def job(latency_s: float = 0.0) -> GenerateJob:
    sampling = Sampling(latency_s=latency_s)
    return GenerateJob(run="r", step=1, group="e1", prompts=(PROMPT,), sampling=sampling)


def answer(latency_s: float = 0.0) -> Completion:
    return asyncio.run(TemplateProvider().complete(PROMPT, job(latency_s), HELD))


def test_it_answers_with_the_draft() -> None:
    completion = answer()
    assert (completion.slot, completion.text) == (5, PROMPT.draft)
    assert (completion.model, completion.provider) == ("template", "template")
    assert completion.finish_reason == "stop"


def test_it_is_free_and_does_not_judge_itself() -> None:
    completion = answer()
    assert completion.cost_usd == 0
    assert completion.quality is None


def test_it_counts_words_as_tokens() -> None:
    completion = answer()
    assert (completion.prompt_tokens, completion.completion_tokens) == (5, 7)


def test_it_waits_for_the_latency() -> None:
    assert answer(latency_s=0.05).seconds >= 0.05


def test_slots_wait_side_by_side() -> None:
    async def a_hundred() -> None:
        provider: Provider = TemplateProvider()
        await asyncio.gather(*(provider.complete(PROMPT, job(0.3), HELD) for _ in range(100)))

    started = time.monotonic()
    asyncio.run(a_hundred())
    # One after the other they would take 30 s.
    assert time.monotonic() - started < 20


def test_a_provider_failure_says_what_happened_and_travels() -> None:
    failure = pickle.loads(pickle.dumps(ProviderFailure(FailureKind.DEADLINE, "too late")))
    assert (failure.kind, failure.message) == (FailureKind.DEADLINE, "too late")
    assert str(failure) == "deadline: too late"
