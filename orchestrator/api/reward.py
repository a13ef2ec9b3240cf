"""RewardModule: the seed's evaluator, four formulas by default, your own function by subclass."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from numbers import Real
from typing import Any

from orchestrator.api import shared_engine
from orchestrator.api.awaiting import settled
from orchestrator.api.outputs import RewardResult, TextOutput
from orchestrator.config_files import resolve
from orchestrator.inputs import reward_terms
from orchestrator.ledger import GroupJob
from orchestrator.wording import short
from shared.errors import RunFailed, UsageError
from shared.messages import (
    Completion,
    GenerateJob,
    Reward,
    RewardTerm,
    Sampling,
    ScoreJob,
    SlotPrompt,
)
from shared.reward_numbers import reward_number


class RewardModule:
    """Scores outputs: length 30%, vocabulary 30%, structure 20%, quality 20%, on the workers.

    A subclass that overrides ``calculate_reward`` scores in this process instead.
    """

    def __init__(
        self,
        name: str = "QualityEvaluator",
        prompt_template: Callable[[dict[str, Any]], str] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """``weights``: part -> share, built-in parts or "module:function"; 0 = reported only.

        ``prompt_template`` is what a judge model is asked; the formulas ask nobody and leave it
        aside. Raises UsageError for weights that cannot work.
        """
        if prompt_template is not None and not callable(prompt_template):
            raise UsageError(
                "prompt_template must be a function from an output to a text,"
                f" found {short(prompt_template)}"
            )
        self.name = name
        self.prompt_template = prompt_template
        self._terms = _terms(weights)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def run(self, output: Mapping[str, Any]) -> RewardResult:
        """Score ``{"generated": ..., "quality": ...}``, best as a TextGeneratorModule made it.

        Raises UsageError for an output that is none, RunFailed if it cannot be scored.
        """
        return self.score([output])[0]

    async def arun(self, output: Mapping[str, Any]) -> RewardResult:
        """``run``, without blocking the event loop."""
        return await asyncio.to_thread(self.run, output)

    def score(self, outputs: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """Score several outputs at once."""
        checked = [_checked(output) for output in outputs]
        if not _overridden(self, "calculate_reward"):
            return _by_formulas(checked, self._terms)
        values = settled([self.calculate_reward(output) for output in checked])
        return [self._result(value) for value in values]

    def calculate_reward(self, output: TextOutput) -> float | Awaitable[float]:
        """The reward of an output, a finite number. Override it, as ``def`` or ``async def``."""
        return self.standard(output)["reward"]  # type: ignore[no-any-return]

    def standard(self, output: Mapping[str, Any]) -> RewardResult:
        """What the formulas say of an output, also where ``calculate_reward`` is overridden."""
        return _by_formulas([_checked(output)], self._terms)[0]

    @property
    def formulas(self) -> tuple[RewardTerm, ...] | None:
        """The parts that the workers compute; None if a subclass has a say in the reward."""
        own = any(_overridden(self, name) for name in ("calculate_reward", "run", "score"))
        return None if own else self._terms

    def check(self, columns: tuple[str, ...]) -> None:
        """Have the workers load functions of the user. Raises UsageError with what is wrong.

        ``columns`` are the further fields of the data.
        """
        shared_engine.check_rewards(self._terms, columns)

    def _result(self, value: object) -> RewardResult:
        try:
            reward = reward_number(value)
        except (TypeError, ValueError):
            raise UsageError(
                f"{type(self).__name__}.calculate_reward returned {short(value)};"
                " it must return a finite number"
            ) from None
        return RewardResult(reward=reward, feedback=f"Reward: {reward:.2f}", parts={})


def _overridden(module: RewardModule, method: str) -> bool:
    return getattr(type(module), method) is not getattr(RewardModule, method)


def result_of(reward: Reward) -> RewardResult:
    """A worker's reward as the seed's dictionary."""
    return RewardResult(reward=reward.value, feedback=reward.feedback, parts=dict(reward.parts))


def _terms(weights: Mapping[str, float] | None) -> tuple[RewardTerm, ...]:
    if weights is None:
        return reward_terms(resolve([], []).config)
    if not isinstance(weights, Mapping) or not weights:
        raise UsageError(
            f'weights must map parts to shares, such as {{"length": 0.5}}, found {short(weights)}'
        )
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, Real) or not float(weight) >= 0:
            raise UsageError(
                f"RewardModule: the weight of {short(name)} must be 0 or more,"
                f" found {short(weight)}"
            )
    settings = [
        ("reward_funcs", "RewardModule", list(weights)),
        ("reward_weights", "RewardModule", [float(weight) for weight in weights.values()]),
    ]
    try:
        return reward_terms(resolve([], settings).config)
    except UsageError as error:
        raise UsageError(f"RewardModule: {str(error).removeprefix('config: ')}") from None


def _checked(output: Mapping[str, Any]) -> TextOutput:
    if not isinstance(output, Mapping) or not isinstance(output.get("generated"), str):
        raise UsageError(f'an output must be like {{"generated": "..."}}, found {short(output)}')
    quality = output.get("quality")
    number = isinstance(quality, Real) and not isinstance(quality, bool)
    if quality is not None and not (number and 0 <= float(quality) <= 1):
        raise UsageError(f"an output's 'quality' must be 0 to 1, or None, found {short(quality)}")
    return output if isinstance(output, TextOutput) else TextOutput(output)


def _by_formulas(
    outputs: Sequence[TextOutput], terms: tuple[RewardTerm, ...]
) -> list[RewardResult]:
    names = [f"score-{number:04}" for number in range(len(outputs))]
    origins = [output.origin for output in outputs if output.origin]
    columns = dict.fromkeys(name for origin in origins for name in origin.example.extra)
    shared_engine.check_rewards(terms, tuple(columns))
    jobs = [_job(name, output, terms) for name, output in zip(names, outputs, strict=True)]
    known = {name: _completion(output) for name, output in zip(names, outputs, strict=True)}
    ended = shared_engine.collect(jobs, known) if jobs else {}
    results = []
    for name, output in zip(names, outputs, strict=True):
        _, reward, failure = ended[name][0]
        if reward is None:
            raise RunFailed(
                f"{short(output['generated'])} got no reward: {failure and failure.message}"
            )
        results.append(result_of(reward))
    return results


def _job(name: str, output: TextOutput, terms: tuple[RewardTerm, ...]) -> GroupJob:
    origin = output.origin
    generate = GenerateJob(
        run="",
        step=0,
        group=name,
        prompts=(SlotPrompt(slot=0, messages=(), draft="", seed=0),),
        sampling=Sampling(),
    )
    score = ScoreJob(
        run="",
        step=0,
        group=name,
        prompt=origin.example.text if origin else "",
        reference=output.reference,
        terms=origin.terms if origin else (),
        extra=dict(origin.example.extra) if origin else {},
        rewards=terms,
    )
    return GroupJob(generate, score, f"{name} x1")


def _completion(output: TextOutput) -> Completion:
    drawn = output.origin.drawn if output.origin else None
    made = drawn[1].completion if drawn else None
    finish_reason = made.finish_reason if made else "stop"
    return Completion(
        slot=0,
        text=output["generated"],
        quality=output.get("quality"),
        model=str(output.get("model") or "given"),
        provider=made.provider if made else "given",
        finish_reason=finish_reason,
    )
