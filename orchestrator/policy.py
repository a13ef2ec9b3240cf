"""The policy: the exact law of an action (concepts S, template t, features F) in one domain.

    pi(a) = CPS_k(S; theta) * softmax(t; phi) * CPS_f(F | candidates(S); eta)

Owns drawing, log-probabilities and their gradients, entropy and KL: pure numpy, float64. It does
not know prompts, rewards or updates. ``subsets`` holds the law over k-subsets (CPS), ``space`` the
candidates of a set. If a set has no more than f candidates, all are taken with probability 1.

The features' factor depends on S, so its entropy and KL are means over the concept sets of the
given actions, taken as they are: the KL at visited states, as per-token GRPO has it. Concepts and
templates are exact over the whole law.

Arrays are named with their axes: R actions, n concepts, T templates, m features,
d = n + T + m parameters in the order [theta | phi | eta]; G slots and U uniforms in draws;
F is R without the actions that leave no choice of features.
"""

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator import subsets
from orchestrator.rollouts import Action, BoolArray, FloatArray, IntArray, Params
from orchestrator.space import Space

#: Up to this many concept sets, the features' marginal probabilities sum over all of them.
MAX_ENUMERATED_SETS = 4096
#: Sets drawn for the same purpose beyond that: a standard error of at most 0.016.
SAMPLED_SETS = 1024


class Draws(NamedTuple):
    """G actions and the log-probability of each under the params that drew them."""

    actions: tuple[Action, ...]
    log_prob_G: FloatArray


class Measured(NamedTuple):
    """A number in nats and its gradient (d,) in the params."""

    value: float
    gradient_d: FloatArray


class _Encoded(NamedTuple):
    """Actions as arrays."""

    chosen_Rn: BoolArray
    template_R: IntArray
    taken_Rm: BoolArray
    candidates_Rm: BoolArray


def initial_params(space: Space, weights: Sequence[float] | None = None) -> Params:
    """The uniform policy, or one whose concepts are asked for about as often as ``weights`` say.

    Raises ValueError unless there is one weight in (0, 1) per concept.
    """
    theta_n = np.zeros(space.n)
    if weights is not None:
        weights_n = np.array(weights, dtype=np.float64)
        if weights_n.shape != (space.n,) or not np.all((weights_n > 0) & (weights_n < 1)):
            raise ValueError(
                f"weights must be {space.n} numbers between 0 and 1, not {list(weights)!r}"
            )
        theta_n = subsets.theta_from_weights(weights_n, space.k)
    return Params(theta_n, np.zeros(space.T), np.zeros(space.m))


def uniforms(key: tuple[int, int, str], slots: int, count: int) -> FloatArray:
    """Uniform numbers in [0, 1), (slots, count), for key = (seed, step, id).

    Counter-based (Philox 4x64, Salmon et al. 2011): the key makes the stream, the slot its counter,
    so a row depends on nothing but (key, slot) and is the same on every machine.
    """
    seed, step, name = key
    digest = hashlib.blake2b(f"{seed}/{step}/{name}".encode(), digest_size=16).digest()
    words = np.array([int.from_bytes(digest[i : i + 8], "little") for i in (0, 8)], dtype=np.uint64)
    stream = np.random.Philox(key=words)
    fresh = stream.state
    rows = np.empty((slots, count), dtype=np.uint64)
    for slot in range(slots):
        fresh["state"]["counter"] = np.array([0, 0, 0, slot], dtype=np.uint64)
        stream.state = fresh
        rows[slot] = stream.random_raw(count)
    return np.asarray((rows >> np.uint64(11)) * 2.0**-53)


def draw(params: Params, space: Space, uniforms_GU: FloatArray) -> Draws:
    """One action per row of ``uniforms_GU`` (G, ``space.uniforms_needed``): slots of one law.

    The rows may be the slots of any number of groups.
    """
    k = space.k
    concepts_Gk = subsets.draw(params.theta[None], k, uniforms_GU[:, :k])
    below_T = np.cumsum(template_probabilities(params))[:-1]
    template_G = np.searchsorted(below_T, uniforms_GU[:, k], side="right")
    candidates_Gm = space.candidates(_members(concepts_Gk, space.n))
    taken_Gm = _taken_anyway(space, candidates_Gm)
    free_G = _free(space, candidates_Gm)
    if free_G.any():
        logits_Fm = _masked(params.eta, candidates_Gm[free_G])
        drawn_Ff = subsets.draw(logits_Fm, space.f, uniforms_GU[free_G, k + 1 :])
        taken_Gm[np.flatnonzero(free_G)[:, None], drawn_Ff] = True
    actions = tuple(
        Action(tuple(concepts), template, tuple(np.flatnonzero(taken_m).tolist()))
        for concepts, template, taken_m in zip(
            concepts_Gk.tolist(), template_G.tolist(), taken_Gm, strict=True
        )
    )
    return Draws(actions, log_prob(params, space, actions))


def log_prob(params: Params, space: Space, actions: Sequence[Action]) -> FloatArray:
    """log pi(a), (R,). Raises ValueError for an action that the space does not contain."""
    encoded = _encode(space, actions)
    concepts_R = encoded.chosen_Rn @ params.theta - subsets.log_z(params.theta[None], space.k)
    value_R = concepts_R + _log_softmax(params.phi)[encoded.template_R]
    free_R = _free(space, encoded.candidates_Rm)
    if free_R.any():
        logits_Fm = _masked(params.eta, encoded.candidates_Rm[free_R])
        value_R[free_R] += encoded.taken_Rm[free_R] @ params.eta - subsets.log_z(logits_Fm, space.f)
    return np.asarray(value_R)


def score(params: Params, space: Space, actions: Sequence[Action]) -> FloatArray:
    """The gradient of ``log_prob``, (R, d): [1_S - mu | 1_t - p | 1_F - E[1_F | S]]."""
    encoded = _encode(space, actions)
    theta_Rn = encoded.chosen_Rn - inclusion(params, space)
    phi_RT = np.eye(space.T)[encoded.template_R] - template_probabilities(params)
    eta_Rm = encoded.taken_Rm - _feature_inclusion(params, space, encoded.candidates_Rm)
    return np.concatenate([theta_Rn, phi_RT, eta_Rm], axis=1)


def score_variance(params: Params, space: Space, actions: Sequence[Action]) -> FloatArray:
    """Var(score), (d,): the diagonal of the Fisher matrix; features at the actions' sets."""
    mu_n, p_T = inclusion(params, space), template_probabilities(params)
    mean_Rm = _feature_inclusion(params, space, _encode(space, actions).candidates_Rm)
    spread_m = (mean_Rm * (1 - mean_Rm)).sum(axis=0) / max(len(actions), 1)
    variance_d = np.concatenate([mu_n * (1 - mu_n), p_T * (1 - p_T), spread_m])
    return np.asarray(np.maximum(variance_d, 0.0))


def kl(params: Params, reference: Params, space: Space, actions: Sequence[Action]) -> Measured:
    """KL(params || reference); features at the actions' sets. Gradient in ``params``."""
    theta_1n, moved_1n = params.theta[None], (params.theta - reference.theta)[None]
    log_p_T = _log_softmax(params.phi)
    moved_T = log_p_T - _log_softmax(reference.phi)
    p_T = np.exp(log_p_T)
    templates = float(p_T @ moved_T)
    value = float(subsets.kl(theta_1n, reference.theta[None], space.k)[0]) + max(templates, 0.0)
    gradient_n = subsets.covariance_times(theta_1n, space.k, moved_1n)[0]
    gradient_m = np.zeros(space.m)
    candidates_Rm = _encode(space, actions).candidates_Rm
    free_R = _free(space, candidates_Rm)
    if free_R.any():
        logits_Fm = _masked(params.eta, candidates_Rm[free_R])
        reference_Fm = _masked(reference.eta, candidates_Rm[free_R])
        moved_Fm = subsets.difference(logits_Fm, reference_Fm)
        value += float(subsets.kl(logits_Fm, reference_Fm, space.f).sum()) / len(actions)
        gradient_m = subsets.covariance_times(logits_Fm, space.f, moved_Fm).sum(axis=0) / len(
            actions
        )
    return Measured(value, np.concatenate([gradient_n, p_T * (moved_T - templates), gradient_m]))


def entropy(params: Params, space: Space, actions: Sequence[Action]) -> Measured:
    """-E[log pi]; features at the actions' sets. Largest entropy minus KL(params || uniform)."""
    away = kl(params, initial_params(space), space, actions)
    counts_R = _encode(space, actions).candidates_Rm.sum(axis=1).tolist()
    features = sum(math.log(math.comb(count, space.f)) for count in counts_R if count > space.f)
    largest = (
        math.log(math.comb(space.n, space.k)) + math.log(space.T) + features / max(len(actions), 1)
    )
    return Measured(max(largest - away.value, 0.0), -away.gradient_d)


def inclusion(params: Params, space: Space) -> FloatArray:
    """mu (n,): how often each concept is asked for; the weight people see."""
    return np.asarray(subsets.inclusion(params.theta[None], space.k)[0])


def template_probabilities(params: Params) -> FloatArray:
    """p (T,)."""
    return np.exp(_log_softmax(params.phi))


def feature_probabilities(
    params: Params, space: Space, actions: Sequence[Action] | None = None
) -> FloatArray:
    """How often each feature is asked for, (m,): E over S of P(j in F | S).

    Over the sets of the given actions; without any, over all sets of the policy (at most
    ``MAX_ENUMERATED_SETS``) or ``SAMPLED_SETS`` sets of a fixed stream.
    """
    if actions is not None:
        chosen_Rn = _encode(space, actions).chosen_Rn
        weight_R = np.full(len(actions), 1 / max(len(actions), 1))
    elif math.comb(space.n, space.k) <= MAX_ENUMERATED_SETS:
        sets = itertools.combinations(range(space.n), space.k)
        chosen_Rn = _members(np.array(list(sets)), space.n)
        log_z = subsets.log_z(params.theta[None], space.k)
        weight_R = np.exp(chosen_Rn @ params.theta - log_z)
    else:
        stream_RU = uniforms((0, 0, "feature_probabilities"), SAMPLED_SETS, space.k)
        chosen_Rn = _members(subsets.draw(params.theta[None], space.k, stream_RU), space.n)
        weight_R = np.full(SAMPLED_SETS, 1 / SAMPLED_SETS)
    return np.asarray(weight_R @ _feature_inclusion(params, space, space.candidates(chosen_Rn)))


def greedy(params: Params, space: Space) -> Action:
    """The deployed action: top-k theta, argmax phi, top-f eta; ties go to the lowest index."""
    concepts = np.sort(np.argsort(-params.theta, kind="stable")[: space.k])
    candidates_m = space.candidates(_members(concepts[None], space.n))[0]
    ranked = np.argsort(-_masked(params.eta, candidates_m), kind="stable")
    features = np.sort(ranked[: min(space.f, int(candidates_m.sum()))])
    return Action(tuple(concepts.tolist()), int(np.argmax(params.phi)), tuple(features.tolist()))


def centred(params: Params) -> Params:
    """The same law with every factor's logits around 0: each is the same under a shift."""
    parts = (params.theta, params.phi, params.eta)
    return Params(*(part - part.mean() if part.size else part for part in parts))


def _encode(space: Space, actions: Sequence[Action]) -> _Encoded:
    chosen_Rn = np.zeros((len(actions), space.n), dtype=np.bool_)
    taken_Rm = np.zeros((len(actions), space.m), dtype=np.bool_)
    for row, action in enumerate(actions):
        chosen_Rn[row, list(action.concepts)] = True
        taken_Rm[row, list(action.features)] = True
    template_R = np.array([action.template for action in actions], dtype=np.int64)
    candidates_Rm = space.candidates(chosen_Rn)
    expected_R = np.minimum(candidates_Rm.sum(axis=1), space.f)
    possible_R = (
        (chosen_Rn.sum(axis=1) == space.k)
        & (template_R >= 0)
        & (taken_Rm.sum(axis=1) == expected_R)
        & ~np.any(taken_Rm & ~candidates_Rm, axis=1)
    )
    if not possible_R.all():
        raise ValueError(
            f"{actions[int(np.argmin(possible_R))]!r} is no action of this domain: it needs "
            f"{space.k} concepts and {space.f} of their features; was the domain edited?"
        )
    return _Encoded(chosen_Rn, template_R, taken_Rm, candidates_Rm)


def _members(indices_Rk: IntArray, size: int) -> BoolArray:
    members_Rn = np.zeros((len(indices_Rk), size), dtype=np.bool_)
    np.put_along_axis(members_Rn, indices_Rk, True, axis=1)
    return members_Rn


def _free(space: Space, candidates_Rm: BoolArray) -> BoolArray:
    """The rows that have a choice of features."""
    return np.asarray((candidates_Rm.sum(axis=1) > space.f) & (space.f > 0))


def _taken_anyway(space: Space, candidates_Rm: BoolArray) -> BoolArray:
    """The features that are taken with probability 1: all candidates where there is no choice."""
    few_R = candidates_Rm.sum(axis=1) <= space.f
    return np.asarray(candidates_Rm & few_R[:, None])


def _masked(eta_m: FloatArray, candidates_Rm: BoolArray) -> FloatArray:
    return np.where(candidates_Rm, eta_m, -np.inf)


def _feature_inclusion(params: Params, space: Space, candidates_Rm: BoolArray) -> FloatArray:
    """E[1_F | S], (R, m)."""
    mean_Rm = _taken_anyway(space, candidates_Rm).astype(np.float64)
    free_R = _free(space, candidates_Rm)
    if free_R.any():
        logits_Fm = _masked(params.eta, candidates_Rm[free_R])
        mean_Rm[free_R] = subsets.inclusion(logits_Fm, space.f)
    return mean_Rm


def _log_softmax(phi_T: FloatArray) -> FloatArray:
    shifted_T = phi_T - phi_T.max()
    return np.asarray(shifted_T - np.log(np.exp(shifted_T).sum()))
