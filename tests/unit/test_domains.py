"""Domain files: their shapes, what is refused, names."""

import json
from pathlib import Path

import pytest

from orchestrator.domains import BUILTIN_NAMES, Domain, builtin, load_domains
from shared.errors import UsageError
from tests.bad_inputs import BAD_INPUTS, BadInput

COOKING = {
    "keywords": ["salt", "open  fire", "Heat"],
    "templates": ["Use {concept}."],
    "relationships": {"heat": ["time", "salt"], "salt": ["Taste", "Time"]},
}


def write(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def load_json(folder: Path, content: object, name: str = "home-cooking.json") -> tuple[Domain, ...]:
    return load_domains([write(folder, name, json.dumps(content))])


@pytest.mark.parametrize(
    "bad", [bad for bad in BAD_INPUTS if bad.kind == "domain"], ids=lambda bad: bad.name
)
def test_a_bad_domain_is_refused_in_words(bad: BadInput, tmp_path: Path) -> None:
    path = write(tmp_path, bad.filename, bad.content)
    with pytest.raises(UsageError) as caught:
        load_domains([path])
    message = str(caught.value)
    assert message.startswith(path)
    assert bad.fragment in message
    assert len(message) < len(path) * 2 + 400


def test_the_seed_s_shape_is_read_and_named_after_its_file(tmp_path: Path) -> None:
    (cooking,) = load_json(tmp_path, COOKING)
    assert cooking.name == "home cooking"
    assert cooking.concepts == ("salt", "open fire", "Heat")
    assert cooking.features == ("Taste", "Time", "salt")
    assert cooking.related == ((0, 1), (), (1, 2))
    assert cooking.same() == (2, None, None)
    assert cooking.weights is None
    assert cooking.source.endswith("home-cooking.json")


def test_toml_holds_aliases_and_starting_weights(tmp_path: Path) -> None:
    content = """
        name = "cooking"
        aliases = ["cookery", "Salt"]
        concepts = ["salt", "heat"]
        templates = ["Use {concept}."]
        relationships = {heat = ["time", "cookery"]}
        [weights]
        HEAT = 0.9
    """
    (cooking,) = load_domains([write(tmp_path, "d.toml", content)])
    assert cooking.weights == (0.5, 0.9)
    assert cooking.terms() == ("cooking", "cookery", "Salt", "heat", "time")


def test_a_file_may_hold_several_domains(tmp_path: Path) -> None:
    named = [COOKING | {"name": name} for name in ("a", "b")]
    assert [domain.name for domain in load_json(tmp_path, {"domains": named})] == ["a", "b"]
    mapping = {"a": COOKING, "b": COOKING | {"name": "c"}}
    assert [domain.name for domain in load_json(tmp_path, mapping)] == ["a", "c"]
    tables = "".join(
        f"[[domain]]\nname = '{name}'\nconcepts = ['x', 'y']\ntemplates = ['{{concept}}']\n"
        for name in "ab"
    )
    loaded = load_domains([write(tmp_path, "d.toml", tables)])
    assert [domain.name for domain in loaded] == ["a", "b"]


def test_a_domain_without_relationships_is_accepted(tmp_path: Path) -> None:
    (cooking,) = load_json(tmp_path, {"concepts": ["a", "b"], "templates": ["{concept}"]})
    assert (cooking.features, cooking.related) == ((), ((), ()))


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path, "a.json", json.dumps(COOKING | {"name": "Cooking"}))
    second = write(tmp_path, "b.json", json.dumps(COOKING | {"aliases": ["cooking"]}))
    with pytest.raises(UsageError, match=r"b.json: domain 'b' is also called 'cooking', as is 'Co"):
        load_domains([first, second])


def test_built_in_domains_are_loaded_by_name(tmp_path: Path) -> None:
    mine = write(tmp_path, "mine.json", json.dumps(COOKING))
    names = [domain.name for domain in load_domains(["Machine learning", mine])]
    assert names == ["machine learning", "mine"]
    assert [domain.name.replace(" ", "-") for domain in builtin()] == list(BUILTIN_NAMES)


def test_an_unknown_name_lists_the_built_in_domains() -> None:
    with pytest.raises(UsageError, match=r"'neural-nets' is no domain. Did you mean 'neural-netw"):
        load_domains(["neural-nets"])


def test_a_missing_domain_file_suggests_near_names(tmp_path: Path) -> None:
    write(tmp_path, "cooking.toml", "x")
    with pytest.raises(UsageError, match=r"Did you mean 'cooking.toml'\?"):
        load_domains([str(tmp_path / "coking.toml")])
