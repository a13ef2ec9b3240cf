"""The domains and prompts that come with the project."""

import re
from collections import Counter
from itertools import combinations

import pytest

from orchestrator.data import BUILTIN_HELDOUT, BUILTIN_TRAIN, load
from orchestrator.domains import Domain, builtin
from orchestrator.matching import match, match_all, topic
from orchestrator.rollouts import Example

TRAIN = load(BUILTIN_TRAIN).examples
HELDOUT = load(BUILTIN_HELDOUT).examples
DOMAINS = builtin()
each_domain = pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)


def drafts(domain: Domain, template: int) -> list[str]:
    """The template filled with every pair of concepts and two of their features."""
    texts = []
    for pair in combinations(range(len(domain.concepts)), 2):
        related = sorted({index for concept in pair for index in domain.related[concept]})
        features = [domain.features[index] for index in related[:2]]
        concepts = [domain.concepts[index] for index in pair]
        texts.append(domain.templates[template].fill(domain.name, concepts, features))
    return texts


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@each_domain
def test_a_domain_has_ten_concepts_six_templates_and_features_for_each(domain: Domain) -> None:
    assert (len(domain.concepts), len(domain.templates)) == (10, 6)
    assert all(3 <= len(related) <= 5 for related in domain.related)
    shared = Counter(index for related in domain.related for index in related)
    assert sum(count > 1 for count in shared.values()) >= 4
    assert sum(index is not None for index in domain.same()) >= 3


@each_domain
def test_templates_differ_in_what_the_rewards_look_at(domain: Domain) -> None:
    lengths, diversity = [], []
    for template in range(6):
        counted = [words(text) for text in drafts(domain, template)]
        lengths.append(sum(map(len, counted)) / len(counted))
        diversity.append(sum(len(set(one)) / len(one) for one in counted) / len(counted))
    one_line, short, good, steps, rambling, medium = lengths
    assert one_line < 12
    assert short < 30
    assert 50 <= good <= 72
    assert 50 <= steps <= 72
    assert 105 <= rambling <= 150
    assert 30 <= medium <= 45
    assert diversity[4] < 0.35
    assert min(*diversity[:4], diversity[5]) > 0.75


@each_domain
def test_filled_templates_are_sentences(domain: Domain) -> None:
    for template in range(6):
        for text in drafts(domain, template):
            assert re.match(r"[A-Z]", text)
            assert text.endswith(".")
            assert not re.search(r"[{}]|  |\.\s+[a-z]", text)


def test_the_examples_are_64_and_24_different_prompts_with_references() -> None:
    assert (len(TRAIN), len(HELDOUT)) == (64, 24)
    assert len({one.text.casefold() for one in (*TRAIN, *HELDOUT)}) == 88
    assert all(one.reference for one in (*TRAIN, *HELDOUT))
    assert sum(one.domain is not None for one in (*TRAIN, *HELDOUT)) <= 5


@pytest.mark.parametrize("examples", [TRAIN, HELDOUT], ids=["train", "heldout"])
def test_every_example_matches_one_domain(examples: tuple[Example, ...]) -> None:
    matches = match_all(examples, DOMAINS)
    assert [one.text for one, found in zip(examples, matches, strict=True) if found.ties] == []
    counts = Counter(found.domain.name for found in matches if found.domain)
    assert sum(counts.values()) == len(examples)
    assert min(counts.values()) >= len(examples) // 3


@pytest.mark.parametrize(
    ("name", "useful"),
    [
        ("quantum computing", {"superposition", "entanglement"}),
        ("machine learning", {"training data", "generalisation"}),
        ("neural networks", {"backpropagation", "activation functions"}),
    ],
)
def test_references_favour_two_concepts_of_each_domain(name: str, useful: set[str]) -> None:
    domain = next(domain for domain in DOMAINS if domain.name == name)
    counts: Counter[str] = Counter()
    for one in TRAIN:
        if match(one.text, one.domain, DOMAINS).domain is domain:
            reference = str(one.reference).casefold()
            counts.update(c for c in domain.concepts if c.removesuffix("s") in reference)
    (_, first), (_, second), (_, third), *_ = counts.most_common()
    assert {concept for concept, _ in counts.most_common(2)} == useful
    assert second > third
    assert first >= 15


def test_topics_read_as_plurals_or_mass_nouns() -> None:
    assert [topic(one.text, DOMAINS[0]) for one in TRAIN[:4:3]] == ["quantum computing", "qubits"]
