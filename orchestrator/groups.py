"""From a batch to groups of drawn actions, to jobs for the workers, and back to finished groups."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator import policy
from orchestrator.inputs import Inputs, Purpose
from orchestrator.ledger import GroupJob, SlotResult
from orchestrator.preflight import Models
from orchestrator.prompts import slot_prompt, system_message
from orchestrator.rollouts import PLAIN, Example, Group, Params, Rollout, Weights
from orchestrator.space import Space
from shared.messages import GenerateJob, ScoreJob

Batch = Sequence[tuple[str, Example]]

#: Characters of a prompt that Flower and logs may show.
LABEL_CHARACTERS = 40
#: Times that an action which a group has already is drawn anew.
REDRAWS = 8


def draw(
    inputs: Inputs,
    domains: Mapping[str, str],
    weights: Weights,
    batch: Batch,
    step: int,
    slots: int | Mapping[str, int],
    greedy: bool = False,
) -> tuple[Group, ...]:
    """A group of ``slots`` actions per (group id, example), under the newest weights.

    ``slots`` may differ by domain. The random numbers depend on (seed, step, group, slot) alone.
    ``greedy`` takes the policy's best action for every slot instead.
    """
    found = []
    for name, example in batch:
        domain = domains[example.id]
        count = slots if isinstance(slots, int) else slots[domain]
        found.append(_group(inputs, weights, name, example, domain, step, count, greedy))
    return tuple(found)


def plain(
    domains: Mapping[str, str], weights: Weights, batch: Batch, step: int, slots: int
) -> tuple[Group, ...]:
    """A group of ``slots`` prompts without concepts per (group id, example)."""
    rollouts = tuple(Rollout(slot, PLAIN, 0.0) for slot in range(slots))
    return tuple(
        Group(
            name,
            step,
            example,
            domains[example.id],
            weights.version,
            weights.domains[domains[example.id]].params,
            rollouts,
        )
        for name, example in batch
    )


def jobs(
    inputs: Inputs,
    models: Models,
    groups: Sequence[Group],
    run: str,
    purpose: Purpose = "train",
) -> list[GroupJob]:
    """What the workers need to generate and score the groups."""
    return [_job(inputs, models, group, run, purpose) for group in groups]


def finish(
    groups: Sequence[Group], results: Mapping[str, Mapping[int, SlotResult]]
) -> tuple[Group, ...]:
    """The groups with what became of each slot."""
    return tuple(
        replace(
            group,
            rollouts=tuple(
                replace(rollout, **results[group.id][rollout.slot]._asdict())
                for rollout in group.rollouts
            ),
        )
        for group in groups
    )


def sampling_seed(seed: int, step: int, group: str, slot: int) -> int:
    """A 31-bit seed that no other slot of the run has by design."""
    digest = hashlib.blake2b(f"{seed}/{step}/{group}/{slot}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def _group(
    inputs: Inputs,
    weights: Weights,
    name: str,
    example: Example,
    domain: str,
    step: int,
    slots: int,
    greedy: bool,
) -> Group:
    space, params = inputs.spaces[domain], weights.domains[domain].params
    if greedy:
        actions = (policy.greedy(params, space),) * slots
        log_prob_G = policy.log_prob(params, space, actions)
    else:
        redraws = REDRAWS if inputs.config.duplicate_actions == "redraw" else 0
        seed = inputs.config.seed
        actions, log_prob_G = _drawn(params, space, (seed, step, name), slots, redraws)
    rollouts = tuple(
        Rollout(slot, action, float(log_prob))
        for slot, (action, log_prob) in enumerate(zip(actions, log_prob_G, strict=True))
    )
    return Group(name, step, example, domain, weights.version, params, rollouts)


def _drawn(
    params: Params, space: Space, key: tuple[int, int, str], slots: int, redraws: int
) -> policy.Draws:
    """``slots`` draws; those that repeat an earlier slot's action are drawn anew ``redraws`` times
    at most, for a sharp policy has few actions to offer."""
    uniforms_GU = policy.uniforms(key, slots, space.uniforms_needed)
    actions, log_prob_G = policy.draw(params, space, uniforms_GU)
    for again in range(1, redraws + 1):
        repeated = [slot for slot, action in enumerate(actions) if action in actions[:slot]]
        if not repeated:
            break
        fresh_key = (key[0], key[1], f"{key[2]} again {again}")
        fresh_GU = policy.uniforms(fresh_key, slots, space.uniforms_needed)[repeated]
        fresh = policy.draw(params, space, fresh_GU)
        replaced = dict(zip(repeated, fresh.actions, strict=True))
        actions = tuple(replaced.get(slot, action) for slot, action in enumerate(actions))
        log_prob_G[repeated] = fresh.log_prob_G
    return policy.Draws(actions, log_prob_G)


def _job(inputs: Inputs, models: Models, group: Group, run: str, purpose: Purpose) -> GroupJob:
    config, domain = inputs.config, inputs.domains[group.domain]
    terms = inputs.terms(purpose)
    judges = models.judges if any(term.name == "judge" for term in terms) else ()
    generate = GenerateJob(
        run=run,
        step=group.step,
        group=group.id,
        prompts=tuple(
            slot_prompt(
                group.example,
                domain,
                rollout.action,
                system_message(config),
                rollout.slot,
                sampling_seed(config.seed, group.step, group.id, rollout.slot),
            )
            for rollout in group.rollouts
        ),
        sampling=models.generator,
        limits=models.limits,
        purpose=purpose,
    )
    score = ScoreJob(
        run=run,
        step=group.step,
        group=group.id,
        prompt=group.example.text,
        reference=group.example.reference,
        terms=domain.terms(),
        extra=dict(group.example.extra),
        rewards=terms,
        judges=judges,
        rubric=inputs.rubric if judges else "",
        rejudge_fraction=config.rejudge_fraction,
        limits=models.limits,
        purpose=purpose,
    )
    return GroupJob(generate, score, label(group, purpose))


def label(group: Group, purpose: Purpose = "train") -> str:
    """What Flower shows: ``s003 e017 x8: Explain quantum computing``."""
    text = " ".join(group.example.text.split())
    short = text if len(text) <= LABEL_CHARACTERS else text[: LABEL_CHARACTERS - 1] + "…"
    held_out = "eval " if purpose == "eval" else ""
    return f"s{group.step:03d} {held_out}{group.example.id} x{len(group.rollouts)}: {short}"
