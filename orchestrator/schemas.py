"""JSON Schemas of what people write, for editors and checks: config, domain, data record.

That of the config comes from the config's own model; the other two say what ``domains`` and
``data_records`` accept.
"""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.config import RunConfig
from orchestrator.config_files import SEED_NAMES
from orchestrator.data_records import ID_PATTERN, MAX_TEXT
from orchestrator.data_shapes import CONVERSATIONS, PROMPTS

Schema = dict[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_WORD = {"type": "string", "pattern": r"\S"}
_WORDS = {"type": "array", "items": _WORD, "uniqueItems": True}
_TEXT = {"type": "string", "pattern": r"\S", "maxLength": MAX_TEXT}


def config_schema() -> Schema:
    """A run's config, every knob with its sentence."""
    schema = RunConfig.model_json_schema()
    for name in ("Natural", "Clipped"):
        _without_titles(schema["$defs"][name])
    # A table without a solver is the natural one's.
    schema["$defs"]["Clipped"]["required"] = ["solver"]
    _without_titles(schema)
    for name, ours in SEED_NAMES.items():
        schema["properties"][name] = {
            "type": "number",
            "description": f"The seed's name of {ours}.",
        }
    seeds = {name: schema["properties"][name] for name in SEED_NAMES}
    schema["properties"]["optimizerConfig"] = {
        "type": "object",
        "properties": seeds,
        "description": "The seed's table of its own names.",
    }
    return {"$schema": _DRAFT, **schema, "title": "A run of orchestrator"}


def domain_schema() -> Schema:
    """A domain file: one domain, ``domains = [...]``, ``[[domain]]``, or name -> domain."""
    several = {"type": "array", "items": {"$ref": "#/$defs/domain"}, "minItems": 1}
    return {
        "$schema": _DRAFT,
        "title": "Domains of orchestrator",
        "$defs": {"domain": _domain()},
        "anyOf": [
            {"$ref": "#/$defs/domain"},
            *(
                {
                    "type": "object",
                    "properties": {key: several},
                    "required": [key],
                    "additionalProperties": False,
                }
                for key in ("domain", "domains")
            ),
            {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"not": {"enum": [*_domain()["properties"], "domain", "domains"]}},
                "additionalProperties": {"$ref": "#/$defs/domain"},
            },
        ],
    }


def data_schema() -> Schema:
    """One record of training or held-out data, flat or as the seed nests it."""
    answer = {"anyOf": [{**_TEXT, "pattern": ""}, {"type": ["number", "boolean", "null"]}]}
    reference = {
        "anyOf": [*answer["anyOf"], {"type": "array", "items": answer}],
        "description": "A good answer, for rewards and judges; a list holds several right ones.",
    }
    text = {**_TEXT, "description": "The prompt."}
    flat = {
        "text": text,
        "reference": reference,
        "domain": {
            "type": ["string", "number", "boolean", "null"],
            "description": "Name of the prompt's domain.",
        },
        "id": {
            "anyOf": [
                {"type": "string", "pattern": f"^{ID_PATTERN}$"},
                {"type": "integer"},
                {"type": "null"},
            ],
            "description": "Its own name; e001, e002, … by position if left out.",
        },
    }
    nested = {
        "input": {"type": "object", "properties": {"text": text}, "required": ["text"]},
        "output": {
            "type": ["object", "string", "number", "boolean", "array", "null"],
            "properties": {
                "generated": reference,
                "quality": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            },
        },
    }
    return {
        "$schema": _DRAFT,
        "title": "A data record of orchestrator",
        "description": "Other fields are kept for rewards, which may name them.",
        "anyOf": [
            {"type": "object", "properties": flat, "required": ["text"]},
            {"type": "object", "properties": nested, "required": ["input"]},
            *(
                {
                    "type": "object",
                    "properties": {name: {"type": ["string", "array"], "minItems": 1}},
                    "required": [name],
                }
                for name in (*CONVERSATIONS, *PROMPTS, "chosen")
            ),
        ],
    }


def _domain() -> Schema:
    concepts = {**_WORDS, "minItems": 2}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {**_WORD, "description": "What prompts call it; the file's name if left out."},
            "aliases": {**_WORDS, "description": "Other names, by which prompts are matched too."},
            "concepts": {**concepts, "description": "What a prompt may ask for: 2 or more."},
            "keywords": {**concepts, "description": "The seed's word for concepts."},
            "templates": {
                "type": "array",
                "items": _WORD,
                "minItems": 1,
                "description": "Skeletons of an answer, with {topic}, {concept} and {feature}.",
            },
            "relationships": {
                "type": "object",
                "additionalProperties": _WORDS,
                "description": "Concept -> features that a prompt may ask for with it.",
            },
            "weights": {
                "type": "object",
                "additionalProperties": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "exclusiveMaximum": 1,
                },
                "description": "Concept -> starting weight; 0.5 is neither for nor against.",
            },
        },
        "required": ["templates"],
        "oneOf": [{"required": ["concepts"]}, {"required": ["keywords"]}],
    }


def _without_titles(schema: Schema) -> None:
    """Editors show a title in place of the sentence."""
    for knob in schema.get("properties", {}).values():
        knob.pop("title", None)


#: What has a schema.
SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "config": config_schema,
    "domain": domain_schema,
    "data": data_schema,
}
