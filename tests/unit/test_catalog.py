"""An endpoint's list of models, read without trust: what cannot be read is unknown, never free."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.catalog import Catalog, Model, dollars, parse_catalog
from shared.messages import Price

GOOD = {"prompt": "0.0000001", "completion": "0.0000003"}
LLAMA_CPP = {
    "models": [{"name": "qwen.gguf", "model": "qwen.gguf", "type": "model"}],
    "object": "list",
    "data": [
        {
            "id": "qwen.gguf",
            "object": "model",
            "created": 1_780_000_000,
            "owned_by": "llamacpp",
            "meta": {"n_ctx_train": 32768, "n_params": 7_615_616_512},
        }
    ],
}
VLLM = {
    "object": "list",
    "data": [
        {
            "id": "Qwen/Qwen3-8B",
            "object": "model",
            "owned_by": "vllm",
            "root": "Qwen/Qwen3-8B",
            "parent": None,
            "max_model_len": 40960,
            "permission": [{"id": "modelperm-1", "allow_sampling": True}],
        }
    ],
}
OLLAMA = {
    "object": "list",
    "data": [{"id": "llama3.2:3b", "object": "model", "created": 1, "owned_by": "library"}],
}
OLLAMA_EMPTY = {"object": "list", "data": None}
OLLAMA_TAGS = {"models": [{"name": "llama3.2:3b", "size": 2_019_393_189}]}

BAD = (
    *("-1", "free", "", "NaN", "-Infinity", "1e999", "1,5", "$0.1"),
    *(-1, math.nan, math.inf, True, False, None),
    *([], {}, ["1"], {"usd": "0.1"}),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def listed(**entry: Any) -> Model:
    """The one model of an OpenRouter list with this entry, after a trip through JSON."""
    payload = json.loads(json.dumps({"data": [{"id": "a/b", "pricing": GOOD, **entry}]}))
    found = parse_catalog(payload).find("a/b")
    assert found is not None
    return found


@pytest.mark.parametrize(
    "pricing",
    [
        GOOD,
        {"prompt": 1e-07, "completion": 3e-07},
        {**GOOD, "request": "0", "image": "nonsense"},
        {**GOOD, "request": None},
        {"prompt": " 1e-7 ", "completion": "3E-07"},
    ],
)
def test_prices_are_read_as_strings_and_as_numbers(pricing: object) -> None:
    assert listed(pricing=pricing).price == Price(prompt_usd=1e-07, completion_usd=3e-07)


def test_a_price_per_request_counts() -> None:
    assert listed(pricing={**GOOD, "request": "0.002"}).price == Price(
        prompt_usd=1e-07, completion_usd=3e-07, request_usd=0.002
    )


def test_free_is_a_price() -> None:
    assert listed(pricing={"prompt": "0", "completion": "0"}).price == Price(
        prompt_usd=0, completion_usd=0
    )


@pytest.mark.parametrize(
    "bad",
    BAD,
)
@pytest.mark.parametrize("side", ["prompt", "completion"])
def test_a_bad_price_on_either_side_makes_the_price_unknown(side: str, bad: object) -> None:
    assert listed(pricing={**GOOD, side: bad}).price is None


@pytest.mark.parametrize("pricing", [None, "free", [], 3, True, {}, {"prompt": "1"}, [GOOD]])
def test_a_pricing_of_another_shape_makes_the_price_unknown(pricing: object) -> None:
    assert listed(pricing=pricing).price is None


@pytest.mark.parametrize("bad", ["-1", "free", "NaN", True, [], {"usd": 1}])
def test_a_bad_price_per_request_is_not_read_as_free(bad: object) -> None:
    assert listed(pricing={**GOOD, "request": bad}).price is None


def test_a_whole_number_too_large_for_a_float_is_unknown() -> None:
    assert dollars(10**400) is None


@settings(deadline=None)
@given(JSON)
def test_whatever_a_price_is_it_is_a_finite_amount_or_unknown(value: object) -> None:
    price = listed(pricing={"prompt": value, "completion": value}).price

    if price is not None:
        assert isinstance(value, (int, float, str))
        assert not isinstance(value, bool)
        assert price.prompt_usd == float(value) >= 0
        assert math.isfinite(price.prompt_usd)


@settings(deadline=None)
@given(JSON, JSON, JSON)
def test_no_payload_breaks_the_reader(payload: object, data: object, entry: object) -> None:
    for found in (payload, {"data": data}, {"data": [entry]}, [entry]):
        assert isinstance(parse_catalog(found), Catalog)
    fields = ("pricing", "supported_parameters", "reasoning", "expiration_date")
    for field in fields:
        assert listed(**{field: entry if entry == entry else None}).slug == "a/b"


@pytest.mark.parametrize(
    ("payload", "slugs"),
    [
        (LLAMA_CPP, ["qwen.gguf"]),
        (VLLM, ["Qwen/Qwen3-8B"]),
        (OLLAMA, ["llama3.2:3b"]),
        (OLLAMA_EMPTY, []),
        (OLLAMA_TAGS, []),
        ([{"id": "bare-list"}], ["bare-list"]),
        ({"data": [{"id": ""}, {"id": 7}, {"name": "x"}, "text", None, {"id": "ok"}]}, ["ok"]),
        ({"data": "none"}, []),
        ({"error": {"message": "no"}}, []),
        ("<html>", []),
        (None, []),
    ],
)
def test_a_list_without_prices_is_a_plain_endpoints(payload: object, slugs: list[str]) -> None:
    catalog = parse_catalog(payload)

    assert (catalog.dialect, list(catalog.models)) == ("openai", slugs)
    assert {model.price for model in catalog.models.values()} <= {None}


def test_a_list_with_prices_is_openrouters_even_where_some_are_missing() -> None:
    catalog = parse_catalog({"data": [{"id": "a/b"}, {"id": "c/d", "pricing": GOOD}]})

    assert catalog.dialect == "openrouter"
    assert [model.price is None for model in catalog.models.values()] == [True, False]


def test_a_variant_is_found_under_its_own_name_first_and_else_under_its_models() -> None:
    free = {"id": "a/b:free", "pricing": {"prompt": "0", "completion": "0"}}
    catalog = parse_catalog({"data": [{"id": "a/b", "pricing": GOOD}, free]})

    found = {slug: catalog.find(slug) for slug in ("a/b", "a/b:nitro", "a/b:floor", "a/b:free")}
    assert {slug: model and model.slug for slug, model in found.items()} == {
        "a/b": "a/b",
        "a/b:nitro": "a/b",
        "a/b:floor": "a/b",
        "a/b:free": "a/b:free",
    }
    assert catalog.find("a/c") is None
    assert parse_catalog(OLLAMA).find("llama3.2:3b") is not None


@pytest.mark.parametrize("slug", ["a/b:free", "a/b:thinking", "a/b:bath"])
def test_a_variant_with_an_entry_of_its_own_is_not_found_without_it(slug: str) -> None:
    assert parse_catalog({"data": [{"id": "a/b", "pricing": GOOD}]}).find(slug) is None


def test_near_slugs_are_named_closest_first() -> None:
    slugs = ("mistralai/mistral-small", "mistralai/mistral-large", "openai/gpt-6-luna", "z/z")
    catalog = parse_catalog({"data": [{"id": slug, "pricing": GOOD} for slug in slugs]})

    near = catalog.near("mistralai/mistral-smal")

    assert near[0] == "mistralai/mistral-small"
    assert "z/z" not in near
    assert catalog.near("0123456789") == []


def test_parameters_that_are_not_listed_are_not_known_to_be_taken() -> None:
    assert listed(supported_parameters=["seed", "top_p"]).takes("seed")
    assert not listed(supported_parameters=["seed", "top_p"]).takes("temperature")
    assert not listed(supported_parameters=None).takes("seed")
    assert not listed(supported_parameters="seed").takes("seed")


@pytest.mark.parametrize(
    ("entry", "reasoning"),
    [
        ({}, "no"),
        ({"supported_parameters": ["reasoning"]}, "optional"),
        ({"reasoning": {"mandatory": False}}, "optional"),
        ({"reasoning": {"mandatory": True}}, "mandatory"),
        ({"reasoning": {"mandatory": "yes"}}, "optional"),
        ({"reasoning": "always"}, "no"),
    ],
)
def test_whether_a_model_reasons(entry: dict[str, Any], reasoning: str) -> None:
    assert listed(**entry).reasoning == reasoning


def test_an_expiry_is_kept_as_it_is_listed() -> None:
    assert listed(expiration_date="2026-12-10").expires == "2026-12-10"
    assert listed(expiration_date=None).expires is None
    assert listed().expires is None
