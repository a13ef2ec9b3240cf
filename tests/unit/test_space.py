"""The shape of a domain's actions: which features go with which concepts."""

import numpy as np
import pytest

from orchestrator.space import Space


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
