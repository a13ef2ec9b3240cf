"""A proxy of the environment is used by everything that asks a model, except for loopback."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config import RunConfig
from orchestrator.preflight import preflight
from orchestrator.serve.upstream import Upstream
from orchestrator.trained import Policy
from shared.errors import UsageError
from shared.wire.client import ChatClient
from shared.wire.proxies import Proxy, is_loopback, proxy_for
from tests.benchmarks._endpoint import FILES, make_certificate
from tests.forwarding import HOST, Forwarding, forwarding
from tests.loopback import Server, response, sends, serving
from tests.serving import COMPLETION, body, on_a_thread, post, served
from tests.trained_policies import policy_file

LOGIN = "someone:a%20secret"
ANSWERS = sends(response(json.dumps(COMPLETION | {"data": [{"id": "m"}]}).encode()))


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(policy_file(tmp_path_factory.mktemp("policy"), RunConfig(model="m")))


@pytest.fixture
def endpoint() -> Iterator[Server]:
    with on_a_thread(lambda: serving(ANSWERS)) as server:
        yield server


@pytest.fixture
def proxy(endpoint: Server) -> Iterator[Forwarding]:
    with on_a_thread(lambda: forwarding(endpoint.url)) as found:
        yield found


@pytest.mark.parametrize(
    ("environment", "url", "found"),
    [
        ({}, "https://openrouter.ai/api/v1", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://openrouter.ai/api/v1", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://openrouter.ai/api/v1", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://10.0.0.1:8000/v1", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://10.0.0.1:8000/v1", "http://p:1"),
        ({"ALL_PROXY": "socks5h://p:1"}, "http://10.0.0.1:8000/v1", "socks5h://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://10.0.0.1/v1", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": ".corp, b"}, "http://a.corp/v1", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "b, A.corp:80"}, "http://a.corp:80/v1", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*.corp"}, "http://a.corp/v1", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "corp,,"}, "http://acorp/v1", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://a.corp/v1", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://11.0.0.1/v1", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "http://127.0.0.7:8080/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://[::1]:8080/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://localhost:8080/v1", None),
    ],
)
def test_the_proxy_is_what_the_usual_variables_say(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, found: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(url) == (Proxy(found) if found else None)


def test_this_machine_is_known_by_its_names_and_addresses() -> None:
    assert all(map(is_loopback, ("localhost", "LOCALHOST.", "a.localhost", "127.8.9.1", "::1")))
    assert not any(map(is_loopback, ("127.example", "localhost.corp", "10.0.0.1", "::2", "")))


@pytest.mark.parametrize("value", ["ftp://p:1", "http://", "http://p:notaport", "http://p q:1"])
def test_what_names_no_proxy_is_refused_without_quoting_it(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value.replace("//", "//someone:secret@"))

    with pytest.raises(UsageError, match="HTTPS_PROXY does not name a proxy") as error:
        proxy_for("https://openrouter.ai/api/v1")
    assert "secret" not in str(error.value)


def test_the_list_of_models_and_the_calls_go_through_it_with_its_login(
    monkeypatch: pytest.MonkeyPatch, endpoint: Server, proxy: Forwarding
) -> None:
    url = f"http://{HOST}/v1"
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", f"//{LOGIN}@"))
    monkeypatch.setenv("OPENROUTER_BASE_URL", url)

    models = preflight(RunConfig(model="m"))

    async def call() -> str:
        client = ChatClient(url, None)
        try:
            return (await client.post_chat(b"{}", 20)).fault
        finally:
            await client.aclose()

    assert models.generator.model == "m"
    assert asyncio.run(call()) == "no_usage"
    first, *_, last = proxy.asked
    assert (first, last) == (f"GET {url}/models HTTP/1.1", f"POST {url}/chat/completions HTTP/1.1")
    assert {each["proxy-authorization"] for each in proxy.headers} == {
        "basic c29tzw9uztphihnly3jlda=="
    }


def test_serve_goes_through_it_too(
    monkeypatch: pytest.MonkeyPatch, policy: Policy, proxy: Forwarding
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)

    with served(policy, f"http://{HOST}/v1") as server:
        assert [post(server, body()).status_code for _ in range(2)] == [200, 200]

    assert proxy.asked == [f"POST http://{HOST}/v1/chat/completions HTTP/1.1"]


def test_tls_goes_through_a_tunnel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: Policy
) -> None:
    make_certificate(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / FILES[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(tmp_path / name for name in FILES))
    url = f"https://{HOST}/v1"
    with (
        on_a_thread(lambda: serving(ANSWERS, context)) as endpoint,
        on_a_thread(lambda: forwarding(endpoint.url)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("OPENROUTER_BASE_URL", url)
        assert preflight(RunConfig(model="m")).generator.model == "m"
        with served(policy, url) as server:
            assert post(server, body()).status_code == 200

    assert set(proxy.asked) == {f"CONNECT {HOST}:443 HTTP/1.1"}


def test_a_proxy_that_is_not_there_is_named_as_an_endpoint_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    with served(policy, f"http://{HOST}/v1") as server:
        assert post(server, body()).json()["error"]["code"] == "upstream_unreachable"


def test_serve_refuses_a_proxy_that_it_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")

    with pytest.raises(UsageError, match="HTTP proxies only"):
        Upstream(f"http://{HOST}/v1", 5)
