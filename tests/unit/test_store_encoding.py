"""Weights survive the way through JSON to the last bit."""

import json
from typing import Any

import numpy as np
import pytest

from orchestrator.rollouts import DomainWeights, Params, Weights
from orchestrator.store import decode_weights, encode_weights
from shared.errors import RunFailed

AWKWARD = np.array(
    [0.1, 1 / 3, -0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, np.pi, -1e-17]
)


def through_json(weights: Weights) -> Weights:
    return decode_weights(json.loads(json.dumps(encode_weights(weights))))


def bits(array: "np.typing.NDArray[np.float64]") -> tuple[tuple[int, ...], str, bytes]:
    return array.shape, str(array.dtype), array.tobytes()


def test_params_and_states_of_every_shape_come_back_bit_for_bit() -> None:
    generator = np.random.Generator(np.random.Philox(key=1))
    state = {
        "scalar": np.array(0.1),
        "vector": AWKWARD,
        "matrix": generator.normal(size=(7, 3)),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "empty": np.zeros((0, 4)),
        "not numbers": np.array([np.nan, np.inf, -np.inf]),
    }
    params = Params(AWKWARD, generator.normal(size=5), np.zeros(0))
    reference = Params(-AWKWARD, np.array([1e16 + 2]), generator.normal(size=2))

    found = through_json(Weights(7, {"cooking": DomainWeights(params, reference, state)}))

    assert found.version == 7
    domain = found.domains["cooking"]
    for name in ("theta", "phi", "eta"):
        assert bits(getattr(domain.params, name)) == bits(getattr(params, name))
        assert bits(getattr(domain.reference, name)) == bits(getattr(reference, name))
    assert {key: bits(array) for key, array in domain.state.items()} == {
        key: bits(array) for key, array in state.items()
    }


def test_decoded_arrays_can_be_written_to() -> None:
    params = Params(np.zeros(2), np.zeros(1), np.zeros(0))
    weights = Weights(0, {"cooking": DomainWeights(params, params, {"m": np.zeros((2, 2))})})

    domain = through_json(weights).domains["cooking"]

    domain.state["m"][0, 0] = domain.params.theta[0] = 1.0


@pytest.mark.parametrize(
    "broken",
    [
        {},
        [],
        {"version": 1},
        {"version": "x", "domains": {}},
        {"version": 1, "domains": {"cooking": {}}},
        {"version": 1, "domains": {"cooking": {"params": {"theta": ["a"]}}}},
        {"version": 1, "domains": []},
    ],
    ids=str,
)
def test_anything_else_is_an_error_in_words(broken: Any) -> None:
    with pytest.raises(RunFailed, match="the stored weights cannot be read"):
        decode_weights(broken)


def test_a_state_that_was_cut_off_is_an_error_in_words() -> None:
    params = Params(np.zeros(2), np.zeros(1), np.zeros(0))
    value = encode_weights(Weights(0, {"c": DomainWeights(params, params, {"m": np.zeros(4)})}))
    shape, text = value["domains"]["c"]["state"]["m"]
    value["domains"]["c"]["state"]["m"] = (shape, text[:-4])

    with pytest.raises(RunFailed, match="the stored weights cannot be read"):
        decode_weights(value)
