"""The shape of a domain's actions: which features go with which concepts."""

from typing import Any

import numpy as np
import pytest

from orchestrator import inputs, subsets
from orchestrator.config import RunConfig
from orchestrator.domains import from_table
from orchestrator.space import Space, most_chosen
from shared.errors import RunFailed, UsageError


def test_candidates_are_the_related_features_without_the_chosen_words_themselves() -> None:
    space = Space(3, 1, 4, ((0, 1), (1, 2), ()), (None, 0, 2), 2, 2)
    chosen_Rn = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.bool_)
    assert space.candidates(chosen_Rn).tolist() == [
        [False, True, True, False],
        [True, True, False, False],
        [False, True, False, False],
    ]


def test_a_domain_without_features_has_no_candidates() -> None:
    space = Space(3, 1, 0, ((),) * 3, (None,) * 3, 2, 2)
    assert space.candidates(np.ones((5, 3), dtype=np.bool_)).shape == (5, 0)


def test_sizes_follow_from_the_shape() -> None:
    space = Space(5, 3, 4, ((),) * 5, (None,) * 5, 2, 1)
    assert space.d == 12
    assert space.uniforms_needed == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "at least 1 and less than n"),
        ({"k": 3}, "at least 1 and less than n"),
        ({"T": 0}, "at least one"),
        ({"f": -1}, "0 or more"),
        ({"same": ()}, "one entry per concept"),
        ({"m": 1}, r"\[1\] are not in 0..0"),
    ],
)
def test_impossible_spaces_are_refused(change: dict[str, int], message: str) -> None:
    valid = {"n": 3, "T": 1, "m": 2, "related": ((0,), (1,), ()), "same": (None,) * 3}
    with pytest.raises(ValueError, match=message):
        Space(**{**valid, "k": 2, "f": 1, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "most"), [(2, 1), (5, 4), (500, 499), (1000, 111), (4000, 68)])
def test_as_many_may_be_chosen_as_exact_probabilities_bear(n: int, most: int) -> None:
    assert most_chosen(n) == most


@pytest.mark.parametrize(
    ("concepts", "setting", "words"),
    [
        (1000, {"concepts_per_prompt": 999}, "take at most 111"),
        (1000, {"concepts_per_prompt": 112}, "concepts_per_prompt = 112 of 1,000 concepts"),
        (3000, {}, "3,000 are the most"),
        (3000, {"algorithm": {"solver": "clipped", "optimizer": "natural_gradient"}}, "the most"),
    ],
)
def test_what_cannot_be_computed_is_refused_at_the_start(
    concepts: int, setting: dict[str, Any], words: str
) -> None:
    names = tuple(f"c{i}" for i in range(concepts))
    domain = from_table("big", {"concepts": names, "templates": ["on {concept}"]}, "big.toml")

    with pytest.raises(UsageError, match=words):
        inputs.space(domain, RunConfig.model_validate(setting))


@pytest.mark.parametrize(
    ("concepts", "setting"),
    [
        (1000, {"concepts_per_prompt": 111}),
        (500, {"concepts_per_prompt": 499}),
        (2990, {}),
        (6000, {"algorithm": {"solver": "clipped"}}),
    ],
)
def test_what_can_be_computed_is_not(concepts: int, setting: dict[str, Any]) -> None:
    names = tuple(f"c{i}" for i in range(concepts))
    domain = from_table("big", {"concepts": names, "templates": ["on {concept}"]}, "big.toml")

    assert inputs.space(domain, RunConfig.model_validate(setting)).n == concepts


def test_logits_too_far_apart_for_so_many_are_told_and_not_computed_wrongly() -> None:
    logits_1n = np.repeat([20.0, -20.0], [250, 250])[None]

    with pytest.raises(RunFailed, match="moved too far apart"):
        subsets.log_z(logits_1n, 480)
