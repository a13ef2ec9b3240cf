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
from orchestrator.encoding import Actions, encode
from orchestrator.rollouts import Action, FloatArray, IntArray, Params
from orchestrator.space import Offered, Space

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
    offered = space.offered(concepts_Gk)
    taken_Gw = offered.open & (space.f > 0)
    free = _free(space, offered)
    if len(free.rows):
        drawn_Ff = subsets.draw(free.logits(params.eta), space.f, uniforms_GU[free.rows, k + 1 :])
        taken_Gw[free.rows] = False
        taken_Gw[free.rows[:, None], drawn_Ff] = True
    actions = tuple(
        Action(tuple(concepts), template, tuple(at_w[taken_w].tolist()))
        for concepts, template, at_w, taken_w in zip(
            concepts_Gk.tolist(), template_G.tolist(), offered.at, taken_Gw, strict=True
        )
    )
    return Draws(actions, log_prob(params, space, actions))


def log_prob(params: Params, space: Space, actions: Actions) -> FloatArray:
    """log pi(a), (R,). Raises ValueError for an action that the space does not contain."""
    encoded = encode(space, actions)
    concepts_R = params.theta[encoded.concepts_Rk].sum(axis=1)
    value_R = concepts_R - subsets.log_z(params.theta[None], space.k)
    value_R += _log_softmax(params.phi)[encoded.template_R]
    free = _free(space, encoded.offered)
    if len(free.rows):
        taken_Fw = encoded.taken_Rw[free.rows]
        taken_F = np.where(taken_Fw, params.eta[free.offered.at], 0.0).sum(axis=1)
        value_R[free.rows] += taken_F - subsets.log_z(free.logits(params.eta), space.f)
    return np.asarray(value_R)


def score(params: Params, space: Space, actions: Actions) -> FloatArray:
    """The gradient of ``log_prob``, (R, d): [1_S - mu | 1_t - p | 1_F - E[1_F | S]]."""
    encoded = encode(space, actions)
    rows = len(encoded.template_R)
    score_Rd, rows_R1 = np.zeros((rows, space.d)), np.arange(rows)[:, None]
    score_Rd[:, : space.n] = -inclusion(params, space)
    score_Rd[rows_R1, encoded.concepts_Rk] += 1
    score_Rd[:, space.n : space.n + space.T] = -template_probabilities(params)
    score_Rd[rows_R1[:, 0], space.n + encoded.template_R] += 1
    offered = encoded.offered
    away_Rw = encoded.taken_Rw - _feature_inclusion(params, space, offered)
    row_J, column_J = np.nonzero(offered.open)
    first = space.n + space.T
    score_Rd[row_J, first + offered.at[row_J, column_J]] = away_Rw[row_J, column_J]
    return score_Rd


def score_variance(params: Params, space: Space, actions: Actions) -> FloatArray:
    """Var(score), (d,): the diagonal of the Fisher matrix; features at the actions' sets."""
    mu_n, p_T = inclusion(params, space), template_probabilities(params)
    offered = encode(space, actions).offered
    mean_Rw = _feature_inclusion(params, space, offered)
    spread_m = offered.summed(mean_Rw * (1 - mean_Rw), space.m) / max(len(mean_Rw), 1)
    variance_d = np.concatenate([mu_n * (1 - mu_n), p_T * (1 - p_T), spread_m])
    return np.asarray(np.maximum(variance_d, 0.0))


def kl_value(params: Params, reference: Params, space: Space, actions: Actions) -> float:
    """KL(params || reference) in nats; features at the actions' sets."""
    log_p_T = _log_softmax(params.phi)
    templates = float(np.exp(log_p_T) @ (log_p_T - _log_softmax(reference.phi)))
    concepts_1 = subsets.kl(params.theta[None], reference.theta[None], space.k)
    value = float(concepts_1[0]) + max(templates, 0.0)
    offered = encode(space, actions).offered
    free = _free(space, offered)
    if len(free.rows):
        features_F = subsets.kl(free.logits(params.eta), free.logits(reference.eta), space.f)
        value += float(features_F.sum()) / len(offered.at)
    return value


def kl(params: Params, reference: Params, space: Space, actions: Actions) -> Measured:
    """``kl_value`` and its gradient in ``params``."""
    theta_1n, moved_1n = params.theta[None], (params.theta - reference.theta)[None]
    log_p_T = _log_softmax(params.phi)
    moved_T = log_p_T - _log_softmax(reference.phi)
    p_T = np.exp(log_p_T)
    gradient_n = subsets.covariance_times(theta_1n, space.k, moved_1n)[0]
    gradient_T = p_T * (moved_T - p_T @ moved_T)
    gradient_m = np.zeros(space.m)
    encoded = encode(space, actions)
    free = _free(space, encoded.offered)
    if len(free.rows):
        logits_Fw = free.logits(params.eta)
        moved_Fw = subsets.difference(logits_Fw, free.logits(reference.eta))
        gradient_Fw = subsets.covariance_times(logits_Fw, space.f, moved_Fw)
        gradient_m = free.offered.summed(gradient_Fw, space.m) / len(encoded.template_R)
    value = kl_value(params, reference, space, encoded)
    return Measured(value, np.concatenate([gradient_n, gradient_T, gradient_m]))


def entropy_value(params: Params, space: Space, actions: Actions) -> float:
    """-E[log pi] in nats; features at the actions' sets. Largest minus KL(params || uniform)."""
    encoded = encode(space, actions)
    away = kl_value(params, initial_params(space), space, encoded)
    return max(_largest_entropy(space, encoded) - away, 0.0)


def entropy(params: Params, space: Space, actions: Actions) -> Measured:
    """``entropy_value`` and its gradient."""
    encoded = encode(space, actions)
    away = kl(params, initial_params(space), space, encoded)
    value = max(_largest_entropy(space, encoded) - away.value, 0.0)
    return Measured(value, -away.gradient_d)


def _largest_entropy(space: Space, actions: Actions) -> float:
    counts_R = encode(space, actions).offered.open.sum(axis=1)
    free = zip(*np.unique(counts_R[counts_R > space.f], return_counts=True), strict=True)
    features = sum(int(sets) * math.log(math.comb(int(count), space.f)) for count, sets in free)
    concepts = math.log(math.comb(space.n, space.k))
    return concepts + math.log(space.T) + features / max(len(counts_R), 1)


def inclusion(params: Params, space: Space) -> FloatArray:
    """mu (n,): how often each concept is asked for; the weight people see."""
    return np.asarray(subsets.inclusion(params.theta[None], space.k)[0])


def template_probabilities(params: Params) -> FloatArray:
    """p (T,)."""
    return np.exp(_log_softmax(params.phi))


def feature_probabilities(
    params: Params, space: Space, actions: Actions | None = None
) -> FloatArray:
    """How often each feature is asked for, (m,): E over S of P(j in F | S).

    Over the sets of the given actions; without any, over all sets of the policy (at most
    ``MAX_ENUMERATED_SETS``) or ``SAMPLED_SETS`` sets of a fixed stream.
    """
    if actions is not None:
        concepts_Rk = encode(space, actions).concepts_Rk
        weight_R = np.full(len(concepts_Rk), 1 / max(len(concepts_Rk), 1))
    elif math.comb(space.n, space.k) <= MAX_ENUMERATED_SETS:
        concepts_Rk = np.array(list(itertools.combinations(range(space.n), space.k)))
        log_z = subsets.log_z(params.theta[None], space.k)
        weight_R = np.exp(params.theta[concepts_Rk].sum(axis=1) - log_z)
    else:
        stream_RU = uniforms((0, 0, "feature_probabilities"), SAMPLED_SETS, space.k)
        concepts_Rk = subsets.draw(params.theta[None], space.k, stream_RU)
        weight_R = np.full(SAMPLED_SETS, 1 / SAMPLED_SETS)
    offered = space.offered(concepts_Rk)
    mean_Rw = _feature_inclusion(params, space, offered)
    return offered.summed(weight_R[:, None] * mean_Rw, space.m)


def greedy(params: Params, space: Space) -> Action:
    """The deployed action: top-k theta, argmax phi, top-f eta; ties go to the lowest index."""
    concepts = np.sort(np.argsort(-params.theta, kind="stable")[: space.k])
    candidates = space.offered(concepts[None]).at[0]
    ranked = np.argsort(-params.eta[candidates], kind="stable")[: space.f]
    features = np.sort(candidates[ranked])
    return Action(tuple(concepts.tolist()), int(np.argmax(params.phi)), tuple(features.tolist()))


def centred(params: Params) -> Params:
    """The same law with every factor's logits around 0: each is the same under a shift."""
    parts = (params.theta, params.phi, params.eta)
    return Params(*(part - part.mean() if part.size else part for part in parts))


class _Free(NamedTuple):
    """The sets that leave a choice of features: which rows they are, and their columns (F, w)."""

    rows: IntArray
    offered: Offered

    def logits(self, eta_m: FloatArray) -> FloatArray:
        """The law of each, (F, w)."""
        return np.where(self.offered.open, eta_m[self.offered.at], -np.inf)


def _free(space: Space, offered: Offered) -> _Free:
    rows = np.flatnonzero((offered.open.sum(axis=1) > space.f) & (space.f > 0))
    return _Free(rows, Offered(offered.at[rows], offered.open[rows]))


def _feature_inclusion(params: Params, space: Space, offered: Offered) -> FloatArray:
    """P(feature in F | S) in the columns of the candidates, (R, w)."""
    mean_Rw = (offered.open & (space.f > 0)).astype(np.float64)
    free = _free(space, offered)
    if len(free.rows):
        mean_Rw[free.rows] = subsets.inclusion(free.logits(params.eta), space.f)
    return mean_Rw


def _log_softmax(phi_T: FloatArray) -> FloatArray:
    shifted_T = phi_T - phi_T.max()
    return np.asarray(shifted_T - np.log(np.exp(shifted_T).sum()))
