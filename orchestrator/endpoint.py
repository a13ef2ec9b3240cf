"""The model endpoint before a run: its models and the key's credit. A few plain requests."""

from typing import Any, NamedTuple

import httpx

from orchestrator.catalog import Catalog, dollars, parse_catalog
from shared.errors import EnvironmentNotReady, UsageError
from shared.settings import openrouter_api_key, openrouter_base_url

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

    def __init__(self) -> None:
        self.url = openrouter_base_url()
        key = openrouter_api_key()
        if key is None and DEFAULT_HOST in self.url:
            raise UsageError(
                "a model was asked for, but OPENROUTER_API_KEY is not set;"
                " export it, or leave --model away to use the template engine"
            )
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def catalog(self) -> Catalog:
        """The models. Raises EnvironmentNotReady if the endpoint does not answer."""
        answer = self._get("/models")
        if answer.status_code in {401, 403}:
            raise EnvironmentNotReady(_refused(self.url, answer.status_code))
        if answer.status_code == 429 or answer.status_code >= 500:
            raise EnvironmentNotReady(
                f"the model endpoint {self.url} cannot list its models ({answer.status_code});"
                " try again in a while"
            )
        if answer.status_code != 200:
            return parse_catalog(None)
        return parse_catalog(_json(answer))

    def key(self, catalog: Catalog) -> KeyReport:
        """What is known of the key. Raises EnvironmentNotReady if it is refused."""
        if catalog.dialect == "openai":
            return KeyReport(None, False, "key and credit (the endpoint has no /key)")
        answer = self._get("/key")
        if answer.status_code in {401, 403}:
            raise EnvironmentNotReady(_refused(self.url, answer.status_code))
        payload = _json(answer) if answer.status_code == 200 else None
        data = payload.get("data") if isinstance(payload, dict) else None
        if not isinstance(data, dict):
            return KeyReport(None, False, f"key and credit (GET /key: {answer.status_code})")
        remaining = dollars(data.get("limit_remaining"))
        return KeyReport(remaining, data.get("is_free_tier") is True, "")

    def _get(self, path: str) -> httpx.Response:
        try:
            # No proxy from the environment, but the certificates that it names, as in the worker.
            trusted = httpx.create_ssl_context()
            with httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=trusted) as client:
                return client.get(self.url + path, headers=self._headers)
        except httpx.HTTPError as error:
            # The exception's text may hold the request's headers: only its class is named.
            raise EnvironmentNotReady(
                f"the model endpoint {self.url} does not answer ({type(error).__name__});"
                " check the network and OPENROUTER_BASE_URL"
            ) from None


def _refused(url: str, status: int) -> str:
    return (
        f"the model endpoint {url} refuses the key ({status});"
        " check OPENROUTER_API_KEY at https://openrouter.ai/settings/keys"
    )


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
