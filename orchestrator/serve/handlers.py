"""What all paths of the server have in common, and the small ones; on tornado."""

import json
import time
import traceback
from pathlib import Path
from typing import Any

import tornado.web
from prometheus_client import CONTENT_TYPE_LATEST

from orchestrator.serve.bills import metrics
from orchestrator.serve.desk import Desk
from orchestrator.serve.errors import Refused, Reply
from shared.settings import is_loopback


@tornado.web.stream_request_body
class Handler(tornado.web.RequestHandler):
    """What all paths have in common: the key, errors in the API's form, an access line."""

    #: For the access line.
    note = ""

    def initialize(self, desk: Desk) -> None:
        self.desk = desk
        self.began = time.monotonic()

    def data_received(self, chunk: bytes) -> None:
        """Let go of it: else tornado gathers a whole body before it asks whose it is."""

    def set_default_headers(self) -> None:
        """Nothing about the server's software."""
        self.clear_header("Server")

    def checked(self) -> None:
        """Raises Refused unless the caller may call."""
        self.desk.keys.checked(self.request.headers.get("Authorization"))
        if self.desk.keys.callers is not None:
            return
        # Any web page in a browser on this machine could spend the money of the server's key, also
        # one whose name was made to lead here.
        if "Origin" in self.request.headers or not is_loopback(self.request.host):
            raise Refused(
                403,
                "no_web_pages",
                "web pages and other names than this machine's may call only a server that wants a"
                " key of its own (--api-key-env)",
            )

    def answer(self, reply: Reply) -> None:
        """Set a whole answer; it is sent at the end."""
        self.set_status(reply.status)
        for name, text in reply.headers.items():
            self.set_header(name, text)
        self.write(reply.body)

    def answer_json(self, content: dict[str, Any]) -> None:
        """Set a whole answer from its content."""
        self.answer(Reply(200, {"Content-Type": "application/json"}, json.dumps(content).encode()))

    def write_error(self, status_code: int, **details: Any) -> None:
        """In the API's form; of an exception that nobody foresaw only its class is named."""
        error = details.get("exc_info", (None, None))[1]
        if not isinstance(error, Refused):
            error = Refused(status_code, *_words(status_code, self.request.method or "", error))
        self.note = self.note or error.code
        self.answer(error.reply)

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """Where it was raised, for the access line; tornado would print the whole request."""
        if not isinstance(error, Refused | tornado.web.HTTPError):
            last = traceback.extract_tb(trace)[-1]
            self.note = f"failed: {kind.__name__} at {Path(last.filename).name}:{last.lineno}"

    def access_line(self) -> str:
        """One line without any content of the request: its query may hold a key."""
        seconds = time.monotonic() - self.began
        asked = f"{self.request.method} {ascii(self.request.path)[1:-1][:80]}"
        line = f"{time.strftime('%H:%M:%S')} {asked} {self.get_status()} {seconds:.3f} s"
        return f"{line}  {self.note}".rstrip()


class Health(Handler):
    """GET /health: for balancers, without a key."""

    def get(self) -> None:
        state = "stopping" if self.desk.draining else "ok"
        self.set_status(503 if self.desk.draining else 200)
        version = self.desk.policy_version
        self.write({"status": state, "in_flight": self.desk.inflight, "policy_version": version})


class Models(Handler):
    """GET /v1/models: the names that stand for the policy and its model."""

    def get(self) -> None:
        self.checked()
        self.answer_json(
            {
                "object": "list",
                "data": [
                    {"id": name, "object": "model", "created": 0, "owned_by": "concept-grpo"}
                    for name in self.desk.models
                ],
            }
        )


class Metrics(Handler):
    """GET /metrics: the bill, for Prometheus; for those who may call."""

    def get(self) -> None:
        self.checked()
        body = metrics(self.desk.bills.totals, self.desk.inflight)
        self.answer(Reply(200, {"Content-Type": CONTENT_TYPE_LATEST}, body))


class NoSuchPath(Handler):
    """Everything else."""

    def get(self) -> None:
        raise Refused(
            404,
            "no_such_path",
            "there are POST /v1/chat/completions, GET /v1/models, GET /health, GET /metrics",
        )

    # After the body: a caller who is cut off while sending reads no answer.
    head = post = delete = patch = put = options = get


def _words(status: int, method: str, error: BaseException | None) -> tuple[str, str]:
    if status == 405:
        return "method_not_allowed", f"{method} does nothing here"
    if isinstance(error, tornado.web.HTTPError) and status < 500:
        return "bad_request", f"no such request ({status})"
    return "server_error", f"this server failed ({type(error).__name__})"
