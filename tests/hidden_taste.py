"""A judge with a hidden taste, and what a policy is truly worth in its eyes.

The stand-in's judge favours some words, whatever its rubric says. Here the same writing and the
same judging are done without the wire, so that the expected score of an action can be computed to
any precision, and a learned policy be compared with the best there is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from pathlib import Path
from random import Random

import numpy as np

from orchestrator.config import RunConfig
from orchestrator.data import BUILTIN_HELDOUT, BUILTIN_TRAIN
from orchestrator.inputs import Inputs, prepare
from orchestrator.prompts import build
from orchestrator.rollouts import Action, Example
from orchestrator.standin.judging import judged_text, merit
from orchestrator.standin.writing import explanation

DOMAIN = "quantum-computing"
#: What the judge likes, and what it cannot stand: concepts that are no feature of another.
PREFERENCE = {"decoherence": 0.5, "quantum gates": 0.4, "quantum hardware": -0.4}
USEFUL = {"decoherence", "quantum gates"}
NOISE = 0.08
#: Texts per action in each round of the search for the best, and the actions that stay.
ROUNDS = ((5, 300), (50, 24), (500, 3), (4000, 1))


@dataclass(frozen=True)
class Taste:
    """The worth of actions in one domain."""

    inputs: Inputs
    preference: Mapping[str, float]

    def worth(self, action: Action, texts: int, seed: int = 0) -> float:
        """The expected score of an action over the training prompts, from so many texts."""
        source = Random(f"{seed}:{action}")
        examples = self.inputs.train
        return float(np.mean([self._score(examples[i % len(examples)], action, source)
                              for i in range(texts)]))  # fmt: skip

    def _score(self, example: Example, action: Action, source: Random) -> float:
        (domain,) = self.inputs.domains.values()
        request = build(example, domain, action).messages[-1].content
        material = json.dumps({"question": example.text, "answer": explanation(request, source)})
        score = merit(judged_text(material), self.preference, NOISE, source)
        return round(score * 10) / 10

    @cached_property
    def actions(self) -> list[Action]:
        """Every action of the domain."""
        (space,) = self.inputs.spaces.values()
        found = []
        for concepts, template in product(combinations(range(space.n), space.k), range(space.T)):
            chosen = np.zeros((1, space.n), dtype=np.bool_)
            chosen[0, list(concepts)] = True
            free = np.flatnonzero(space.candidates(chosen)[0]).tolist()
            for features in combinations(free, min(space.f, len(free))):
                found.append(Action(concepts, template, features))
        return found

    @cached_property
    def uniform(self) -> float:
        """The expected score of the policy that knows nothing."""
        source = Random(1)
        actions = [source.choice(self.actions) for _ in range(6000)]
        return float(np.mean([self.worth(a, 1, seed=n) for n, a in enumerate(actions)]))

    @cached_property
    def best(self) -> float:
        """The expected score of the best action, by successive halving over all of them; measured
        with texts of its own."""
        left: Sequence[Action] = self.actions
        for texts, stay in ROUNDS:
            scored = sorted(left, key=lambda a: -self.worth(a, texts, seed=texts))
            left = scored[:stay]
        return self.worth(left[0], 8000, seed=9)

    def reached(self, action: Action) -> float:
        """The share of what can be gained over the uniform policy that an action gains."""
        return (self.worth(action, 8000, seed=10) - self.uniform) / (self.best - self.uniform)


def taste(folder: Path, heldout: int = 4) -> Taste:
    """The worth of the quantum domain's actions for its built-in prompts, which are written into
    ``train.jsonl`` and ``heldout.jsonl`` in ``folder``."""
    everything = prepare(RunConfig())
    kept = {
        "train": (BUILTIN_TRAIN, everything.train, everything.train_domains, None),
        "heldout": (BUILTIN_HELDOUT, everything.heldout, everything.heldout_domains, heldout),
    }
    for name, (source, examples, domains, count) in kept.items():
        texts = {e.text for e in examples if domains[e.id] == DOMAIN.replace("-", " ")}
        lines = source.read_text("utf-8").splitlines()
        ours = [line for line in lines if json.loads(line)["text"] in texts][:count]
        (folder / f"{name}.jsonl").write_text("\n".join(ours) + "\n", encoding="utf-8")
    config = RunConfig(
        data=str(folder / "train.jsonl"), heldout=str(folder / "heldout.jsonl"), domains=(DOMAIN,)
    )
    return Taste(prepare(config), PREFERENCE)
