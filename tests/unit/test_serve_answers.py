"""Which answers of an endpoint are completions, and how the others reach the caller."""

import json
from typing import Any

import pytest

from orchestrator.serve.answers import Redaction, judged, passed_on
from tests.serving import COMPLETION

KEY = "sk-or-v1-0123456789abcdef"


def error_of(status: int, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    reply = judged(status, headers, body, KEY)
    assert reply.headers["Content-Type"] == "application/json"
    error = json.loads(reply.body)["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    return reply.status, error


def test_a_completion_keeps_its_bytes_and_headers() -> None:
    body = b"\n\n  " + json.dumps(COMPLETION, indent=1).encode()

    reply = judged(200, {"Content-Type": "application/json; x"}, body, KEY)

    assert reply == (200, {"Content-Type": "application/json; x"}, body)


def test_an_error_keeps_status_code_and_whatever_else_it_says() -> None:
    body = json.dumps({
        "error": {"code": 429, "message": "slow down", "metadata": {"limit_source": "x"}},
        "user_id": "org_1",
    }).encode()  # fmt: skip

    status, error = error_of(429, body)

    assert status == 429
    assert error == {
        "message": "slow down",
        "type": "rate_limit_error",
        "param": None,
        "code": 429,
        "metadata": {"limit_source": "x"},
    }


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (502, b"<html>Bad gateway</html>", 502),
        (500, b"", 500),
        (403, b'{"detail": "no"}', 403),
        (404, b'{"error": "model not found"}', 404),
        (302, b"", 502),
        (200, b"", 502),
        (200, b"<html>", 502),
        (200, b'{"choices": [', 502),
        (200, b"[]", 502),
        (200, b'{"choices": []}', 502),
        (200, b'{"choices": null}', 502),
        (200, b'{"choices": [null]}', 502),
        (200, b"data: {}\n\n", 502),
        (200, b'{"error": {"code": 402, "message": "no credit"}}', 402),
        (200, b'{"error": {"code": "rate_limited", "message": "wait"}}', 502),
        (200, b'{"choices": null, "error": {"code": 200, "message": "odd"}}', 502),
        (200, b"[" * 100_000, 502),
    ],
)
def test_what_is_no_completion_becomes_an_error(status: int, body: bytes, said: int) -> None:
    found, error = error_of(status, body)

    assert found == said
    assert error["message"]


def test_the_servers_key_does_not_come_back() -> None:
    body = json.dumps({"error": {"code": 401, "message": f"bad key {KEY}"}}).encode()

    assert error_of(401, body)[1]["message"] == "bad key ***"


def test_headers_for_the_caller_are_kept_and_those_of_the_hop_are_not() -> None:
    raw = [
        (b"Retry-After", b"7"),
        (b"X-RateLimit-Reset", b"17"),
        (b"X-Generation-Id", b"gen-1"),
        (b"Server-Timing", b"a"),
        (b"Content-Length", b"9"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Set-Cookie", b"__cf=1"),
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Strict-Transport-Security", b"max-age=1"),
        (b"X-Odd", b"a\x01b"),
    ]

    kept = {"Retry-After", "X-RateLimit-Reset", "X-Generation-Id", "Server-Timing"}
    assert passed_on(raw).keys() == kept


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"object": "error", "message": "too long", "type": "x", "code": 400}', "too long"),
        (b'{"detail": "Not authenticated"}', "Not authenticated"),
        (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "field required"),
        (b'{"error": "model not found"}', "model not found"),
        (b'{"error": {"message": "slow down"}}', "slow down"),
        (b"upstream connect error", "answered 400 with what is neither"),
        (b"upstream connect error", "upstream connect error"),
        (b"<html><style>p {}</style><h1>Bad</h1>\x1b[31m gateway", "Bad [31m gateway"),
    ],
)
def test_the_words_of_an_error_are_told_in_whatever_shape_they_come(
    body: bytes, words: str
) -> None:
    status, error = error_of(400, body)

    assert status == 400
    assert words in error["message"]
    assert not {"object", "detail"} & error.keys()


def test_the_servers_key_is_never_handed_on() -> None:
    headers = passed_on([(b"x-echo", f"Bearer {KEY}".encode()), (b"x-b", b"c")], KEY)
    assert headers == {"x-echo": "Bearer ***", "x-b": "c"}
    completion = COMPLETION | {"model": KEY}
    assert KEY.encode() not in judged(200, {}, json.dumps(completion).encode(), KEY).body


@pytest.mark.parametrize("size", [1, 2, 7, 24, 25, 26, 1000])
def test_a_key_that_is_split_over_parts_of_a_stream_is_never_handed_on(size: int) -> None:
    words = [KEY[:9], KEY[:5] + KEY + KEY, KEY, KEY[:-1], KEY[:12]]
    said = "\n\n".join(f"data: {word}" for word in words).encode()
    redaction = Redaction(KEY)

    parts = [redaction.add(said[at : at + size]) for at in range(0, len(said), size)]
    handed_on = b"".join([*parts, redaction.end()])

    assert handed_on == said.replace(KEY.encode(), b"***")
    assert Redaction(KEY).add(b"data: nothing of it\n\n") == b"data: nothing of it\n\n"
    assert Redaction(None).add(b"sk-") == b"sk-"


def escaped(text: str, every: int, upper: bool) -> bytes:
    """As JSON may spell it, each so many characters."""
    hexadecimal = "{:04X}" if upper else "{:04x}"
    spelled = (
        character if at % every else "\\u" + hexadecimal.format(ord(character))
        for at, character in enumerate(text)
    )
    return "".join(spelled).encode()


@pytest.mark.parametrize("size", [1, 2, 5, 30, 1000])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_key_in_escapes_of_json_is_handed_on_neither_whole_nor_in_parts(
    size: int, upper: bool, every: int
) -> None:
    key = KEY + "/and/or-more"
    spelled = escaped(key, every, upper).replace(b"/", rb"\/")
    assert json.loads(b'"%s"' % spelled) == key
    said = b'data: {"a": "\\u0073\\n%s"}\n\n' % spelled
    completion = json.dumps(COMPLETION).encode().replace(b"Hi.", spelled)

    redaction = Redaction(key)
    parts = [redaction.add(said[at : at + size]) for at in range(0, len(said), size)]
    handed_on = b"".join([*parts, redaction.end()])

    assert handed_on == said.replace(spelled, b"***")
    assert b"***" in judged(200, {}, completion, key).body
    assert spelled not in judged(200, {}, completion, key).body
