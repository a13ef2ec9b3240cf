"""What a run works on, loaded and checked before anything is started: data, domains, rewards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from orchestrator import data
from orchestrator.algorithm import Natural
from orchestrator.config import RunConfig
from orchestrator.data_sources import STDIN
from orchestrator.domains import Domain, load_domains
from orchestrator.matching import check_rule, left_out, match_all
from orchestrator.rollouts import Example
from orchestrator.space import Space, most_chosen
from orchestrator.text_files import read_text
from shared.errors import UsageError
from shared.messages import RewardTerm

#: What a completion is for.
Purpose = Literal["train", "eval"]

#: Parts of a domain whose regression on all of them takes seconds a step, and not minutes.
MOST_PARTS = 3_000
BUILTIN_RUBRIC = Path(__file__).parent / "builtin" / "rubric.md"


class InputFile(NamedTuple):
    """Something that a run reads, and keeps a copy of."""

    #: The file, or what else it came from.
    source: str
    suffix: str
    #: What was read, where there is no file to copy.
    content: str | None = None


@dataclass(frozen=True)
class Inputs:
    """The checked inputs of one run. Made by ``prepare``, read everywhere."""

    config: RunConfig
    domains: Mapping[str, Domain]
    spaces: Mapping[str, Space]
    train: tuple[Example, ...]
    heldout: tuple[Example, ...]
    #: Example id -> domain name, for training; and the same for held-out examples.
    train_domains: Mapping[str, str]
    heldout_domains: Mapping[str, str]
    #: Examples that match no domain: they get the honest answer and never train.
    unmatched: tuple[Example, ...]
    #: Sentences about examples that match several domains equally well.
    ties: tuple[str, ...]
    rewards: tuple[RewardTerm, ...]
    #: Measured on held-out completions, and no part of the reward.
    eval_metrics: tuple[RewardTerm, ...]
    #: What the judges look for, if there are any.
    rubric: str
    #: Extra columns of the data, for rewards.
    columns: tuple[str, ...]
    #: What was read, by what it is.
    files: Mapping[str, "InputFile"]
    #: What was taken for what where the data calls our fields otherwise.
    understood: tuple[str, ...] = ()

    @property
    def left_out(self) -> str | None:
        """That many prompts match no domain, and what to do; None where they are few."""
        lost = len(self.unmatched)
        total = lost + len(self.train) + len(self.heldout)
        return left_out(lost, total, self.config.match)

    @property
    def trained_on(self) -> tuple[Example, ...]:
        """Held-out prompts that stand in the training data too."""
        texts = {data.same_text(one.text) for one in self.train}
        return tuple(one for one in self.heldout if data.same_text(one.text) in texts)

    @property
    def steps(self) -> int:
        """Updates of the whole run."""
        return self.config.steps(len(self.train))

    def terms(self, purpose: Purpose) -> tuple[RewardTerm, ...]:
        """What a completion is scored by: held-out ones by the eval metrics too, at weight 0."""
        return self.rewards + (self.eval_metrics if purpose == "eval" else ())


def prepare_new(config: RunConfig) -> Inputs:
    """``prepare``, for a run that is to start: its held-out data is not what it trains on."""
    if config.data and config.heldout and _is_same(config.data, config.heldout):
        raise UsageError(
            f"data and heldout are the same: {config.heldout}. Hold out other prompts, or name no"
            " held-out data: then a share of the training data is held out."
        )
    inputs = prepare(config)
    if config.heldout and (fault := data.trained_on(inputs.train, inputs.heldout, config.heldout)):
        raise fault
    return inputs


def prepare(config: RunConfig) -> Inputs:
    """Load and check everything that a run needs. Raises UsageError naming file and line."""
    domains = load_domains(config.domains)
    check_rule(config.match, domains)
    spaces = {domain.name: space(domain, config) for domain in domains}
    train_set = _load(config.data, data.BUILTIN_TRAIN, config)
    files = {"train": _data_file(train_set), **_domain_files(config)}
    if config.rubric:
        files["rubric"] = _file(config.rubric)
    if config.heldout or not config.data:
        heldout_set = _load(config.heldout, data.BUILTIN_HELDOUT, config)
        files["heldout"] = _data_file(heldout_set)
        train, heldout = train_set.examples, heldout_set.examples
        columns = dict.fromkeys((*train_set.extra_columns, *heldout_set.extra_columns))
    else:
        train, heldout = data.split(train_set.examples, config.heldout_fraction, config.seed)
        columns = dict.fromkeys(train_set.extra_columns)
    train_domains, lost, ties = _matched(train, domains, config)
    heldout_domains, lost_heldout, _ = _matched(heldout, domains, config)
    if not train_domains:
        raise UsageError(
            f"{train_set.name}: none of the {len(train)} training prompts matches a domain"
            f" ({', '.join(d.name for d in domains)}); add a 'domain' field, or a domain file"
            ' with --domain; all prompts belong to a single domain, unless match = "words"'
        )
    return Inputs(
        config=config,
        domains={domain.name: domain for domain in domains},
        spaces=spaces,
        train=tuple(e for e in train if e.id in train_domains),
        heldout=tuple(e for e in heldout if e.id in heldout_domains),
        train_domains=train_domains,
        heldout_domains=heldout_domains,
        unmatched=(*lost, *lost_heldout),
        ties=ties,
        rewards=reward_terms(config),
        eval_metrics=tuple(_term(config, name, 0.0) for name in config.eval_metrics),
        rubric=_rubric(config),
        columns=tuple(columns),
        files=files,
        understood=train_set.understood,
    )


def space(domain: Domain, config: RunConfig) -> Space:
    """The actions of a domain under a config.

    Raises UsageError if it takes more concepts or features than there are, or than exact
    probabilities and one regression on all parts can bear.
    """
    k = config.concepts_per_prompt
    if k >= len(domain.concepts):
        raise UsageError(
            f"{domain.source}: concepts_per_prompt = {k}, but the domain {domain.name!r} has"
            f" {len(domain.concepts)} concepts; a choice needs more concepts than it takes: add"
            f" concepts, or --set concepts_per_prompt={max(1, len(domain.concepts) - 1)}"
        )
    found = domain.space(k, config.features_per_prompt)
    _check_bounds(found, domain, config)
    return found


def _check_bounds(found: Space, domain: Domain, config: RunConfig) -> None:
    offered = min(found.m, sum(sorted(map(len, found.related))[-found.k :]))
    for key, taken, among, what in (
        ("concepts_per_prompt", found.k, found.n, "concepts"),
        ("features_per_prompt", min(found.f, max(offered - 1, 1)), offered, "related features"),
    ):
        if among > 1 and taken > (most := most_chosen(among)):
            raise UsageError(
                f"{domain.source}: {key} = {taken} of {among:,} {what} of the domain"
                f" {domain.name!r}: the probability of so many sets cannot be computed exactly;"
                f" take at most {most}, or fewer {what}"
            )
    squares = isinstance(config.algorithm, Natural)
    squares |= getattr(config.algorithm, "optimizer", "") == "natural_gradient"
    if squares and found.d > MOST_PARTS:
        raise UsageError(
            f"{domain.source}: the domain {domain.name!r} has {found.d:,} concepts, templates and"
            f" features together; {config.algorithm.solver!r} holds a number for each two of them,"
            f' and {MOST_PARTS:,} are the most: use fewer, or solver = "clipped" with another'
            " optimizer than natural_gradient"
        )


def reward_terms(config: RunConfig) -> tuple[RewardTerm, ...]:
    """The parts of the reward with their weights and options."""
    return tuple(_term(config, name, weight) for name, weight in config.rewards().items())


def _term(config: RunConfig, name: str, weight: float) -> RewardTerm:
    return RewardTerm(name=name, weight=weight, options=config.reward_options.get(name, {}))


def _is_same(one: str, other: str) -> bool:
    """Whether two sources of data are one and the same."""
    if one == other == STDIN:
        raise UsageError("data and heldout are both '-'; standard input can be read only once")
    try:
        return one == other or Path(one).samefile(other)
    except (OSError, ValueError):
        return False


def _rubric(config: RunConfig) -> str:
    path = Path(config.rubric) if config.rubric else BUILTIN_RUBRIC
    text = read_text(path, (".md", ".txt"))
    if not text.strip():
        raise UsageError(f"{path}: the rubric is empty; say what the judges should look for")
    return text


def _matched(
    examples: Sequence[Example], domains: Sequence[Domain], config: RunConfig
) -> tuple[dict[str, str], list[Example], tuple[str, ...]]:
    found: dict[str, str] = {}
    lost: list[Example] = []
    ties: list[str] = []
    for example, matched in zip(examples, match_all(examples, domains, config.match), strict=True):
        if matched.domain is None:
            lost.append(example)
            continue
        found[example.id] = matched.domain.name
        if matched.ties:
            others = ", ".join(matched.ties)
            ties.append(f"{example.source}: {matched.domain.name} ties with {others}")
    return found, lost, tuple(ties)


def _domain_files(config: RunConfig) -> dict[str, InputFile]:
    return {
        f"domain-{number}": _file(ref)
        for number, ref in enumerate(config.domains)
        if Path(ref).is_file()
    }


def _load(ref: str, builtin: Path, config: RunConfig) -> data.Dataset:
    return data.load(ref, config.columns) if ref else data.load(builtin)


def _data_file(dataset: data.Dataset) -> InputFile:
    if dataset.kept is not None:
        return InputFile(dataset.name, ".jsonl", dataset.kept)
    return _file(dataset.name)


def _file(path: str) -> InputFile:
    return InputFile(path, Path(path).suffix)
