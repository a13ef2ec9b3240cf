"""Configs as people write them, and what is said of wrong ones."""

import pytest

from orchestrator.config_files import resolve
from shared.errors import UsageError


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("max_steps", True, "max_steps = true: must be a whole number"),
        ("max_steps", "3", 'max_steps = "3": must be a whole number'),
        ("max_steps", 3.0, "max_steps = 3.0: must be a whole number"),
        ("max_steps", 0, "max_steps = 0: must be at least 1"),
        ("name", 4, "name = 4: must be a text, in quotes"),
        ("domains", "x", 'domains = "x": must be a list, such as ["one", "two"]'),
        ("domains", [], "domains = []: the list is too short"),
        ("columns", "x", 'columns = "x": must be a table'),
        ("temperature", False, "temperature = false: must be a number"),
        ("algorithm.detect_drift", 1, "algorithm.detect_drift = 1: must be true or false"),
        ("algorithm.solver", "x", "solver must be 'natural' or 'clipped'"),
    ],
)
def test_a_wrong_value_is_told_in_words_of_toml(key: str, value: object, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve([], [(key, "run.toml", value)])

    assert said in str(refused.value)
    for word in ("tuple", "dict", "Input", "http", "True"):
        assert word not in str(refused.value)


def test_a_tilde_is_the_home_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    keys = ("data", "heldout", "rubric", "runs_dir", "code_dir")

    others = [("domains", "", ["~/d"]), ("judge_models", "", ["a/judge"])]
    config = resolve([], [*((key, "", "~/x") for key in keys), *others]).config

    assert {getattr(config, key) for key in keys} == {"/home/me/x"}
    assert config.domains == ("/home/me/d",)
    assert resolve([], [("data", "", "hf://a/b/train")]).config.data == "hf://a/b/train"
