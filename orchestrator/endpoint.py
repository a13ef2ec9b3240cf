"""The model endpoint before a run: its models and the key's credit. A few plain requests, read
within the same bounds as every answer.
"""

from typing import Any, NamedTuple

from pyreqwest.exceptions import PyreqwestError

from orchestrator.catalog import Catalog, dollars, parse_catalog
from shared.errors import EnvironmentNotReady, UsageError
from shared.settings import openrouter_api_key, openrouter_base_url
from shared.wire.transport import LARGEST_ANSWER, Response, asking
from shared.wire.untrusted import mapping, parsed

#: Seconds for one answer, first byte to last.
TIMEOUT_S = 10.0
DEFAULT_HOST = "openrouter.ai"


class KeyReport(NamedTuple):
    """What the endpoint says of the key."""

    #: Dollars that the key may still spend; None = no limit of the key's own, or unknown.
    remaining_usd: float | None
    free_tier: bool
    #: What could not be checked, in words; empty = everything was.
    unchecked: str


class Endpoint:
    """The endpoint of OPENROUTER_BASE_URL with the key of OPENROUTER_API_KEY.

    Raises UsageError if either is malformed, or the key is missing where one is needed.
    """

    def __init__(self, url: str | None = None) -> None:
        """``url``: in its place, an endpoint whose callers may bring their own keys."""
        self.url = url or openrouter_base_url()
        key = openrouter_api_key()
        if key is None and url is None and DEFAULT_HOST in self.url:
            raise UsageError(
                "a model was asked for, but OPENROUTER_API_KEY is not set;"
                " export it, or omit --model to use the template engine"
            )
        self._key = key

    def catalog(self) -> Catalog:
        """The models. Raises EnvironmentNotReady if the endpoint does not answer, or with what is
        no list."""
        answer = self._get("/models")
        if answer.status in {401, 403}:
            raise EnvironmentNotReady(_refused(self.url, answer.status))
        if answer.status == 429 or answer.status >= 500:
            raise EnvironmentNotReady(
                f"the model endpoint {self.url} cannot list its models ({answer.status});"
                " try again in a while"
            )
        if answer.status != 200:
            return parse_catalog(None)
        return parse_catalog(self._json("/models", answer))

    def key(self, catalog: Catalog) -> KeyReport:
        """What is known of the key. Raises EnvironmentNotReady if it is refused."""
        if catalog.dialect == "openai":
            return KeyReport(None, False, "key and credit (the endpoint has no /key)")
        answer = self._get("/key")
        if answer.status in {401, 403}:
            raise EnvironmentNotReady(_refused(self.url, answer.status))
        payload = self._json("/key", answer) if answer.status == 200 else None
        data = mapping(payload).get("data")
        if not isinstance(data, dict):
            return KeyReport(None, False, f"key and credit (GET /key: {answer.status})")
        remaining = dollars(data.get("limit_remaining"))
        return KeyReport(remaining, data.get("is_free_tier") is True, "")

    def _get(self, path: str) -> Response:
        try:
            with asking(self.url, self._key) as endpoint:
                return endpoint.get(path, TIMEOUT_S)
        except PyreqwestError as error:
            # The exception's text may hold the request's headers: only its class is named.
            raise EnvironmentNotReady(
                f"the model endpoint {self.url} does not answer ({type(error).__name__});"
                " check the network and OPENROUTER_BASE_URL"
            ) from None

    def _json(self, path: str, answer: Response) -> Any:
        """The JSON value of a body. Raises EnvironmentNotReady for what is none."""
        found = None if answer.body is None else parsed(answer.body)
        if found is None:
            much = LARGEST_ANSWER >> 20
            what = f"more than {much} MiB" if answer.body is None else "what cannot be read as JSON"
            raise EnvironmentNotReady(
                f"the model endpoint {self.url} answers GET {path} with {what};"
                " check OPENROUTER_BASE_URL"
            )
        return found


def _refused(url: str, status: int) -> str:
    return (
        f"the model endpoint {url} refuses the key ({status});"
        " check OPENROUTER_API_KEY at https://openrouter.ai/settings/keys"
    )
