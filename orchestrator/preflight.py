"""From config and the endpoint's catalog to how each model is asked, before anything costs."""

import datetime
import difflib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from orchestrator.callbacks import find_callback
from orchestrator.catalog import Catalog, Model
from orchestrator.config import RunConfig
from orchestrator.endpoint import Endpoint, KeyReport
from orchestrator.extras import require_services
from orchestrator.questions import Came
from orchestrator.questions import ask as ask_model
from shared.errors import UsageError
from shared.messages import Limits, Price, Sampling
from shared.wire.verdicts import Verdict

#: Days before a model's announced end at which a run is warned.
EXPIRY_WARNING_DAYS = 14


class Models(NamedTuple):
    """How the models of a run are asked. Made by ``preflight``, read by groups and budget."""

    generator: Sampling
    judges: tuple[Sampling, ...]
    limits: Limits
    #: None: no endpoint is needed.
    key: KeyReport | None
    warnings: tuple[str, ...]
    #: What came of one small question to each model of which the list does not say what it takes.
    came: tuple[Came, ...] = ()

    def all(self) -> tuple[Sampling, ...]:
        """The generator and the judges that cost something."""
        return tuple(s for s in (self.generator, *self.judges) if s.provider != "template")


def preflight(config: RunConfig, ask: bool = False) -> Models:
    """Check endpoint, key and models, and that callbacks and services can be loaded.

    ``ask``: where the endpoint's list does not say what a model takes, find it out by one small
    question; what that costs is in ``came``.

    Raises UsageError for a model or callback that is not there or a cap that cannot hold,
    EnvironmentNotReady for an endpoint that does not answer or refuses the key or every call, and
    for a service that is not installed.
    """
    require_services(config.report_to)
    for name in config.callbacks:
        find_callback(name, config.code_folder())
    limits = Limits(
        max_rpm=config.max_rpm,
        max_tpm=config.max_tpm,
        max_inflight=config.max_inflight,
        max_cost_usd=config.max_cost_usd,
    )
    template = Sampling(latency_s=config.template_latency_s)
    if not config.model and not config.judge_models:
        return Models(template, (), limits, None, tuple(_stray_prices(config)))
    endpoint = Endpoint()
    catalog = endpoint.catalog()
    key = endpoint.key(catalog)
    generator = _sampling(config, catalog, config.model, "write") if config.model else template
    judges = tuple(_sampling(config, catalog, slug, "judge") for slug in config.judge_models)
    models = Models(generator, judges, limits, key, ())
    models = models._replace(warnings=tuple(_warnings(config, catalog, models)))
    unknown = [s.model for s in models.all() if _takes_unknown(catalog, s.model)]
    return _asked(models, unknown) if ask else models


def _takes_unknown(catalog: Catalog, slug: str) -> bool:
    """Whether the list does not say what a model takes."""
    model = catalog.find(slug)
    return model is None or model.parameters is None


def _asked(models: Models, unknown: Sequence[str]) -> Models:
    """The models as they turn out to be asked, after one small question to each ``unknown``."""
    came: dict[str, Came] = {}

    def met(sampling: Sampling, judge: bool) -> Sampling:
        key = sampling.model_dump_json()
        if sampling.model not in unknown:
            return sampling
        if key not in came:
            came[key] = ask_model(sampling, judge)
        return came[key].sampling

    generator = met(models.generator, judge=False)
    judges = tuple(met(each, judge=True) for each in models.judges)
    found = tuple(came.values())
    told = [*models.warnings, *(sentence for each in found for sentence in each.learnt)]
    told += [
        f"{each.sampling.model} gave no answer to a small question: {each.described}"
        for each in found
        if each.found.verdict is not Verdict.COMPLETION
    ]
    return models._replace(
        generator=generator, judges=judges, warnings=tuple(dict.fromkeys(told)), came=found
    )


def _sampling(
    config: RunConfig, catalog: Catalog, slug: str, purpose: Literal["write", "judge"]
) -> Sampling:
    model = catalog.find(slug)
    if model is None:
        if catalog.models and catalog.dialect == "openrouter":
            raise UsageError(f"the endpoint has no model {slug!r}{_near(catalog, slug)}")
        model = Model(slug)
    judging = purpose == "judge"
    temperature = 0.0 if judging else config.temperature
    plain = catalog.dialect == "openai"
    return Sampling(
        provider="openrouter",
        model=slug,
        dialect=catalog.dialect,
        max_tokens=config.judge_max_tokens if judging else config.max_tokens,
        temperature=temperature if plain or model.takes("temperature") else None,
        top_p=config.top_p if not judging and (plain or model.takes("top_p")) else None,
        stop=() if judging else config.stop,
        send_seed=not judging and _sends_seed(config, model),
        reasoning_off=model.reasoning == "optional",
        self_report=not judging and config.asks_self_report(),
        reply_format=_reply_format(config, model),
        routing=config.routing,
        price=_price(config, slug, model),
        request_timeout_s=config.request_timeout_s,
        slot_timeout_s=config.slot_timeout_s,
        # Failed tries count against the small daily quota of free models.
        max_attempts=min(config.max_retries + 1, 2 if slug.endswith(":free") else 99),
    )


def _near(catalog: Catalog, slug: str) -> str:
    near = catalog.near(slug)
    return f"; did you mean {', '.join(near)}?" if near else ""


def _sends_seed(config: RunConfig, model: Model) -> bool:
    return model.takes("seed") if config.send_seed == "auto" else config.send_seed


def _reply_format(config: RunConfig, model: Model) -> Literal["json_schema", "json_object", "text"]:
    if config.reply_format != "auto":
        return config.reply_format
    if model.takes("structured_outputs"):
        return "json_schema"
    return "json_object" if model.takes("response_format") else "text"


def _price(config: RunConfig, slug: str, model: Model) -> Price | None:
    """The config's word before the endpoint's list."""
    if slug not in config.prices:
        return model.price
    into, out = config.prices[slug]
    return Price(prompt_usd=into / 1e6, completion_usd=out / 1e6)


def _warnings(config: RunConfig, catalog: Catalog, models: Models) -> list[str]:
    found = []
    if not catalog.models:
        found.append("the endpoint lists no models: slugs and prices could not be checked")
    if models.key is not None and models.key.unchecked:
        found.append(f"not checked: {models.key.unchecked}")
    if (
        models.key is not None
        and models.key.free_tier
        and any(s.model.endswith(":free") for s in models.all())
    ):
        found.append("free models allow 20 calls a minute and 50 a day: too few for one step")
    for sampling in {s.model: s for s in models.all()}.values():
        found += _model_warnings(config, catalog, sampling)
    return found + _stray_prices(config)


def _stray_prices(config: RunConfig) -> list[str]:
    asked = (config.model, *config.judge_models)
    found = []
    for name in config.prices:
        if name not in asked:
            near = difflib.get_close_matches(name, asked, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            found.append(f"prices names {name!r}, which is not asked here{hint}")
    return found


def _model_warnings(config: RunConfig, catalog: Catalog, sampling: Sampling) -> list[str]:
    found = []
    model = catalog.find(sampling.model)
    if model is None and catalog.models:
        found.append(
            f"{sampling.model} is not in the endpoint's list of models"
            f"{_near(catalog, sampling.model)}"
        )
    model = model or Model(sampling.model)
    found += _price_warnings(config, model, sampling)
    if model.reasoning == "mandatory":
        found.append(f"{sampling.model} always reasons: hidden tokens count and cost")
    days = _days_until(model.expires) if model.expires else None
    if days is not None and days < EXPIRY_WARNING_DAYS:
        found.append(f"{sampling.model} goes away on {model.expires}")
    if sampling.model.startswith("~") or sampling.model in {"openrouter/auto", "openrouter/free"}:
        found.append(f"{sampling.model} may change under the run: not for training")
    return found


def _price_warnings(config: RunConfig, model: Model, sampling: Sampling) -> list[str]:
    if sampling.price is None:
        if config.max_cost_usd is not None:
            raise UsageError(
                f"the price of {sampling.model} is unknown, so max_cost_usd ="
                f" {config.max_cost_usd} could not be kept; choose a model with a price, or give"
                f' its dollars per million tokens: prices."{sampling.model}" = [IN, OUT] in the'
                f" config (eval, ab, generate: --price {sampling.model}=IN,OUT)"
            )
        return [f"the price of {sampling.model} is unknown: its cost is counted as unknown"]
    if sampling.model in config.prices and model.price not in {None, sampling.price}:
        return [f"prices sets the price of {sampling.model}, and the endpoint lists another"]
    return []


def _days_until(date: str) -> int | None:
    try:
        end = datetime.date.fromisoformat(date[:10])
    except ValueError:
        return None
    return (end - datetime.datetime.now(datetime.UTC).date()).days
