"""GRPOOptimizer: the seed's optimizer. Outputs and rewards in, one update of the model's policy."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from orchestrator.advantages import assign
from orchestrator.algorithm import Algorithm, Clipped, Natural
from orchestrator.api.generator import TextGeneratorModule
from orchestrator.api.outputs import TextOutput
from orchestrator.config_files import SEED_NAMES, resolve
from orchestrator.rollouts import Group, Rollout, UpdateReport
from orchestrator.wording import did_you_mean, listed, short
from shared.errors import UsageError
from shared.messages import Reward

#: By the names of ``metrics.jsonl``; numbers, None where there is none, and perhaps a "note".
Metrics = dict[str, Any]

#: The parameters of GRPOOptimizer and the seed's names for them.
SEED_KEYS = {
    "learning_rate": "learningRate",
    "clip_epsilon": "clipEpsilon",
    "mini_batch_size": "miniBatchSize",
    "epochs": "epochs",
    "entropy_coef": "entropyCoef",
}
NOTHING_LEARNT = (
    "nothing was learnt: a reward is compared with the others of its group, and no input text has"
    " two outputs with rewards; draw groups with model.sample(input, 8)"
)
NO_SPREAD = "nothing to learn from: within each group all rewards are equal"


class GRPOOptimizer:
    """Group-relative policy optimisation of a TextGeneratorModule.

    Without knobs it takes the closed form (``Natural``), which has none to tune. With any of the
    seed's knobs it takes textbook passes (``Clipped``) with them.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        learning_rate: float | None = None,
        clip_epsilon: float | None = None,
        mini_batch_size: int | None = None,
        epochs: int | None = None,
        entropy_coef: float | None = None,
        algorithm: Algorithm | Mapping[str, Any] | None = None,
    ) -> None:
        """``config``: the same knobs as a dictionary, also under the seed's camelCase names.

        ``epochs`` are TrainingManager's passes over its data (1 if not given). ``algorithm``: a
        solver with all its knobs, such as ``{"solver": "clipped", "target_kl": 0.05}``. Raises
        UsageError naming the knob.
        """
        given = {
            "learning_rate": learning_rate,
            "clip_epsilon": clip_epsilon,
            "mini_batch_size": mini_batch_size,
            "epochs": epochs,
            "entropy_coef": entropy_coef,
        }
        knobs = _merged(config, {key: value for key, value in given.items() if value is not None})
        #: Passes over the data of a TrainingManager.
        self.epochs, self.algorithm = _resolved(knobs, algorithm)
        #: The metrics of every update, oldest first.
        self.history: list[Metrics] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} epochs={self.epochs} {self.algorithm!r}>"

    def update(
        self,
        model: TextGeneratorModule,
        outputs: Sequence[Mapping[str, Any]],
        rewards: Sequence[Mapping[str, Any] | float | None],
    ) -> Metrics:
        """One update from outputs of this model and their rewards; returns what it did.

        Outputs of one input text form a group. A group of one is counted and teaches nothing, as
        does an output whose reward is None; an answer without a domain never trains. Raises
        UsageError if the lengths differ, for an output of another model, and for a reward that is
        no number.
        """
        made = _made_by(model, outputs)
        if len(rewards) != len(made):
            raise UsageError(f"{len(made)} outputs, but {len(rewards)} rewards; give one each")
        scores = [_score(reward, at) for at, reward in enumerate(rewards)]
        gathered = _groups(made, scores)
        useful = [group for group in gathered if len(group.rollouts) >= 2]
        scored = assign(useful, self.algorithm)
        # Without anything to compare the policy keeps its version: nothing has happened to it.
        learnable = any(len(group.survivors()) >= 2 for group in scored)
        report = model.learner.learn(scored, self.algorithm) if learnable else None
        metrics = {
            "policy_version": model.learner.weights.version,
            **_reward_metrics(scores, made),
            "groups": len(gathered),
            "groups_of_one": len(gathered) - len(useful),
            **_report_metrics(report, len(useful)),
        }
        if report is None:
            metrics["note"] = NOTHING_LEARNT
        elif report.frac_reward_zero_std == 1:
            metrics["note"] = NO_SPREAD
        self.history.append(metrics)
        return metrics

    async def aupdate(
        self,
        model: TextGeneratorModule,
        outputs: Sequence[Mapping[str, Any]],
        rewards: Sequence[Mapping[str, Any] | float | None],
    ) -> Metrics:
        """``update``, without blocking the event loop."""
        return await asyncio.to_thread(self.update, model, outputs, rewards)


class _Score(NamedTuple):
    value: float
    parts: Mapping[str, float]
    feedback: str


class _Same(NamedTuple):
    """What outputs of one group have in common."""

    example: str
    text: str
    asked: str
    policy_version: int


def _merged(config: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs of the dictionary and of the parameters, by our names."""
    if config is not None and not isinstance(config, Mapping):
        raise UsageError(f"GRPOOptimizer takes a dictionary of knobs, found {short(config)}")
    ours = {name: key for key, seed in SEED_KEYS.items() for name in (key, seed)}
    knobs = dict(given)
    for name, value in (config or {}).items():
        if name not in ours:
            known = [*SEED_KEYS.values(), *SEED_KEYS]
            raise UsageError(
                f"GRPOOptimizer has no knob {short(name)}.{did_you_mean(str(name), known)}"
                f" It has {listed(list(SEED_KEYS.values()))}; all others are knobs of algorithm."
            )
        if ours[name] in knobs:
            raise UsageError(f"GRPOOptimizer: {name!r} is given twice; keep one of them")
        knobs[ours[name]] = value
    return knobs


def _resolved(
    knobs: Mapping[str, Any], algorithm: Algorithm | Mapping[str, Any] | None
) -> tuple[int, Algorithm]:
    solver_knobs = [key for key in knobs if key != "epochs"]
    if algorithm is not None and solver_knobs:
        raise UsageError(
            f"GRPOOptimizer: {solver_knobs[0]!r} beside algorithm; put it into the algorithm"
        )
    settings = [
        (SEED_NAMES[SEED_KEYS[key]], f"GRPOOptimizer {SEED_KEYS[key]}", value)
        for key, value in knobs.items()
    ]
    if solver_knobs:
        settings.append(("algorithm.solver", "GRPOOptimizer", "clipped"))
    elif isinstance(algorithm, Mapping):
        settings += [
            (f"algorithm.{key}", "GRPOOptimizer algorithm", value)
            for key, value in algorithm.items()
        ]
    elif algorithm is not None and not isinstance(algorithm, Natural | Clipped):
        raise UsageError(f"GRPOOptimizer: {short(algorithm)} is no algorithm")
    config = resolve([], settings).config
    chosen = algorithm if isinstance(algorithm, Natural | Clipped) else config.algorithm
    return config.num_epochs or 1, chosen


def _made_by(model: TextGeneratorModule, outputs: Sequence[Mapping[str, Any]]) -> list[TextOutput]:
    if not isinstance(model, TextGeneratorModule):
        raise UsageError(f"update takes a TextGeneratorModule first, found {short(model)}")
    made = []
    for at, output in enumerate(outputs):
        origin = output.origin if isinstance(output, TextOutput) else None
        if origin is None or origin.maker != model.learner.token:
            raise UsageError(
                f"outputs[{at}] was not made by this model, so the choice behind it is unknown;"
                " pass what model.run or model.sample returned, as it is"
            )
        assert isinstance(output, TextOutput), "only a TextOutput has an origin"
        made.append(output)
    return made


def _score(reward: Mapping[str, Any] | float | None, at: int) -> _Score | None:
    if reward is None:
        return None
    table: Mapping[str, Any] = reward if isinstance(reward, Mapping) else {"reward": reward}
    value = table.get("reward")
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UsageError(
            f"rewards[{at}] must be a finite number, or a dictionary with one under 'reward',"
            f" found {short(reward)}"
        )
    return _Score(float(value), table.get("parts") or {}, str(table.get("feedback", "")))


def _groups(outputs: Sequence[TextOutput], scores: Sequence[_Score | None]) -> list[Group]:
    together: defaultdict[_Same, list[tuple[Group, Rollout]]] = defaultdict(list)
    for output, score in zip(outputs, scores, strict=True):
        origin = output.origin
        if origin is None or origin.drawn is None:
            continue
        drawn, rollout = origin.drawn
        same = _Same(origin.example.id, origin.example.text, origin.asked, drawn.policy_version)
        slot = len(together[same])
        reward = score and Reward(
            slot=slot, value=score.value, parts=dict(score.parts), feedback=score.feedback
        )
        together[same].append((drawn, replace(rollout, slot=slot, reward=reward)))
    width = len(str(len(together)))
    return [
        replace(members[0][0], id=f"g{at:0{width}}", rollouts=tuple(r for _, r in members))
        for at, members in enumerate(together.values())
    ]


def _reward_metrics(scores: Sequence[_Score | None], outputs: Sequence[TextOutput]) -> Metrics:
    matched = [
        score
        for score, output in zip(scores, outputs, strict=True)
        if output.origin is not None and output.origin.drawn is not None
    ]
    known = [score for score in matched if score is not None]
    names = dict.fromkeys(name for score in known for name in score.parts)
    return {
        "rollouts": len(matched),
        "unmatched": len(outputs) - len(matched),
        "failed": len(matched) - len(known),
        "reward": float(np.mean([score.value for score in known])) if known else None,
        **{
            f"rewards/{name}/mean": float(
                np.mean([score.parts[name] for score in known if name in score.parts])
            )
            for name in names
        },
    }


def _report_metrics(report: UpdateReport | None, groups: int) -> Metrics:
    if report is None:
        return {"rollouts_used": 0, "groups_dropped": groups}
    return asdict(report)
