"""The lines that open a run: engine, model, domains, data, plan."""

from collections.abc import Iterator

from orchestrator.budget import estimate
from orchestrator.inputs import Inputs
from orchestrator.preflight import Models
from orchestrator.run_plan import evaluations
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
    if inputs.ties:
        yield f"           {len(inputs.ties)} prompts match several domains: {inputs.ties[0]}"
    times = evaluations(inputs)
    held_out = times * len(inputs.heldout) * config.eval_samples
    rollouts = inputs.steps * config.batch_size * config.group_size
    yield (
        f"  plan     {inputs.steps} steps x {config.batch_size} prompts x {config.group_size} slots"
        f" = {rollouts:,} rollouts, {times} evaluations = {held_out:,} more"
        f"{'' if models.all() else ' · cost $0.00'}"
    )
    if models.all():
        yield from cost_lines(inputs, models)


def cost_lines(inputs: Inputs, models: Models) -> Iterator[str]:
    """What the run may cost, and when a cap would stop it."""
    plan = estimate(inputs, models)
    judged = f" + {plan.judgements:,} judgements" if plan.judgements else ""
    yield f"  estimate {plan.generations:,} generations{judged}"
    if plan.expected_usd is None or plan.ceiling_usd is None or plan.step_ceiling_usd is None:
        yield "           cost unknown: a price is missing in the endpoint's list"
        return
    yield (
        f"           expected ${plan.expected_usd:.2f}   ceiling ${plan.ceiling_usd:.2f}"
        " (every reply at max_tokens)"
    )
    left = models.key.remaining_usd if models.key else None
    if left is not None and left < plan.expected_usd:
        yield f"  warning  the key has ${left:.2f} left, less than the run is expected to cost"
    cap = inputs.config.max_cost_usd
    if cap is not None and cap < plan.ceiling_usd:
        steps = int(inputs.steps * cap / plan.ceiling_usd)
        yield f"           cap ${cap:.2f}: stops in step ~{steps + 1} if every reply is that long"


def model_lines(models: Models) -> Iterator[str]:
    """Who writes, who judges, and what to know about them."""
    if models.generator.provider == "template":
        yield "  model    template engine (built in: fills templates, free, calls no model)"
    else:
        yield f"  model    {_asked(models.generator)}"
    for judge in models.judges:
        yield f"  judge    {_asked(judge)}"
    for warning in models.warnings:
        yield f"  warning  {warning}"


def _asked(sampling: Sampling) -> str:
    price = sampling.price
    cost = (
        f"${price.prompt_usd * 1e6:.2f} in, ${price.completion_usd * 1e6:.2f} out per 1M tokens"
        if price
        else "price unknown"
    )
    return f"{sampling.model} ({cost}; answers as {sampling.reply_format})"


def _unmatched(inputs: Inputs) -> str:
    if not inputs.unmatched:
        return ""
    places = [example.source.rpartition(":")[2] for example in inputs.unmatched]
    shown = ", ".join(places[:5]) + (", …" if len(places) > 5 else "")
    return f" · {len(places)} match no domain and are left out (lines {shown})"
