"""Which groups are in flight: batches drawn ahead of the update, and gathered as they end.

With ``max_staleness`` = 0 a step draws its batch, and all of it ends before the update. With more,
that many later batches are drawn before the update as well, under the policy of the moment, and
the update takes the first batch's worth of groups to end, whichever batch they were drawn in: a
straggler joins a later update instead of holding this one up. Every group carries the version and
params that acted, so the update knows exactly how far it is off its policy.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from orchestrator import groups, sampling
from orchestrator.dispatch import Dispatcher
from orchestrator.inputs import Inputs
from orchestrator.ledger import Progress
from orchestrator.preflight import Models
from orchestrator.rollouts import Ahead, DomainWeights, Group, GroupKey, Params, Weights

Observe = Callable[[Progress], None]

#: Slots that are drawn and sent together: the workers call for the first while the next are drawn.
SLOTS_AT_ONCE = 128


class Aged(NamedTuple):
    """Groups by their age: those that an update may use, and those that came too late for it."""

    fresh: tuple[Group, ...]
    stale: tuple[Group, ...]


class Pipeline:
    """Draws, sends and gathers the groups of one run. One per run and process."""

    def __init__(self, inputs: Inputs, models: Models, dispatcher: Dispatcher, run: str) -> None:
        self._inputs = inputs
        self._models = models
        self._dispatcher = dispatcher
        self._run = run
        #: Groups that have begun and are not handed out yet, in the order of drawing.
        self._ahead: dict[GroupKey, Group] = {}
        #: Policy version -> params by domain, of the groups in flight.
        self._acted: dict[int, dict[str, Params]] = {}
        #: The last step whose batch is drawn.
        self._drawn = 0

    def resume(self, weights: Weights, first: int) -> None:
        """Take up what was in flight when ``first`` was the next step."""
        self._drawn = max([first - 1, *(ahead.step for ahead in weights.ahead)])
        for ahead in weights.ahead:
            domains = {n: DomainWeights(p, reference=p) for n, p in ahead.acted.items()}
            acted = Weights(ahead.policy_version, domains)
            batch = sampling.named(self._inputs, ahead.step, ahead.groups)
            self._begin(acted, ahead.step, batch)

    def next(
        self, weights: Weights, step: int, observe: Observe, draw: bool = True
    ) -> tuple[Group, ...]:
        """The groups for the update of ``step``, finished, in the order of drawing.

        Without ``draw`` no new batch is drawn: what is in flight comes to its end. Raises as
        ``Dispatcher.gather`` does.
        """
        config = self._inputs.config
        last = min(step + config.max_staleness, self._inputs.steps) if draw else self._drawn
        for ahead in range(self._drawn + 1, last + 1):
            self._begin(weights, ahead, sampling.batch(self._inputs, weights, ahead))
            self._drawn = ahead
        share = config.prompts_of(step)
        drawn = config.prompts_before(self._drawn + 1) - config.prompts_before(step)
        newest = found = self._gather(-(-len(self._ahead) * share // drawn), observe)
        for _ in range(config.dynamic_sampling):
            more = sampling.without_signal(newest)
            spare = sampling.spare(self._inputs, weights, step, found, more)
            if not spare:
                break
            self._begin(weights, step, spare)
            newest = self._gather(len(spare), observe)
            found = (*found, *newest)
        return found

    def aged(self, found: Sequence[Group], weights: Weights) -> Aged:
        """``found`` by whether the policy has moved more than ``max_staleness`` times since."""
        most = self._inputs.config.max_staleness
        fresh = [group for group in found if weights.version - group.policy_version <= most]
        stale = [group for group in found if weights.version - group.policy_version > most]
        return Aged(tuple(fresh), tuple(stale))

    def ahead(self) -> tuple[Ahead, ...]:
        """What is in flight, to be kept beside the weights of the next version."""
        drawn: dict[tuple[int, int], list[str]] = {}
        for group in self._ahead.values():
            drawn.setdefault((group.step, group.policy_version), []).append(group.id)
        return tuple(
            Ahead(step, version, tuple(ids), self._acted[version])
            for (step, version), ids in drawn.items()
        )

    def _begin(self, weights: Weights, step: int, batch: sampling.Batch) -> None:
        inputs = self._inputs
        sizes = sampling.group_sizes(inputs, weights)
        at_once = max(1, SLOTS_AT_ONCE // max(sizes.values()))
        for first in range(0, len(batch), at_once):
            part = batch[first : first + at_once]
            drawn = groups.draw(inputs, inputs.train_domains, weights, part, step, sizes)
            jobs = groups.jobs(inputs, self._models, drawn, self._run)
            self._dispatcher.begin(jobs, inputs.config.step_deadline_s)
            self._ahead.update({group.key: group for group in drawn})
        self._acted[weights.version] = {n: d.params for n, d in weights.domains.items()}

    def _gather(self, count: int, observe: Observe) -> tuple[Group, ...]:
        results = self._dispatcher.gather(tuple(self._ahead), count, observe)
        drawn = [group for key, group in self._ahead.items() if key in results]
        for key in results:
            del self._ahead[key]
        in_flight = {group.policy_version for group in self._ahead.values()}
        self._acted = {v: params for v, params in self._acted.items() if v in in_flight}
        # One by one: batches in flight may hold the same prompt.
        finished = [groups.finish([group], {group.id: results[group.key]}) for group in drawn]
        return tuple(group for (group,) in finished)
