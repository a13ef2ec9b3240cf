"""Domains: the concepts, templates and relationships that actions choose from."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from orchestrator.domain_files import KEYS, SUFFIXES, DomainTable, domain_tables
from orchestrator.space import Space
from orchestrator.templates import Template
from orchestrator.text_files import read_text
from orchestrator.wording import did_you_mean, listed, short
from shared.errors import UsageError

#: Domains that come with the project; their order breaks ties when a text matches several.
BUILTIN_NAMES = ("quantum-computing", "machine-learning", "neural-networks")
#: Starting weight of a concept that [weights] leaves out: logit 0, neither for nor against.
NEUTRAL_WEIGHT = 0.5


@dataclass(frozen=True)
class Domain:
    """What may be asked for about one subject. Made here, read by policy, prompts and matching."""

    name: str
    aliases: tuple[str, ...]
    concepts: tuple[str, ...]
    templates: tuple[Template, ...]
    #: Everything that concepts are related to, in order of first mention.
    features: tuple[str, ...]
    #: Per concept: ascending indices into ``features``.
    related: tuple[tuple[int, ...], ...]
    #: Per concept: starting weight in (0, 1); None if the file gives none.
    weights: tuple[float, ...] | None = None
    #: The file it comes from.
    source: str = ""

    def terms(self) -> tuple[str, ...]:
        """The domain's own words: name, aliases, concepts and features, distinct, in this order."""
        words = (self.name, *self.aliases, *self.concepts, *self.features)
        first: dict[str, str] = {}
        for word in words:
            first.setdefault(word.casefold(), word)
        return tuple(first.values())

    def same(self) -> tuple[int | None, ...]:
        """Per concept: the index of the feature that is the same word, if there is one."""
        index = {feature.casefold(): at for at, feature in enumerate(self.features)}
        return tuple(index.get(concept.casefold()) for concept in self.concepts)

    def space(self, k: int, f: int) -> Space:
        """The actions with k concepts and f features. Raises ValueError as ``Space`` does."""
        n, m = len(self.concepts), len(self.features)
        return Space(n, len(self.templates), m, self.related, self.same(), k, f)


def builtin() -> tuple[Domain, ...]:
    """The domains that come with the project."""
    return load_domains(BUILTIN_NAMES)


def load_domains(refs: Sequence[str]) -> tuple[Domain, ...]:
    """The domains of each ref in order: a built-in name, or a .toml or .json file.

    UsageError: no such domain, a file that is wrong (says what to do), two domains of one name.
    """
    return distinct(domain for ref in refs for domain in _load(ref))


def from_table(name: str, table: Mapping[str, Any], source: str) -> Domain:
    """The domain of a table that a program holds, checked as those of files are.

    ``name`` is the domain's unless the table has one. UsageError: ``source`` begins the message.
    """
    try:
        # The same values that a file could hold: lists for tuples, strings for keys.
        values = json.loads(json.dumps(dict(table)))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{source}: holds what JSON cannot: {error}. Remove it.") from None
    return _domain(DomainTable(name, values), source)


def distinct(domains: Iterable[Domain]) -> tuple[Domain, ...]:
    """The domains as they are. UsageError: two of them have the same name or alias."""
    loaded = tuple(domains)
    owners: dict[str, Domain] = {}
    for domain in loaded:
        for word in (domain.name, *domain.aliases):
            other = owners.setdefault(word.casefold(), domain)
            if other is not domain:
                raise UsageError(
                    f"{domain.source}: domain {domain.name!r} is also called {word!r}, as is "
                    f"{other.name!r} in {other.source}. Rename one, or name only one of the files."
                )
    return loaded


def _load(ref: str) -> tuple[Domain, ...]:
    stem = "-".join(ref.casefold().split())
    if stem in BUILTIN_NAMES:
        resource = files("orchestrator") / "builtin" / "domains" / f"{stem}.toml"
        path = Path(f"{stem}.toml")
        text, source = resource.read_text(encoding="utf-8"), f"built-in {path}"
    elif Path(ref).suffix.lower() in SUFFIXES or len(Path(ref).parts) > 1:
        path, source = Path(ref), ref
        text = read_text(path, SUFFIXES)
    else:
        raise UsageError(
            f"{short(ref)} is no domain.{did_you_mean(stem, BUILTIN_NAMES)} Built in are "
            f"{listed(BUILTIN_NAMES)}; for your own name a {listed(SUFFIXES, 'or')} file."
        )
    return tuple(_domain(table, source) for table in domain_tables(text, path))


def _domain(entry: DomainTable, source: str) -> Domain:
    table = entry.table
    unknown = [key for key in table if key not in KEYS]
    if unknown:
        raise UsageError(
            f"{source}: unknown key {short(unknown[0])}.{did_you_mean(unknown[0], KEYS)} "
            f"A domain has {listed(KEYS)}."
        )
    name = _word(table.get("name", entry.default_name), f"{source}: 'name'")
    where = f"{source}: domain {name!r}"
    if "concepts" in table and "keywords" in table:
        raise UsageError(f"{where}: 'concepts' and 'keywords' are the same. Keep one of them.")
    key = "keywords" if "keywords" in table else "concepts"
    concepts = _words(table.get(key, []), f"{where}: {key!r}")
    if len(concepts) < 2:
        raise UsageError(f"{where}: needs at least 2 {key}, found {len(concepts)}. Add some.")
    features, related = _relationships(table.get("relationships", {}), concepts, where)
    return Domain(
        name=name,
        aliases=_words(table.get("aliases", []), f"{where}: 'aliases'"),
        concepts=concepts,
        templates=_templates(table.get("templates", []), where),
        features=features,
        related=related,
        weights=_weights(table["weights"], concepts, where) if "weights" in table else None,
        source=source,
    )


def _word(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: expected a string, found {short(value)}. Put it in quotes.")
    word = " ".join(value.split())
    if not word:
        raise UsageError(f"{where}: {value!r} is an empty string. Fill it in or remove it.")
    if any(unicodedata.category(character) == "Cc" for character in word):
        raise UsageError(f"{where}: {short(value)} holds a control character. Remove it.")
    return word


def _words(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: expected a list of strings, found {short(value)}.")
    words = [_word(item, where) for item in value]
    folded: set[str] = set()
    for word in words:
        if word.casefold() in folded:
            raise UsageError(f"{where}: {word!r} stands twice (case aside). Remove one.")
        folded.add(word.casefold())
    return tuple(words)


def _templates(value: Any, where: str) -> tuple[Template, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: 'templates' must be a list of strings, found {short(value)}.")
    if not value:
        raise UsageError(f"{where}: needs at least one of 'templates', such as '... {{concept}}'.")
    templates = []
    for number, text in enumerate(value, 1):
        place = f"{where}, template {number}"
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{place}: expected text with {{concept}}, found {short(text)}.")
        templates.append(Template.parse(text.strip(), place))
    return tuple(templates)


def _by_concept(value: Any, key: str, concepts: Sequence[str], where: str) -> dict[int, Any]:
    """A table keyed by concept, as one keyed by the concept's index."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: {key!r} must map concepts to values, found {short(value)}.")
    index = {concept.casefold(): at for at, concept in enumerate(concepts)}
    found: dict[int, Any] = {}
    for written, entry in value.items():
        at = index.get(_word(written, f"{where}: {key!r}").casefold())
        if at is None:
            raise UsageError(
                f"{where}: {key!r} names {short(written)}, which is not one of its concepts."
                f"{did_you_mean(written, concepts)} Correct it, or add it to the concepts."
            )
        if at in found:
            raise UsageError(f"{where}: {key!r} names {short(written)} twice. Keep one.")
        found[at] = entry
    return found


def _relationships(
    value: Any, concepts: Sequence[str], where: str
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """The distinct features, and for each concept the indices of those it is related to."""
    by_concept = _by_concept(value, "relationships", concepts, where)
    features: dict[str, tuple[int, str]] = {}
    related: list[tuple[int, ...]] = []
    for at, concept in enumerate(concepts):
        words = _words(by_concept.get(at, []), f"{where}: relationships of {concept!r}")
        if concept.casefold() in {word.casefold() for word in words}:
            raise UsageError(f"{where}: {concept!r} is related to itself. Remove it from its list.")
        indices = [features.setdefault(w.casefold(), (len(features), w))[0] for w in words]
        related.append(tuple(sorted(indices)))
    return tuple(word for _, word in features.values()), tuple(related)


def _weights(value: Any, concepts: Sequence[str], where: str) -> tuple[float, ...]:
    given = _by_concept(value, "weights", concepts, where)
    for at, weight in given.items():
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not (number and 0 < weight < 1):
            raise UsageError(
                f"{where}: the weight of {concepts[at]!r} must be a number between 0 and 1, "
                f"found {short(weight)}. Write for example 0.5."
            )
    return tuple(float(given.get(at, NEUTRAL_WEIGHT)) for at in range(len(concepts)))
