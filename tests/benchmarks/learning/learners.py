"""Every learner by name: the setting in use, and all settings that tuning could choose from.

Each was tuned on the tuning seeds alone (``tuning.py``), by the deployed policy's mean fraction
over E1 to E4 after 64, 256 and 1,024 calls; the table uses other seeds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

from orchestrator.algorithm import Algorithm, Clipped, Natural
from orchestrator.space import Space
from tests.benchmarks.learning.bdpl import Bdpl, BdplKnobs
from tests.benchmarks.learning.learner import Batches, Learner, Recipe
from tests.benchmarks.learning.ours import Ours
from tests.benchmarks.learning.search import CrossEntropy, CrossEntropyKnobs, RandomSearch
from tests.benchmarks.learning.seed import SeedUpdate
from tests.benchmarks.learning.thompson import LinearThompson, ThompsonKnobs
from tests.benchmarks.learning.tpe import Tpe, TpeKnobs

#: Eight prompts of eight slots throughout, as a run has them; or two until 256 calls are made.
WHOLE, GROWING = Batches(8, few=8), Batches(8, few=2)
#: What tuning could choose: how many calls a step has until 256 are made.
BATCHES: Mapping[str, Batches] = {"64": WHOLE, "16": GROWING, "8": Batches(8, few=1)}
ONE_PROMPT = Batches(1, few=1)


class Entry(NamedTuple):
    """A learner of the table."""

    label: str
    #: Every setting that tuning could choose, by name.
    settings: Mapping[str, Recipe]
    #: The one that it chose.
    chosen: str
    #: What else was done for it on the tuning seeds, in words.
    effort: str = ""

    @property
    def recipe(self) -> Recipe:
        return self.settings[self.chosen]


def _settings(
    learner: Callable[[Any, Space, int], Learner], knobs: Iterable[Any], batches: Iterable[str]
) -> Mapping[str, Recipe]:
    """Every combination of knobs and batches, named by what differs from the default."""
    return {
        f"{_words(one)}, first {size}": Recipe(partial(learner, one), BATCHES[size])
        for one in knobs
        for size in batches
    }


def _words(knobs: Any) -> str:
    if isinstance(knobs, Natural | Clipped):
        held = knobs.model_dump(exclude_defaults=True)
        held.pop("solver", None)
    else:
        held = knobs._asdict()
    return (
        " ".join(
            f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in held.items()
        )
        or "defaults"
    )


def _clipped(
    optimizer: str, rates: Iterable[float], passes: Iterable[int], **others: Any
) -> list[Algorithm]:
    return [
        Clipped.model_validate(
            {"optimizer": optimizer, "learning_rate": rate, "num_iterations": count, **others}
        )
        for rate in rates
        for count in passes
    ]


def _tuned(optimizer: str, rates: Sequence[float], most: int) -> Mapping[str, Recipe]:
    """Clipped GRPO: rates by passes by batches by scale, and more around the middle of them."""
    low, middle = (rates[0] / 2, *rates[:2]), rates[:3]
    wide = _clipped(optimizer, rates, (1, most)) + _clipped(
        optimizer, rates, (1, most), scale_rewards="batch"
    )
    return {
        **_settings(Ours, wide, ("64", "16")),
        **_settings(Ours, _clipped(optimizer, rates, (1, most), entropy_coef=0.05), ("16",)),
        **_settings(Ours, _clipped(optimizer, rates[2:], (most,), entropy_coef=0.1), ("16",)),
        **_settings(Ours, _clipped(optimizer, low, (20 if most == 10 else 10,)), ("16",)),
        **_settings(Ours, _clipped(optimizer, middle, (1, most)), ("8",)),
    }


def _seed_update(space: Space, seed: int) -> SeedUpdate:
    return SeedUpdate(space, seed)


#: TRL 0.2x GRPOConfig: learning_rate 1e-6, epsilon 0.2, beta 0, num_iterations 1, scale by group,
#: Adam; its linear decay to 0 and max_grad_norm 1 would only slow what does not move.
TRL = Clipped(learning_rate=1e-6, num_iterations=1, epsilon_high=0.2, entropy_coef=0.0)

LEARNERS: Mapping[str, Entry] = {
    "natural": Entry(
        "ours: natural",
        _settings(
            Ours,
            [
                Natural(spread=spread, max_pairs=pairs)
                for spread in (1.0, 1.2, 1.4)
                for pairs in (0, 400)
            ],
            ("64", "16"),
        ),
        "defaults, first 16",
        "and some 45 variants by hand while it was made",
    ),
    "natural-temperature": Entry(
        "ours: natural, exploration by temperature",
        _settings(
            Ours,
            [
                Natural(exploration="temperature", temperature_scale=scale, gamma=gamma)
                for scale in (0.3, 0.5)
                for gamma in (0.95, 1.0)
            ],
            ("64", "16"),
        ),
        "exploration=temperature, first 16",
    ),
    "grpo-adam": Entry(
        "ours: clipped GRPO, tuned Adam",
        _tuned("adam", (0.1, 0.2, 0.5, 1.0), most=10),
        "learning_rate=0.5 entropy_coef=0.05, first 16",
    ),
    "grpo-sgd": Entry(
        "ours: clipped GRPO, tuned SGD",
        _tuned("sgd", (2.5, 5.0, 10.0, 20.0), most=4),
        "learning_rate=10 optimizer=sgd num_iterations=4 entropy_coef=0.05, first 16",
    ),
    "grpo-trl": Entry(
        "GRPO, TRL's defaults", {"as shipped": Recipe(partial(Ours, TRL), ONE_PROMPT)}, "as shipped"
    ),
    "seed": Entry(
        "the seed's update, batch 64", {"as shipped": Recipe(_seed_update, WHOLE)}, "as shipped"
    ),
    "bdpl": Entry(
        "BDPL",
        _settings(
            Bdpl,
            [
                BdplKnobs(rate, momentum, floor)
                for rate in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
                for momentum in (0.9, 0.0)
                for floor in (0.0, 0.02)
            ],
            ("64", "16"),
        ),
        "learning_rate=0.2 momentum=0.9 floor=0, first 64",
    ),
    "tpe": Entry(
        "Optuna TPE, one by one",
        {
            _words(knobs): Recipe(partial(Tpe, knobs), ONE_PROMPT)
            for knobs in (
                *(
                    TpeKnobs(1, together, startup, candidates, share)
                    for together in (True, False)
                    for startup in (10, 40)
                    for candidates in (24, 96)
                    for share in (None, 0.25)
                ),
                *(TpeKnobs(calls, together) for calls in (2, 4) for together in (True, False)),
            )
        },
        "calls_per_action=1 multivariate=False startup=40 candidates=96 good=0.25",
        "(all on one tuning seed, the best three on four)",
    ),
    "random": Entry("random search", {"no setting": Recipe(RandomSearch, WHOLE)}, "no setting"),
    "cem": Entry(
        "cross-entropy method",
        _settings(
            CrossEntropy,
            [
                CrossEntropyKnobs(elite, rate, window)
                for elite in (0.05, 0.1, 0.2, 0.3)
                for rate in (0.3, 0.6, 0.8)
                for window in (None, 256)
            ],
            ("64", "16"),
        ),
        "elite=0.1 rate=0.6 window=None, first 64",
    ),
    "thompson": Entry(
        "linear Thompson sampling",
        {
            **_settings(
                LinearThompson,
                [
                    ThompsonKnobs(spread, ridge)
                    for spread in (0.5, 0.7, 1.0, 1.4)
                    for ridge in (None, 1.0, 3.0, 10.0)
                ],
                BATCHES,
            ),
            **_settings(
                LinearThompson, [ThompsonKnobs(spread, 30.0) for spread in (0.5, 0.7)], ("8",)
            ),
        },
        "spread=0.7 ridge=10, first 8",
    ),
}


def missing(name: str) -> str | None:
    """Why a learner cannot run here; None if it can."""
    if name == "tpe" and find_spec("optuna") is None:
        return "Optuna is not installed: pip install -e '.[bench]'"
    return None
