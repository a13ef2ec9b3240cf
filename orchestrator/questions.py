"""One small question to each model before a run: does it answer, and what does it take?

Refusals cost nothing and are learnt from (``shared.wire.dialects``); the answer costs what one
short answer costs, and is booked.
"""

import time
import uuid
from typing import NamedTuple

from pyreqwest.exceptions import PyreqwestError

from shared.errors import EnvironmentNotReady
from shared.messages import ChatMessage, Sampling
from shared.settings import openrouter_api_key, openrouter_base_url
from shared.wire.answers import transport_failure
from shared.wire.client import judged
from shared.wire.dialects import Learnt, learnt
from shared.wire.faults import outside_runs
from shared.wire.money import Bill, bill, cost_usd
from shared.wire.replies import GENERATED, JUDGEMENT
from shared.wire.replies import judged as judgement_in
from shared.wire.requests import chat_body
from shared.wire.transport import Asking, Response, asking
from shared.wire.untrusted import parsed, words
from shared.wire.verdicts import Classified, Verdict

#: What books show beside these calls, in place of a run's name.
TRACE = "question"
#: Faults of a request that would be the same in every call of a run.
_OF_EVERY_CALL = frozenset(
    {"bad_request", "forbidden", "not_found", "refused", "too_large", "unprocessable"}
    | {"validation"}
)
_TEACHING = frozenset({400, 404, 422, 500, 501})
_QUESTION = ChatMessage(role="user", content="What is the capital of France?")
_WRITE = (ChatMessage(role="system", content="Be brief."), _QUESTION)
_REPORT = (
    ChatMessage(
        role="system",
        content='Be brief. Answer with one JSON object: {"generated": "<your text>", "quality":'
        " <number from 0 to 1>}.",
    ),
    _QUESTION,
)
_JUDGE = (
    ChatMessage(
        role="system",
        content="The user message is a JSON object with a question and an answer. Judge how good"
        ' the answer is, with one JSON object: {"reason": "<one sentence>", "score": <0 to 10>}.',
    ),
    ChatMessage(
        role="user", content='{"question": "What is the capital of France?", "answer": "Paris."}'
    ),
)


class Came(NamedTuple):
    """What came of a question."""

    #: How the model is to be asked from now on.
    sampling: Sampling
    #: What was learnt, a sentence each.
    learnt: tuple[str, ...]
    found: Classified
    seconds: float
    due: Bill
    #: None: not known.
    cost_usd: float | None
    judge: bool

    @property
    def good(self) -> bool:
        """Whether a run can use such an answer."""
        answer = self.found.answer
        if self.found.verdict is not Verdict.COMPLETION or answer is None:
            return False
        return not self.judge or judgement_in(answer.text) is not None

    @property
    def line(self) -> str:
        """The same with what it took, for people."""
        cost = "cost unknown" if self.cost_usd is None else f"${self.cost_usd:.6f}"
        who = "judge" if self.judge else "model"
        return f"{who} {self.sampling.model}: {self.described} in {self.seconds:.1f} s, {cost}"

    @property
    def takes(self) -> str:
        """What was sent and not refused."""
        how = self.sampling
        sent = {
            how.max_tokens_field: True,
            "a system role": how.system_role,
            "temperature": how.temperature is not None,
            "top_p": how.top_p is not None,
            "a seed": how.send_seed,
            "stop": bool(how.stop),
        }
        return f"takes {', '.join(name for name, is_sent in sent.items() if is_sent)}"

    @property
    def described(self) -> str:
        """What came back, in a few words that are harmless to show."""
        said = self.found.answer.text if self.found.answer else ""
        if self.found.verdict is not Verdict.COMPLETION:
            return outside_runs(self.found.message)
        if not self.judge:
            return f'"{words(said)}"'
        judgement = judgement_in(said)
        if judgement is None:
            return f'no score in "{words(said)}"'
        return f"score {10 * judgement.score:g} of 10"


def ask(sampling: Sampling, judge: bool) -> Came:
    """Ask, and learn from each refusal until the model answers.

    Raises EnvironmentNotReady if it refuses every call as it is, or a person must do something.
    """
    url, key = openrouter_base_url(), openrouter_api_key()
    lessons: list[Learnt] = []
    with asking(url, key) as endpoint:
        while True:
            body, seconds, answered = _asked(endpoint, sampling, judge)
            found = answered if isinstance(answered, Classified) else judged(answered, key)
            lesson = None if isinstance(answered, Classified) else _lesson(sampling, answered, key)
            if found.verdict is Verdict.COMPLETION or lesson is None:
                break
            lessons.append(lesson)
            sampling = lesson.sampling
    if found.verdict is Verdict.STOP or found.fault in _OF_EVERY_CALL:
        raise EnvironmentNotReady(
            f"the model {sampling.model} cannot be asked: {outside_runs(found.message)}"
        )
    due = bill(found, body, sampling)
    told = tuple(each.sentence for each in lessons)
    return Came(sampling, told, found, seconds, due, cost_usd(found, sampling), judge)


def _asked(
    endpoint: Asking, sampling: Sampling, judge: bool
) -> tuple[bytes, float, Response | Classified]:
    messages, schema = _WRITE, None
    if judge or sampling.self_report:
        messages, schema = (_JUDGE, JUDGEMENT) if judge else (_REPORT, GENERATED)
    body = chat_body(
        messages,
        sampling,
        # Each question is its own, so that no books show one body as billed twice.
        rollout=f"{TRACE}/{uuid.uuid4()}",
        run=TRACE,
        seed=1,
        schema=schema,
        openrouter=sampling.dialect == "openrouter",
    )
    began = time.monotonic()
    try:
        answered: Response | Classified = endpoint.post_chat(body, sampling.request_timeout_s)
    except PyreqwestError as error:
        answered = transport_failure(error)
    return body, time.monotonic() - began, answered


def _lesson(sampling: Sampling, answered: Response, key: str | None) -> Learnt | None:
    if answered.status not in _TEACHING or answered.body is None:
        return None
    return learnt(sampling, parsed(answered.body) or answered.body.decode("utf-8", "replace"))
