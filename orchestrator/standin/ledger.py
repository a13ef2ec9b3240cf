"""What was billed, to the nano-dollar, and for which body."""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.standin.completions import Completion
from orchestrator.standin.settings import dollars


@dataclass(frozen=True, slots=True)
class Entry:
    """One generation, or one replay of it."""

    completion: Completion
    nanos: int
    at: float


@dataclass(slots=True)
class Ledger:
    """Every generation there was. Billing happens here and nowhere else."""

    total: int = 0
    entries: dict[str, Entry] = field(default_factory=dict)
    times_billed: Counter[bytes] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    billed: int = 0
    replays: int = 0

    def record(self, completion: Completion, body: bytes, fault: str | None) -> None:
        """Bill a completion, unless it is free of charge, and remember it."""
        nanos = sum(completion.nanos)
        # Without the text: of a million generations, nobody asks for what they said.
        record = replace(completion, content=None, reasoning=None)
        self.entries[completion.id] = Entry(record, nanos, time.time())
        if completion.source is not None:
            self.replays += 1
        elif not completion.waived:
            self.billed += 1
            self.total += nanos
            self.times_billed[body] += 1
            self.by_model[completion.model.slug] += nanos
            self.by_fault[fault or "none"] += nanos

    def shown(self, with_generations: bool) -> dict[str, Any]:
        """For the control API; all amounts in nano-dollars."""
        again = sum(times > 1 for times in self.times_billed.values())
        found = {
            "total_nano_usd": self.total,
            "billed_generations": self.billed,
            "replayed_generations": self.replays,
            "bodies_billed": len(self.times_billed),
            "bodies_billed_more_than_once": again,
            "nano_usd_by_model": dict(self.by_model),
            "nano_usd_by_fault": dict(self.by_fault),
        }
        if with_generations:
            found["generations"] = {name: entry.nanos for name, entry in self.entries.items()}
        return found

    def generation(self, name: str, lag_s: float) -> dict[str, Any] | None:
        """The body of ``GET /generation``; None for those it does not know, or not yet."""
        entry = self.entries.get(name)
        if entry is None or entry.completion.model.free or time.time() - entry.at < lag_s:
            return None
        return {"data": _generation(entry)}


def _generation(entry: Entry) -> dict[str, Any]:
    completion = entry.completion
    usage = completion.usage()
    cost = dollars(entry.nanos)
    absent = (
        "app_id cache_discount external_user http_referer latency moderation_latency "
        "native_tokens_completion_images num_fetches num_input_audio_prompt num_media_completion "
        "num_media_prompt num_search_results preset_id router service_tier upstream_id user_agent "
        "web_search_engine workspace_id generation_time"
    )
    return {
        **dict.fromkeys(absent.split()),
        "id": completion.id,
        "api_type": "completions",
        "cancelled": False,
        "created_at": datetime.fromtimestamp(entry.at, UTC).isoformat(),
        "data_region": "global",
        "finish_reason": completion.finish,
        "is_byok": False,
        "model": completion.model.served_as,
        "native_finish_reason": completion.native,
        "native_tokens_cached": 0,
        "native_tokens_completion": usage["completion_tokens"],
        "native_tokens_prompt": usage["prompt_tokens"],
        "native_tokens_reasoning": usage["completion_tokens_details"]["reasoning_tokens"],
        "origin": "",
        "provider_name": completion.model.provider,
        "provider_responses": None,
        "response_cache_source_id": completion.source,
        "streamed": False,
        "tokens_completion": usage["completion_tokens"],
        "tokens_prompt": usage["prompt_tokens"],
        "total_cost": cost,
        "upstream_inference_cost": cost,
        "usage": cost,
    }
