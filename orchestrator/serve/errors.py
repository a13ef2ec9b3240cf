"""Refusals and failures in the form of the OpenAI API, whose clients raise their own class for
each status: https://platform.openai.com/docs/guides/error-codes
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Reply(NamedTuple):
    """A whole answer to a caller."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refused(Exception):
    """The request gets no completion; the message goes to the caller."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    @property
    def reply(self) -> Reply:
        """The refusal as an answer."""
        return error_reply(
            self.status, {"message": self.message, "code": self.code}, headers=self.headers
        )


def error_reply(status: int, error: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    """An answer in the API's error form; what ``error`` holds beside the form's fields stays."""
    body = json.dumps({"error": in_form(status, error)}).encode()
    return Reply(status, {**headers, "Content-Type": "application/json"}, body)


def in_form(status: int, error: Mapping[str, Any]) -> dict[str, Any]:
    """The four fields that clients read, and whatever else ``error`` holds."""
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"message": "", "type": kind, "param": None, "code": None, **error}
