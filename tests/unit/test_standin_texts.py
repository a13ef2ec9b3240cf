"""What the stand-in writes and how it judges: signal under noise, in the format asked for."""

import json
from random import Random
from statistics import mean
from typing import Any

import pytest

from orchestrator.standin.asking import Ask
from orchestrator.standin.catalog import MODELS
from orchestrator.standin.formats import answer
from orchestrator.standin.judging import judged_text
from orchestrator.standin.plan import spread
from orchestrator.standin.settings import Settings
from orchestrator.standin.writing import explanation, phrases

REQUEST = "Explain rain.\n\nBuild the answer on: clouds, dew point and wind.\nMention: umbrellas."
JUDGE_SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}
WRITER_SCHEMA = {
    "type": "object",
    "properties": {"generated": {"type": "string"}, "quality": {"type": "number"}},
}


def asked(text: str, format_: dict[str, Any] | None = None) -> Ask:
    fields = {"messages": [{"role": "user", "content": text}], "response_format": format_}
    return Ask("stand-in/plain", fields)


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}


def answered(ask: Ask, seed: int = 0, model: str = "stand-in/plain", **settings: Any) -> str:
    return answer(ask, MODELS[model], Settings(**settings), Random(seed))


def scores(text: str, **settings: Any) -> list[int]:
    ask = asked(f"Judge this.\n<text-9f>{text}</text-9f>", schema_format(JUDGE_SCHEMA))
    return [json.loads(answered(ask, seed, **settings))["score"] for seed in range(200)]


def test_most_concepts_that_a_prompt_names_are_in_the_text() -> None:
    assert phrases(REQUEST) == ["clouds", "dew point", "wind", "umbrellas"]

    texts = [explanation(REQUEST, Random(seed)).lower() for seed in range(300)]
    assert 0.6 < mean("dew point" in text for text in texts) < 0.95
    assert len({len(text) for text in texts}) > 100


def test_a_skeleton_shapes_the_text() -> None:
    text = f"{REQUEST}\n\nSkeleton:\nFirst, look up. Then, look down."
    kept = [explanation(text, Random(seed)) for seed in range(200)]

    assert 0.4 < mean("First, look up." in each for each in kept) < 0.8


def test_any_prompt_gets_a_text() -> None:
    for text in ("", " ", "?", "Explain {topic} {0}", "x" * 5000, "::: : :", "Skeleton:\n"):
        assert explanation(text, Random(0))


def test_a_judge_has_a_hidden_taste() -> None:
    taste = {"qubit": 1.0, "dragon": -1.0}
    good, bad, plain = (f"The {word} is small." * 8 for word in ("qubit", "dragon", "stone"))

    assert mean(scores(good, preference=taste)) > mean(scores(plain, preference=taste)) + 1
    assert mean(scores(bad, preference=taste)) < mean(scores(plain, preference=taste)) - 1
    assert len(set(scores(good, preference=taste, noise=0))) == 1
    assert len(set(scores(good, preference=taste, noise=0.2))) > 3


def test_only_the_marked_part_is_judged() -> None:
    assert judged_text("Rubric <prompt>dragon</prompt> <answer>qubit</answer> end") == "qubit"
    assert judged_text("no marks") == "no marks"


def test_an_instance_of_the_schema_is_answered() -> None:
    judged = json.loads(answered(asked("Judge: fine.", schema_format(JUDGE_SCHEMA))))
    written = json.loads(answered(asked(REQUEST, schema_format(WRITER_SCHEMA))))

    assert (set(judged), isinstance(judged["score"], int)) == ({"reason", "score"}, True)
    assert 0 <= judged["score"] <= 10
    assert "rain" in written["generated"]
    assert 0 <= written["quality"] <= 1


def test_strange_schemas_do_no_harm() -> None:
    loop = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    nested = {
        "type": "object",
        "properties": {
            "grades": {"type": "array", "items": {"$ref": "#/$defs/grade"}, "minItems": 2},
            "verdict": {"enum": ["bad", "fair", "good"]},
            "kind": {"const": "judge"},
            "sure": {"type": ["null", "boolean"]},
            "share": {"anyOf": [{"type": "null"}, {"type": "number", "maximum": 5}]},
        },
        "$defs": {"grade": {"type": "integer", "minimum": 3, "maximum": 4}},
    }
    found = json.loads(answered(asked(REQUEST, schema_format(nested))))

    assert json.loads(answered(asked(REQUEST, schema_format(loop)))) is not False
    assert json.loads(answered(asked(REQUEST, schema_format({})))) is not False
    assert set(found["grades"]) <= {3, 4}
    assert len(found["grades"]) == 2
    assert found["verdict"] in ("bad", "fair", "good")
    assert (found["kind"], isinstance(found["sure"], bool)) == ("judge", True)
    assert 0 <= found["share"] <= 5


@pytest.mark.parametrize("model", ["stand-in/plain", "stand-in/no-schema"])
def test_json_objects_are_guessed_from_the_prompt(model: str) -> None:
    text = 'Answer as {"reason": "...", "score": 0 to 100}. <text>fine</text>'
    found = json.loads(answered(asked(text, {"type": "json_object"}), model=model))

    assert list(found) == ["reason", "score"]
    assert 10 < found["score"] <= 100


def test_formats_that_a_model_does_not_know_are_ignored() -> None:
    for_no_json = answered(asked(REQUEST, schema_format(JUDGE_SCHEMA)), model="stand-in/no-json")
    with_keys = answered(asked('End with {"reason": "", "score": 3}'), model="stand-in/no-json")
    with_line = answered(asked("End with a line score: N"), model="stand-in/no-json")

    assert "{" not in for_no_json
    assert json.loads(with_keys[with_keys.index("{") :])["reason"]
    assert with_line.rpartition("score: ")[2].isdigit()


def test_rates_of_groups_are_shared_out() -> None:
    shares = spread({"mixed": 0.1, "reset": 0.2})

    assert sum(shares.values()) == pytest.approx(0.3)
    assert shares["reset"] > 0.2
    assert "unauthorized" not in shares
    with pytest.raises(ValueError, match="more than 1"):
        spread({"all": 0.9, "reset": 0.2})
