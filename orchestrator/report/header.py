"""The lines that open a run: engine, model, domains, data, plan."""

from collections.abc import Iterator

from orchestrator.inputs import Inputs


def header(inputs: Inputs, engine: str | None = None) -> Iterator[str]:
    """What is about to run. ``engine`` is None where nothing is started."""
    config = inputs.config
    if engine:
        yield f"  engine   {engine}"
    yield "  model    template engine (built in, free, offline: fills templates, calls no model)"
    concepts = sum(len(domain.concepts) for domain in inputs.domains.values())
    templates = sum(len(domain.templates) for domain in inputs.domains.values())
    yield f"  domains  {', '.join(inputs.domains)}: {concepts} concepts, {templates} templates"
    data = f"{len(inputs.train)} prompts · held out {len(inputs.heldout)}"
    yield f"  data     {data}{_unmatched(inputs)}"
    if inputs.ties:
        yield f"           {len(inputs.ties)} prompts match several domains: {inputs.ties[0]}"
    evaluations = _evaluations(inputs)
    held_out = evaluations * len(inputs.heldout) * config.eval_samples
    rollouts = inputs.steps * config.batch_size * config.group_size
    yield (
        f"  plan     {inputs.steps} steps x {config.batch_size} prompts x {config.group_size} slots"
        f" = {rollouts:,} rollouts, {evaluations} evaluations = {held_out:,} more · cost $0.00"
    )


def _evaluations(inputs: Inputs) -> int:
    """At the start, at the end, and every eval_interval steps between."""
    if not inputs.heldout:
        return 0
    interval = inputs.config.eval_interval
    return 2 + ((inputs.steps - 1) // interval if interval else 0)


def _unmatched(inputs: Inputs) -> str:
    if not inputs.unmatched:
        return ""
    places = [example.source.rpartition(":")[2] for example in inputs.unmatched]
    shown = ", ".join(places[:5]) + (", …" if len(places) > 5 else "")
    return f" · {len(places)} match no domain and are left out (lines {shown})"
