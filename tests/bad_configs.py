"""Configs and flags that must be refused before anything starts: exit 2 and one clear message."""

from typing import NamedTuple


class BadConfig(NamedTuple):
    """Arguments of ``orchestrator run``, files beside it, and words that the message must hold."""

    name: str
    arguments: tuple[str, ...]
    files: dict[str, str]
    fragment: str


def _file(name: str, text: str, fragment: str, file: str = "my.toml") -> BadConfig:
    return BadConfig(name, (file,), {file: text}, fragment)


def _flags(name: str, *arguments: str, fragment: str) -> BadConfig:
    return BadConfig(name, arguments, {}, fragment)


_TWO_CONCEPTS = 'name = "tea"\nconcepts = ["leaf", "cup"]\ntemplates = ["Use {concept}."]\n'

BAD_CONFIGS: tuple[BadConfig, ...] = (
    _file("unknown-key", "group_sizes = 4", "my.toml: unknown key 'group_sizes'; did you mean 'gr"),
    _file("unknown-table", "[algoritm]\nsolver = 'natural'", "did you mean 'algorithm"),
    _file("toml-syntax", "seed = 1\nsteps = = 2", "config my.toml: not valid TOML"),
    _file("json-syntax", '{"seed": }', "config my.json: not valid JSON", "my.json"),
    _file("json-array", "[1]", "config my.json: must be an object of settings", "my.json"),
    _file(
        "wrong-type", 'batch_size = "many"', 'my.toml: batch_size = "many": must be a whole number'
    ),
    _file("group-of-one", "group_size = 1", "my.toml: group_size = 1: "),
    _file("weights-too-few", "reward_weights = [1.0]", "reward_weights has 1 entries for 4"),
    _file("weights-zero", "reward_weights = [0, 0, 0, 0]", "at least one part must count"),
    _file("weight-negative", "reward_weights = [-1, 1, 1, 1]", "my.toml: reward_weights"),
    _file("name-of-two-folders", 'name = "a/b"', 'my.toml: name = "a/b": must match'),
    _file("option-stray", "[reward_options.lenght]\nx = 1", "reward_options for 'lenght'"),
    _file(
        "learning-rate-natural",
        "[algorithm]\nlearning_rate = 0.1",
        "it belongs to algorithm.solver = 'clipped'",
    ),
    _file("solver", "[algorithm]\nsolver = 'magic'", "magic"),
    _flags("no-config", "nowhere.toml", fragment="config nowhere.toml: no such file"),
    _flags("no-data", "--data=nowhere.jsonl", fragment="nowhere.jsonl"),
    _flags("no-domain", "--domain=nowhere.toml", fragment="nowhere.toml"),
    _flags("unknown-domain", "--domain=quantum-computin", fragment="quantum-computing"),
    _flags("setting-without-value", "--set", "max_steps", fragment="write --set key=value"),
    _flags("setting-unknown", "--set=max_step=3", fragment="did you mean 'max_steps'?"),
    _flags("setting-into-a-value", "--set=seed.x=3", fragment="seed"),
    _flags("setting-below-a-value", "--set=algorithm.solver.x=3", fragment="algorithm.solver"),
    _flags("setting-of-two-lines", "--set", "seed=1\nmax_steps=3", fragment="--set"),
    _flags("setting-not-utf8", "--set=base_prompt=caf\udce9", fragment="base_prompt"),
    _flags("no-steps", "--steps=0", fragment="--steps: max_steps = 0: "),
    _flags("no-workers", "--workers=0", fragment="--workers: workers = 0: "),
    _flags("negative-seed", "--seed=-1", fragment="--seed: seed = -1: "),
    _flags("not-a-number", "--set=step_deadline_s=nan", fragment="step_deadline_s"),
    _flags("reward-unknown", '--set=reward_funcs=["lenght"]', fragment="did you mean 'length'?"),
    _flags("reward-twice", '--set=reward_funcs=["length", "length"]', fragment="'length' twice"),
    _flags(
        "too-many-concepts", "--set=concepts_per_prompt=99", fragment="concepts_per_prompt = 99"
    ),
    BadConfig(
        "as-many-concepts-as-there-are",
        ("--domain=tea.toml",),
        {"tea.toml": _TWO_CONCEPTS},
        "tea.toml: concepts_per_prompt = 2, but the domain 'tea' has 2 concepts",
    ),
    BadConfig(
        "nothing-matches",
        ("--data=d.jsonl",),
        {"d.jsonl": '{"text": "How do I bake bread?"}\n{"text": "And cake?"}\n'},
        "none of the ",
    ),
    _flags("redis-scheme", "--redis=http://localhost", fragment="'http://localhost' is not"),
    _flags("redis-port", "--redis=redis://localhost:port/0", fragment="is not the address of"),
    _flags("redis-word", "--redis=localhost:6379", fragment="write redis://HOST:PORT/DB"),
    _flags("redis-empty", "--redis=", fragment="--redis"),
    _flags("resume-empty", "--resume=", fragment="''"),
    _flags("resume-unknown", "--resume=nobody", fragment="no run called 'nobody' in runs/"),
    _flags(
        "resume-with-data", "--resume=latest", "--data=x.csv", fragment="takes the run's own config"
    ),
    _flags("resume-with-steps", "--resume=latest", "--steps=9", fragment="takes the run's own con"),
    _flags("resume-with-a-setting", "--resume=latest", "--set=seed=9", fragment="the run's own"),
    _flags("resume-dry", "--resume=latest", "--dry-run", fragment="--dry-run"),
)
