"""``GET /key`` and ``GET /credits``: what the account has and has spent."""

from typing import Any

from orchestrator.standin.desk import Desk
from orchestrator.standin.settings import dollars, nano

#: Credit that is shown when none was set.
PLENTY_USD = 1000.0


def key(desk: Desk) -> dict[str, Any]:
    """The body of ``GET /key``."""
    settings, memory = desk.settings, desk.memory
    used = dollars(memory.ledger.total)
    limit = None if settings.key_limit is None else float(settings.key_limit)
    left = None
    if settings.key_limit is not None:
        left = dollars(max(0, nano(settings.key_limit) - memory.ledger.total))
    budget = {
        "budget_id": None,
        "guardrail_id": None,
        "include_byok": False,
        "limit_usd": limit,
        "remaining_usd": left,
        "reset_interval": None,
        "resets_at": None,
        "scope": "api_key",
        "spend_usd": used,
    }
    periods = ("", "_daily", "_weekly", "_monthly")
    free_used = memory.limits.free_used_today()
    data = {
        "label": f"sk-or-v1-…{(settings.key or '')[-3:]}",
        "limit": limit,
        "limit_remaining": left,
        "limit_reset": None,
        **{f"usage{period}": used for period in periods},
        **{f"byok_usage{period}": 0 for period in periods},
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": None,
        "organization_id": None,
        "workspace_id": None,
        "allowed_data_regions": ["global"],
        "budgets": [] if limit is None else [budget],
        "effective_budget": None if limit is None else budget,
        "expires_at": None,
        "free_model_daily_requests": {
            "used": free_used,
            "limit": settings.free_per_day,
            "remaining": max(0, settings.free_per_day - free_used),
        },
        "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
    }
    return {"data": data}


def credit(desk: Desk) -> dict[str, Any]:
    """The body of ``GET /credits``."""
    given = desk.settings.credit
    total = PLENTY_USD if given is None else float(given)
    return {"data": {"total_credits": total, "total_usage": dollars(desk.memory.ledger.total)}}
