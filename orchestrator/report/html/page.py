"""Facts -> HTML: one file with its style and script inside, that may load nothing.

The content security policy names the one style and the one script by their hashes, so that no other
runs, whatever a model has written into its completions.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from orchestrator.paired import Comparison
from orchestrator.report.html import run_figures
from orchestrator.report.html.charts import cells
from orchestrator.report.html.charts.scales import seconds
from orchestrator.report.html.facts import Facts
from orchestrator.report.html.learnt import domains
from orchestrator.report.html.rollout_scan import POINTS
from shared.terminal import visible

NO_PLAIN = (
    "A prompt without concepts is no baseline here: the template engine has nothing to say then."
)
TEMPLATES = Path(__file__).parent / "templates"


def run_page(facts: Facts) -> str:
    """The report of one run."""
    return render(
        "run.html.j2",
        facts=facts,
        result=_result(facts),
        unrewarded=[each.name for each in facts.measures if each.share is None],
        no_plain=NO_PLAIN if facts.model == "template engine" else "",
        per_point=-(-facts.steps_done // POINTS),
        figures=run_figures.result(facts),
        reward=list(run_figures.reward(facts)),
        health=list(run_figures.health(facts)),
        latency=run_figures.latency(facts),
        domains=list(domains(facts)),
    )


def _result(facts: Facts) -> list[tuple[str, float | None, Comparison, Markup]]:
    """The rows of the result, all pictures on one scale."""
    rows = [
        ("held-out reward", None, facts.heldout),
        ("held-out reward so far", None, facts.so_far),
        *((each.name, each.share, each.found) for each in facts.measures),
        ("reward against no concepts", None, facts.against_plain),
    ]
    known = [(name, part, found) for name, part, found in rows if found]
    ends = cells.reach((found.low, found.high) for _, _, found in known)
    return [
        (name, part, found, cells.interval(found.gain, found.low, found.high, ends, name))
        for name, part, found in known
    ]


def render(template: str, **values: Any) -> str:
    """A page. What was not made harmless when it was read is made so here."""
    style, script = _source("style.css"), _source("script.js")
    html = (
        _environment()
        .get_template(template)
        .render(
            **values,
            style=Markup(style),
            script=Markup(script),
            csp=(
                f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)};"
                " img-src data:; base-uri 'none'; form-action 'none'"
            ),
        )
    )
    return visible(html)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"money": _money, "time": seconds}
    environment.globals |= {"share": cells.share}
    return environment


def _money(usd: float | None) -> str:
    """Dollars of a table, to a hundredth of a cent."""
    if usd is None:
        return "unknown"
    return f"${usd:,.2f}" if usd >= 100 or not usd else f"${usd:,.4f}"


@cache
def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
