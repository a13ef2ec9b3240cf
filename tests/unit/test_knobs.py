"""No knob changes nothing: each has another result, is refused with the reason, or is listed."""

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.algorithm import Algorithm, Clipped, Natural
from orchestrator.config import RunConfig, config_of_run
from orchestrator.inputs import prepare
from tests.simulated import World, simulate
from tests.unit.test_effects import WORTH

Settings = Mapping[str, Any]
ALGORITHM: TypeAdapter[Algorithm] = TypeAdapter(Algorithm)
TEMPERATURE = {"exploration": "temperature"}
EMA = {"solver": "clipped", "advantage": "ema"}
FISHER = {"solver": "clipped", "optimizer": "natural_gradient"}
CLIPPED = {"solver": "clipped"}
#: Knob -> another value, and what it is beside.
NATURAL_KNOBS: dict[str, tuple[Any, Settings]] = {
    "exploration": ("temperature", {}),
    "winsorize_mad": (1.0, {}),
    "max_pairs": (0, {}),
    "spread": (3.0, {}),
    "floor": (0.2, {}),
    "temperature_scale": (2.0, TEMPERATURE),
    "gamma": (0.5, {}),
    "max_kl": (0.01, {}),
}
CLIPPED_KNOBS: dict[str, tuple[Any, Settings]] = {
    "scale_rewards": ("none", CLIPPED),
    "advantage": ("rloo", CLIPPED),
    "winsorize_mad": (1.0, CLIPPED),
    "learning_rate": (0.5, CLIPPED),
    "loss_type": ("gspo", CLIPPED),
    "optimizer": ("sgd", CLIPPED),
    "damping": (0.5, FISHER),
    "max_kl": (0.001, CLIPPED),
    "num_iterations": (2, CLIPPED),
    "mini_batch_size": (8, CLIPPED),
    "epsilon": (0.05, CLIPPED),
    "epsilon_high": (0.05, CLIPPED),
    "beta": (0.5, CLIPPED),
    "entropy_coef": (0.3, CLIPPED),
    "entropy_target": (0.9, CLIPPED),
    "target_kl": (0.001, CLIPPED),
    "max_logit": (0.1, CLIPPED),
}
#: Knobs of a solver whose effect needs more than a world that stays as it is.
ELSEWHERE = {"solver": "chooses the table", "detect_drift": "tests/unit/test_update_drift.py"}
#: Settings that would change nothing beside these, and the word that says why.
WITHOUT_EFFECT = (
    ({"scale_rewards": "none"}, "solver = natural"),
    ({"scale_rewards": "batch"}, "solver = natural"),
    ({"advantage": "rloo"}, "solver = natural"),
    ({"advantage": "ema"}, "solver = natural"),
    ({"temperature_scale": 2.0}, "exploration = thompson"),
    *(({**TEMPERATURE, name: value}, "exploration = temperature")
      for name, value in (("max_pairs", 0), ("spread", 3.0), ("floor", 0.2))),
    ({**CLIPPED, "damping": 0.5}, "optimizer = adam"),
    ({**CLIPPED, "optimizer": "sgd", "damping": 0.5}, "optimizer = sgd"),
    ({**CLIPPED, "loss_type": "cispo", "epsilon": 0.05}, "loss_type = cispo"),
    ({**CLIPPED, "loss_type": "reinforce", "epsilon": 0.05}, "loss_type = reinforce"),
    ({**CLIPPED, "loss_type": "reinforce", "epsilon_high": 0.05}, "loss_type = reinforce"),
    ({**CLIPPED, "entropy_coef": 0.0, "entropy_target": 0.5}, "entropy_coef = 0"),
    ({**EMA, "scale_rewards": "batch"}, "advantage = ema"),
)  # fmt: skip


def learnt(settings: Settings) -> list[float]:
    """The params after a few steps in a world with noise and pairs."""
    world = World(parts={"part": WORTH}, pairs={(2, 4): 0.3})
    knobs = ALGORITHM.validate_python({"solver": "natural", **settings})
    found: list[float] = np.round(simulate(world, 0, 4, 4, 6, knobs).params.flat(), 9).tolist()
    return found


@pytest.mark.parametrize(
    ("knob", "value", "beside"),
    [(k, *row) for table in (NATURAL_KNOBS, CLIPPED_KNOBS) for k, row in table.items()],
)
def test_a_solver_that_is_given_another_value_learns_something_else(
    knob: str, value: Any, beside: Settings
) -> None:
    assert learnt({**beside, knob: value}) != learnt(beside)


@pytest.mark.parametrize(("settings", "why"), WITHOUT_EFFECT)
def test_a_knob_that_would_change_nothing_is_refused_and_says_why(
    settings: Settings, why: str
) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        ALGORITHM.validate_python({"solver": "natural", **settings})

    assert "changes nothing" in str(refused.value)


def test_every_knob_of_a_solver_is_turned_or_refused() -> None:
    for solver, table in ((Natural, NATURAL_KNOBS), (Clipped, CLIPPED_KNOBS)):
        name = solver.model_fields["solver"].default
        refused = {key for row, _ in WITHOUT_EFFECT if row.get("solver", "natural") == name
                   for key in row}  # fmt: skip
        assert set(solver.model_fields) == {*table, *ELSEWHERE, *refused} & set(solver.model_fields)
    assert set(get_args(get_args(Algorithm)[0])) == {Natural, Clipped}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"early_rollouts": 12}, "without early_batch_size"),
        ({"rejudge_fraction": 0.5}, "without a judge"),
        ({"rubric": "rubric.md"}, "without a judge"),
        ({"temperature": 0.5}, "without a model"),
        ({"top_p": 0.5}, "without a model"),
        ({"stop": ["\n"]}, "without a model"),
        ({"send_seed": True}, "without a model"),
        ({"reply_format": "text"}, "without a model or judge"),
        ({"routing": {"order": ["x"]}}, "without a model or judge"),
        ({"heldout_fraction": 0.5}, "with held-out data of its own"),
        ({"heldout_fraction": 0.5, "data": "a.jsonl", "heldout": "b.jsonl"}, "of its own"),
    ],
)
def test_a_knob_of_a_run_that_would_change_nothing_is_refused(settings: Settings, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RunConfig.model_validate(settings)
    # A run that an earlier version started with it is still read.
    assert config_of_run(settings)


#: Knobs of a run that change what it plans, and what they are beside.
PLANNED: dict[str, tuple[Any, Settings]] = {
    "max_steps": (3, {}),
    "num_epochs": (2, {}),
    "batch_size": (3, {}),
    "early_batch_size": (2, {}),
    "early_rollouts": (64, {"early_batch_size": 2}),
    "group_size": (5, {}),
    "max_group_size": (12, {}),
    "dynamic_sampling": (1, {}),
    "concepts_per_prompt": (3, {}),
    "features_per_prompt": (1, {}),
    "reward_funcs": (["length"], {}),
    "reward_weights": ([1, 0, 0, 0], {}),
    "reward_options": ({"length": {"target_words": 30}}, {}),
    "eval_metrics": (["quality"], {"reward_funcs": ["length"]}),
}
#: What shows the others, or why they change no policy.
TURNED_ELSEWHERE = {
    "what a run is called, where it lies, who is told": (
        "name", "runs_dir", "share_run", "code_dir", "report_to", "callbacks",
    ),
    "how fast, how patient: the answers are the same": (
        "max_rpm", "max_tpm", "max_inflight", "max_retries", "request_timeout_s",
        "slot_timeout_s", "step_deadline_s", "template_latency_s", "workers", "worker_groups",
        "worker_lease_s", "worker_grace_s",
    ),
    "when training ends: tests/unit/test_stopping.py, test_budget.py": (
        "max_cost_usd", "early_stopping_patience", "convergence_kl", "max_minutes",
        "no_signal_patience",
    ),
    "which prompts, which slots: tests/unit/test_sampling.py, test_pipeline.py": (
        "prompt_sampling", "duplicate_actions", "max_staleness", "eval_interval", "eval_samples",
    ),
    "what a hosted model is asked, and says; the template engine asks none":
        ("model", "temperature", "top_p", "max_tokens", "stop", "send_seed", "reply_format",
         "self_report", "prices", "routing"),
    "judges: tests/integration/test_judge.py": (
        "judge_models", "judge_max_tokens", "rubric", "rejudge_fraction",
    ),
    "what is read: tests/unit/test_data.py, test_domains.py, test_matching.py": (
        "data", "heldout", "heldout_fraction", "columns", "domains", "match",
    ),
    "tests/unit/test_prompts.py, test_policy.py": ("base_prompt", "seed"),
    "the tables above": ("algorithm",),
}  # fmt: skip


def planned(settings: Settings) -> tuple[Any, ...]:
    """What a run would do, as far as that is known without starting it."""
    config = RunConfig.model_validate(settings)
    found = prepare(config)
    return (
        found.steps,
        [config.prompts_before(step) for step in (2, 5, 50)],
        config.most_slots(config.prompts_of(1)),
        found.spaces,
        found.terms("eval"),
    )


@pytest.mark.parametrize(("knob", "row"), PLANNED.items())
def test_a_run_that_is_given_another_value_plans_something_else(
    knob: str, row: tuple[Any, Settings]
) -> None:
    value, beside = row

    assert planned({**beside, knob: value}) != planned(beside)


def test_every_knob_of_a_run_is_turned_here_or_is_known_to_be_elsewhere() -> None:
    elsewhere = {knob for knobs in TURNED_ELSEWHERE.values() for knob in knobs}

    assert not elsewhere & set(PLANNED)
    # A new knob stands in ``PLANNED`` or, with the test that turns it, in ``TURNED_ELSEWHERE``.
    assert set(RunConfig.model_fields) == {*elsewhere, *PLANNED}
