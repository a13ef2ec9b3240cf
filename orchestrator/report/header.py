"""The lines that open a run: engine, model, domains, data, plan."""

from collections.abc import Iterator

from orchestrator.budget import Spending, estimate
from orchestrator.inputs import Inputs
from orchestrator.kept_results import Kept
from orchestrator.preflight import Models
from orchestrator.run_plan import evaluations
from orchestrator.wording import places
from shared.messages import Sampling


def header(inputs: Inputs, models: Models, engine: str | None = None) -> Iterator[str]:
    """What is about to run. ``engine`` is None where nothing is started."""
    config = inputs.config
    if engine:
        yield f"  engine   {engine}"
    yield from model_lines(models)
    concepts = sum(len(domain.concepts) for domain in inputs.domains.values())
    templates = sum(len(domain.templates) for domain in inputs.domains.values())
    yield f"  domains  {', '.join(inputs.domains)}: {concepts} concepts, {templates} templates"
    data = f"{len(inputs.train)} prompts · held out {len(inputs.heldout)}"
    yield f"  data     {data}{_unmatched(inputs)}"
    if inputs.understood:
        yield f"  columns  {', '.join(inputs.understood)}"
    if again := inputs.trained_on:
        where = places([one.source for one in again], 5)
        yield (
            f"  WARNING  {len(again)} of the {len(inputs.heldout)} held-out prompts are trained on"
            f" too ({where}): on them the comparison says nothing about new prompts"
        )
    if inputs.left_out:
        yield f"  WARNING  {inputs.left_out}"
    if inputs.ties:
        yield f"           {len(inputs.ties)} prompts match several domains: {inputs.ties[0]}"
    times = evaluations(inputs)
    held_out = times * len(inputs.heldout) * config.eval_samples
    rollouts = config.prompts_before(inputs.steps + 1) * config.group_size
    yield (
        f"  plan     {_steps(inputs)} prompts x {config.group_size} slots"
        f" = {rollouts:,} rollouts, {times} evaluations = {held_out:,} more"
        f"{'' if models.all() else ' · cost $0.00'}"
    )
    if models.all():
        yield from cost_lines(inputs, models)


def preflight_line(models: Models, workers: str) -> str:
    """What was checked before the question whether to start; ``workers`` in words."""
    found = ["config, domains, data ok"]
    if models.key is not None:
        left = models.key.remaining_usd
        credit = "" if left is None else f" (${left:.2f} left)"
        found.append("key not checked" if models.key.unchecked else f"key ok{credit}")
    found += ["models ok", workers]
    return "preflight  " + " · ".join(found)


def resuming(run: str, first: int, inputs: Inputs, kept: Kept, spent: Spending) -> str:
    """Where a run goes on, what it does not ask for again, and what is left of its budget."""
    words = f"resuming {run} at step {first}/{inputs.steps}"
    if kept.completions:
        cost = f" (${kept.cost_usd:.4f} not spent twice)" if kept.cost_usd else ""
        words += f"; reusing {kept.completions} completions and {kept.rewards} rewards{cost}"
    if inputs.config.max_cost_usd is not None:
        left = inputs.config.max_cost_usd - spent.total_usd - sum(spent.perhaps.values())
        words += f"; budget left ${max(left, 0):.4f}"
    return words


def cost_lines(inputs: Inputs, models: Models) -> Iterator[str]:
    """What the run may cost, and when a cap would stop it."""
    plan = estimate(inputs, models)
    judged = f" + {plan.judgements:,} judgements" if plan.judgements else ""
    yield f"  estimate {plan.generations:,} generations{judged}"
    if plan.expected_usd is None or plan.ceiling_usd is None or plan.step_ceiling_usd is None:
        yield "           cost unknown: a price stands neither in the endpoint's list nor in prices"
        return
    yield (
        f"           expected ${digits(plan.expected_usd)}   ceiling ${digits(plan.ceiling_usd)}"
        " (every reply at max_tokens)"
    )
    left = models.key.remaining_usd if models.key else None
    if left is not None and left < plan.expected_usd:
        yield f"  warning  the key has ${left:.2f} left, less than the run is expected to cost"
    cap = inputs.config.max_cost_usd
    if cap is not None and cap < plan.ceiling_usd:
        before = inputs.config.prompts_before
        paid = cap / plan.ceiling_usd * before(inputs.steps + 1)
        last = next(step for step in range(1, inputs.steps + 1) if before(step + 1) > paid)
        yield f"           cap ${digits(cap)}: stops in step ~{last} if every reply is that long"


def digits(usd: float) -> str:
    """Dollars: cents of what is worth dollars or whole cents, parts of cents below."""
    return f"{usd:.2f}" if usd >= 1 or round(100 * usd, 6).is_integer() else f"{usd:.4f}"


def _steps(inputs: Inputs) -> str:
    """Steps by their number of prompts, as in ``20 steps x 8``."""
    config = inputs.config
    early = min(config.early_steps(), inputs.steps)
    late = f"{inputs.steps - early} steps x {config.batch_size}"
    if not early:
        return late
    first = f"{early} steps x {config.early_batch_size}"
    return f"({first} + {late})" if early < inputs.steps else first


def model_lines(models: Models) -> Iterator[str]:
    """Who writes, who judges, and what to know about them."""
    if models.generator.provider == "template":
        yield (
            "  model    template engine (built in: fills templates, free, calls no model)"
            "      <- a real one: --model"
        )
    else:
        writer = models.generator
        yield f"  model    {_asked(writer, writer.reply_format if writer.self_report else 'text')}"
    for judge in models.judges:
        yield f"  judge    {_asked(judge, judge.reply_format)}"
    for came in models.came:
        yield f"  asked    {came.line}"
    for warning in models.warnings:
        yield f"  warning  {warning}"


def _asked(sampling: Sampling, reply_format: str) -> str:
    price = sampling.price
    cost = (
        f"${price.prompt_usd * 1e6:.2f} in, ${price.completion_usd * 1e6:.2f} out per 1M tokens"
        if price
        else "price unknown"
    )
    return f"{sampling.model} ({cost}; answers as {reply_format})"


def _unmatched(inputs: Inputs) -> str:
    if not inputs.unmatched:
        return ""
    where = places([example.source for example in inputs.unmatched], 5)
    return f" · {len(inputs.unmatched)} match no domain and are left out ({where})"
