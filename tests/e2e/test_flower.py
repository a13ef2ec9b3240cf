"""Flower beside a run: behind a password, readable labels, nothing private, gone with the run."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from orchestrator.data import BUILTIN_HELDOUT, BUILTIN_TRAIN
from orchestrator.groups import LABEL_CHARACTERS
from tests.processes import descendants, environment, needs_proc, running, wait_until
from tests.running import SMALL, Started, json_lines, started

pytestmark = needs_proc

LABEL = re.compile(r"^s\d{3} (eval )?\S+ x\d+( \(\d+ done\))?: \S.{0,39}$")


class Watched(NamedTuple):
    """A run with Flower beside it."""

    command: Started
    children: set[int]
    address: str
    login: tuple[str, str]
    server_url: str

    def get(self, path: str, login: bool = True) -> httpx.Response:
        auth = self.login if login else None
        return httpx.get(f"{self.address}{path}", auth=auth, timeout=10, trust_env=False)

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that Flower saw from their beginning."""
        tasks = self.get("/api/tasks?limit=400").json().values()
        return [task for task in tasks if task["received"]]

    def workers(self) -> list[str]:
        return list(self.get("/api/workers?refresh=1").json())


def answers(address: str) -> bool:
    try:
        httpx.get(address, timeout=10, trust_env=False)
    except httpx.TransportError:
        return False
    return True


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A run that goes on until it is stopped, once Flower has seen tasks of both kinds."""
    folder = tmp_path_factory.mktemp("watched")
    options = ("--steps=5000", "--set=template_latency_s=0.2", "--flower")
    with started("run", *SMALL[1:], *options, cwd=folder) as command:
        said = command.await_words("  flower ")
        found = re.search(r"flower +(http://127\.0\.0\.1:\d+) +login (\w+):(\S+)", said)
        assert found, said
        address, user, password = found.groups()
        wait_until(lambda: answers(address), "Flower answers")
        children = descendants(command.pid)
        (worker, *_) = running(children, "-m worker")
        url = environment(worker)["REDIS_URL"]
        seen = Watched(command, children, address, (user, password), url)
        wait_until(
            lambda: {task["name"] for task in seen.tasks()} >= {"generate", "score"},
            "tasks of both kinds in Flower",
        )
        wait_until(seen.workers, "the worker in Flower")
        yield seen


@pytest.mark.parametrize(
    "path", ["/", "/workers", "/tasks", "/broker", "/api/tasks", "/api/workers"]
)
def test_without_the_login_every_page_is_closed(watched: Watched, path: str) -> None:
    assert watched.get(path, login=False).status_code == 401


def test_a_wrong_password_is_no_login(watched: Watched) -> None:
    guess = httpx.get(watched.address, auth=(watched.login[0], "guess"), trust_env=False)
    assert guess.status_code == 401


def test_the_workers_are_shown(watched: Watched) -> None:
    (name,) = watched.workers()

    assert name.startswith("embedded-")


def test_tasks_have_readable_labels_in_place_of_arguments(watched: Watched) -> None:
    tasks = watched.tasks()

    labels = {task["args"] for task in tasks}
    assert {label for label in labels if not LABEL.match(label)} == set()
    assert any(re.match(r"^s\d{3} e\d+ x6: ", label) for label in labels)
    assert {task["kwargs"] for task in tasks} <= {"", None}
    assert {task["state"] for task in tasks} <= {"RECEIVED", "STARTED", "PROGRESS", "SUCCESS"}


def test_no_page_shows_a_whole_prompt_an_answer_or_the_servers_password(watched: Watched) -> None:
    lines = [json_lines(path.read_text("utf-8")) for path in (BUILTIN_TRAIN, BUILTIN_HELDOUT)]
    prompts = [row["text"] for rows in lines for row in rows if len(row["text"]) > LABEL_CHARACTERS]
    assert len(prompts) > 20
    secrets = [
        *prompts,
        "Generate a high-quality explanation",
        str(urlsplit(watched.server_url).password),
    ]
    newest = watched.tasks()[0]
    (worker,) = watched.workers()
    pages = ["/", "/workers", "/tasks", "/broker", "/metrics", "/healthcheck", "/api/tasks"]
    pages += ["/api/workers?refresh=1", f"/worker/{worker}", f"/task/{newest['uuid']}"]
    pages += [f"/api/task/info/{newest['uuid']}", "/api/queues/length"]

    for page in pages:
        answer = watched.get(page)
        assert answer.status_code == 200, page
        shown = [secret for secret in secrets if secret in answer.text]
        assert shown == [], page


def test_flower_can_start_and_stop_nothing(watched: Watched) -> None:
    for path in ("/api/task/send-task/generate", "/api/worker/shutdown/any"):
        answer = httpx.post(
            watched.address + path, auth=watched.login, json={"args": []}, trust_env=False
        )
        assert answer.status_code in {401, 403, 404, 405}, path
