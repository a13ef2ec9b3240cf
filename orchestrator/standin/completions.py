"""A completion: what a model said, what it costs, and the body that says so."""

from dataclasses import dataclass, replace
from typing import Any

from orchestrator.standin.catalog import Model
from orchestrator.standin.settings import dollars
from orchestrator.standin.tokens import count, first


@dataclass(frozen=True, slots=True)
class Completion:
    """One generation, or its replay from the cache."""

    id: str
    created: int
    model: Model
    content: str | None
    prompt_tokens: int
    completion_tokens: int
    reasoning: str | None = None
    reasoning_tokens: int = 0
    finish: str | None = "stop"
    native: str | None = "stop"
    refusal: str | None = None
    #: Nothing to pay: the answer failed, and OpenRouter does not bill those.
    waived: bool = False
    #: The generation that this one repeats, free of charge.
    source: str | None = None

    @property
    def nanos(self) -> tuple[int, int]:
        """Nano-dollars for prompt and completion."""
        if self.waived or self.source is not None:
            return 0, 0
        return self.model.costs(self.prompt_tokens, self.completion_tokens)

    def cut(self, tokens: int) -> "Completion":
        """The same, ended by the limit after so many tokens of text."""
        content = first(self.content or "", tokens)
        return replace(
            self,
            content=content,
            completion_tokens=self.reasoning_tokens + count(content),
            finish="length",
            native="length",
        )

    def replayed(self, name: str, created: int) -> "Completion":
        """The same answer out of the cache: a new name, and no tokens."""
        return replace(self, id=name, created=created, source=self.source or self.id)

    def body(self) -> dict[str, Any]:
        """The body of a success."""
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model.served_as,
            "provider": self.model.provider,
            "system_fingerprint": None,
            "service_tier": None,
            "choices": [
                {
                    "index": 0,
                    "logprobs": None,
                    "finish_reason": self.finish,
                    "native_finish_reason": self.native,
                    "message": self._message(),
                }
            ],
            "usage": self.usage(),
        }

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self.content,
            "refusal": self.refusal,
            "reasoning": self.reasoning,
        }
        if self.reasoning is not None:
            detail = {"type": "reasoning.text", "text": self.reasoning, "format": "unknown"}
            message["reasoning_details"] = [{**detail, "index": 0}]
        return message

    def usage(self) -> dict[str, Any]:
        """Tokens and dollars."""
        replay = self.source is not None
        prompt = 0 if replay else self.prompt_tokens
        completion = 0 if replay else self.completion_tokens
        for_prompt, for_completion = self.nanos
        cost = dollars(for_prompt + for_completion)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "cost": cost,
            "is_byok": False,
            "prompt_tokens_details": {
                "cached_tokens": 0,
                "cache_write_tokens": 0,
                "audio_tokens": 0,
                "video_tokens": 0,
            },
            "cost_details": {
                "upstream_inference_cost": cost,
                "upstream_inference_prompt_cost": dollars(for_prompt),
                "upstream_inference_completions_cost": dollars(for_completion),
            },
            "completion_tokens_details": {
                "reasoning_tokens": 0 if replay else self.reasoning_tokens,
                "audio_tokens": 0,
                "image_tokens": 0,
            },
        }
