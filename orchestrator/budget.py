"""Money: what a run may cost before it starts, and what it has cost so far."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from redis import Redis
from redis.exceptions import ResponseError

from orchestrator import data, groups
from orchestrator.inputs import Inputs
from orchestrator.preflight import Models
from orchestrator.questions import Came
from orchestrator.run_plan import evaluations, initial_weights
from shared.errors import RunFailed
from shared.keys import RunKeys
from shared.messages import Price, Sampling
from shared.wire.money import CHARACTERS_PER_TOKEN, NANO
from shared.wire.verdicts import Billed

ROLES = ("generate", "judge", "eval")
#: Characters per token of English text, for an expectation.
USUAL_CHARACTERS = 4
#: Share of max_tokens that an answer usually takes.
USUAL_SHARE = 0.5
#: Characters around the messages of a request: field names, schema, routing.
ENVELOPE_CHARACTERS = 900


class Estimate(NamedTuple):
    """What a whole run may cost. Dollars are None where a price is unknown."""

    generations: int
    judgements: int
    expected_usd: float | None
    #: Every answer at max_tokens, without repeated calls.
    ceiling_usd: float | None
    #: Dollars of one training step, at the ceiling.
    step_ceiling_usd: float | None


#: The fault of an answer that max_tokens cut: a whole answer to score, and no failure of a server.
CUT = "length"


class Spending(NamedTuple):
    """What a run has cost so far, by role and kind, in USD."""

    #: Role -> dollars that the endpoint itself named.
    spent: dict[str, float]
    #: Role -> dollars that stand in for costs it did not name.
    estimated: dict[str, float]
    #: Role -> dollars of calls that may have been billed: their answer never came.
    perhaps: dict[str, float]
    #: Role -> calls whose cost it did not name.
    unknown: dict[str, int]
    #: Role -> calls.
    calls: dict[str, int]
    #: Name of a fault -> calls that met it, repeated ones included.
    faults: dict[str, int]

    @property
    def total_usd(self) -> float:
        """Named and estimated."""
        return sum(self.spent.values()) + sum(self.estimated.values())

    @property
    def known_usd(self) -> float | None:
        """The total; None where calls were made and not even an estimate of their cost is known."""
        return known_usd(self.total_usd, self.unknown, self._stand_ins)

    @property
    def _stand_ins(self) -> dict[str, float]:
        return {role: self.estimated[role] + self.perhaps[role] for role in self.estimated}

    @property
    def words(self) -> str:
        """The total; what is not known is said as unknown."""
        return cost_words(self.total_usd, self.unknown, self._stand_ins)

    def metrics(self) -> dict[str, float | int]:
        """Under the field's names."""
        rows: dict[str, float | int] = {
            f"cost/{role}": self.spent[role] + self.estimated[role] for role in ROLES
        }
        rows["cost/total"] = self.total_usd
        rows["cost/perhaps"] = sum(self.perhaps.values())
        rows["cost/unknown_calls"] = sum(self.unknown.values())
        rows["calls"] = sum(self.calls.values())
        rows["cost/unpriced_calls"] = unpriced(self.unknown, self._stand_ins)
        rows["calls/cut"] = self.faults.get(CUT, 0)
        rows["calls/faulty"] = sum(self.faults.values()) - rows["calls/cut"]
        return rows


def unpriced(unknown: Mapping[str, int], estimated: Mapping[str, float]) -> int:
    """Calls whose cost is not even estimated: the endpoint names none, and the model has no price.
    ``estimated``: by role, what stands in for costs that were not named, doubtful ones too."""
    return sum(calls for role, calls in unknown.items() if not estimated.get(role))


def known_usd(
    total_usd: float | None, unknown: Mapping[str, int], estimated: Mapping[str, float]
) -> float | None:
    """A total for programs: None, and not 0, where nothing of it is known."""
    return None if not total_usd and unpriced(unknown, estimated) else total_usd


def cost_words(
    total_usd: float | None, unknown: Mapping[str, int], estimated: Mapping[str, float]
) -> str:
    """A total for people: a cost that is not known is never said as $0."""
    calls = unpriced(unknown, estimated)
    if not calls:
        return f"${total_usd or 0.0:.4f}"
    return "unknown" if not total_usd else f"${total_usd:.4f} and the unknown cost of {calls} calls"


def estimate(inputs: Inputs, models: Models) -> Estimate:
    """Calls and dollars of the whole run, from the prompts of its first step."""
    config = inputs.config
    prompts = config.prompts_before(inputs.steps + 1)
    trained = prompts * config.group_size
    held_out = evaluations(inputs) * len(inputs.heldout) * config.eval_samples
    completed = trained + held_out
    judged_in_training = "judge" in config.rewards()
    judged = completed if judged_in_training else held_out
    characters = _prompt_characters(inputs, models)
    writing = call_cost(models.generator, characters)
    answer = models.generator.max_tokens * USUAL_CHARACTERS
    judging = [call_cost(s, characters + answer + len(inputs.rubric)) for s in models.judges]
    twice = 1 + config.rejudge_fraction
    judge = CallCost(
        _times(_sum([j.expected for j in judging]), twice),
        _times(_sum([j.ceiling for j in judging]), twice),
    )
    slot = _sum([writing.ceiling, judge.ceiling if judged_in_training else 0.0])
    return Estimate(
        generations=completed,
        judgements=round(judged * len(models.judges) * twice),
        expected_usd=_sum([_times(writing.expected, completed), _times(judge.expected, judged)]),
        ceiling_usd=_sum(
            [
                _times(slot, config.most_slots(prompts)),
                _times(_sum([writing.ceiling, judge.ceiling]), held_out),
            ]
        ),
        step_ceiling_usd=_times(slot, config.most_slots(config.prompts_of(inputs.steps))),
    )


def spending(redis: Redis, run: str) -> Spending:
    """What the fleet's ledger says of a run. Raises RunFailed if it cannot be read."""
    return spent(saved_ledger(redis, run))


def spent(saved: Mapping[str, Mapping[str, int]]) -> Spending:
    """What a saved ledger says; that of no run says 0 of everything."""
    ledger, faults = saved.get("money", {}), saved.get("faults", {})

    def nano(kind: str) -> dict[str, int]:
        return {role: ledger.get(f"{kind}:{role}", 0) for role in ROLES}

    def dollars(kind: str) -> dict[str, float]:
        return {role: amount / NANO for role, amount in nano(kind).items()}

    return Spending(
        spent=dollars("spent"),
        estimated=dollars("estimated"),
        perhaps=dollars("perhaps"),
        unknown=nano("unknown"),
        calls=nano("calls"),
        faults={name: faults[name] for name in sorted(faults)},
    )


def saved_ledger(redis: Redis, run: str) -> dict[str, dict[str, int]]:
    """The fleet's ledger of a run as JSON values, for a checkpoint."""
    keys = RunKeys(run)
    return {"money": _counted(redis, keys.money), "faults": _counted(redis, keys.faults)}


def restore_ledger(
    redis: Redis, run: str, saved: Mapping[str, Mapping[str, int]], doubtful_usd: float
) -> None:
    """Give a server that knows nothing of the run's money what a checkpoint knew.

    What was reserved then is in doubt now, and so is ``doubtful_usd``, the most that was spent
    since: they count as perhaps paid.
    """
    keys = RunKeys(run)
    if redis.exists(keys.money) or not saved.get("money"):
        return
    money = Counter[str]()
    for name, amount in saved["money"].items():
        money[name.replace("reserved:", "perhaps:")] += amount
    money["perhaps:generate"] += round(doubtful_usd * NANO)
    for key, rows in ((keys.money, money), (keys.faults, saved.get("faults", {}))):
        for name, amount in rows.items():
            redis.hset(key, name, str(amount))


def book_questions(redis: Redis, run: str, questions: Sequence[Came]) -> None:
    """Book in a run's ledger what the questions before it cost."""
    key = RunKeys(run).money
    for came in questions:
        role, due = "judge" if came.judge else "generate", came.due
        redis.hincrby(key, f"calls:{role}", 1)
        if due.cost_nusd is not None:
            redis.hincrby(key, f"spent:{role}", due.cost_nusd)
        elif due.billed is not Billed.NO:
            kind = "perhaps" if due.billed is Billed.PERHAPS else "estimated"
            redis.hincrby(key, f"{kind}:{role}", due.estimate_nusd)
            redis.hincrby(key, f"unknown:{role}", 1)


def _counted(redis: Redis, key: str) -> dict[str, int]:
    try:
        return {str(name): int(value) for name, value in redis.hgetall(key).items()}
    except (ValueError, ResponseError) as error:
        raise RunFailed(
            f"{key} in Redis is no ledger ({error}); remove that key, and the run goes on with the"
            " ledger of its checkpoint"
        ) from None


class CallCost(NamedTuple):
    """Dollars of calls; None where a price is unknown."""

    expected: float | None
    #: With an answer of max_tokens, without repeated calls.
    ceiling: float | None


def call_cost(sampling: Sampling, characters: float) -> CallCost:
    """What one call with a request of so many characters costs."""
    price = sampling.price
    if sampling.provider == "template":
        return CallCost(0.0, 0.0)
    if price is None:
        return CallCost(None, None)
    usual = _price(price, characters / USUAL_CHARACTERS, sampling.max_tokens * USUAL_SHARE)
    most = _price(price, characters / CHARACTERS_PER_TOKEN, sampling.max_tokens)
    return CallCost(usual, most)


def all_calls(calls: Sequence[tuple[CallCost, float]]) -> CallCost:
    """What calls cost together: each (cost of one, how many)."""
    return CallCost(
        _sum([_times(cost.expected, count) for cost, count in calls]),
        _sum([_times(cost.ceiling, count) for cost, count in calls]),
    )


def _price(price: Price, prompt: float, completion: float) -> float:
    return price.prompt_usd * prompt + price.completion_usd * completion + price.request_usd


def _sum(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def _times(amount: float | None, count: float) -> float | None:
    return None if amount is None else amount * count


def _prompt_characters(inputs: Inputs, models: Models) -> float:
    """Mean length of a request of the first step."""
    config = inputs.config
    batch = data.batch(inputs.train, 0, config.prompts_of(1), config.seed)
    weights = initial_weights(inputs)
    drawn = groups.draw(inputs, inputs.train_domains, weights, batch, 1, config.group_size)
    lengths = [
        sum(len(message.content) for message in prompt.messages)
        for job in groups.jobs(inputs, models, drawn, "estimate")
        for prompt in job.generate.prompts
    ]
    return sum(lengths) / len(lengths) + ENVELOPE_CHARACTERS
