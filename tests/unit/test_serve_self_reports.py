"""The text alone, out of the object that a prompt asked for."""

import json

import pytest

from orchestrator.serve.answers import RedactedText
from orchestrator.serve.self_reports import TextEvents, text_alone

TEXT = 'Qubits "superpose".\n\\(\\psi\\) and \U0001f600 é'
OBJECTS = [
    json.dumps({"generated": TEXT, "quality": 0.8}),
    json.dumps({"generated": TEXT, "quality": 0.8}, ensure_ascii=False),
    json.dumps({"quality": 0.8, "generated": TEXT}),
    "```json\n" + json.dumps({"generated": TEXT, "quality": 1}, indent=2) + "\n```",
    "Here it is: " + json.dumps({"generated": TEXT, "quality": 1}),
]


def event(content: str | None, finish: str | None = None, index: int = 0) -> bytes:
    delta = {"role": "assistant"} if content is None else {"content": content}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'x', 'choices': [choice]})}\n\n".encode()


def contents(stream: bytes, index: int = 0) -> list[str]:
    found = []
    for data in stream.decode().split("\n\n"):
        if data.startswith("data: {"):
            (choice,) = json.loads(data.removeprefix("data: "))["choices"]
            if choice["index"] == index:
                found.append(choice["delta"].get("content", ""))
    return found


def through(*parts: bytes, self_report: bool = True) -> bytes:
    events = TextEvents(True, self_report, no_secret)
    return b"".join([*map(events.add, parts), events.end()])


def streamed(written: str, size: int, finish: str | None = "stop") -> bytes:
    parts = [written[at : at + size] for at in range(0, len(written), size)]
    return b"".join(map(event, parts)) + event("", finish) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("written", OBJECTS)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_stream_holds_the_text_alone(written: str, size: int) -> None:
    assert "".join(contents(through(streamed(written, size)))) == TEXT


def test_a_text_is_passed_on_as_it_grows() -> None:
    events = TextEvents(True, True, no_secret)

    first = events.add(event('{"generated": "Qubits super'))
    second = events.add(event('pose.\\n", "qual'))
    last = events.add(event('ity": 0.5}', "stop"))

    assert [contents(part) for part in (first, second, last)] == [
        ["Qubits super"],
        ["pose.\n"],
        [""],
    ]


@pytest.mark.parametrize("written", ["Plain words {with} braces", "", "{", '{"other": 1}'])
def test_what_holds_no_such_object_stays(written: str) -> None:
    assert "".join(contents(through(streamed(written, 2)))) == written


def test_a_model_that_writes_no_object_is_passed_on_as_it_writes_before_long() -> None:
    events, words = TextEvents(True, True, no_secret), "Words without an object. " * 20

    first = events.add(event(words))

    assert contents(first) == [words]
    assert contents(events.add(event(" More.", "stop"))) == [" More."]


def test_a_text_that_was_cut_ends_where_it_was_cut() -> None:
    assert "".join(contents(through(streamed('{"generated": "Qubits sup', 4, "length")))) == (
        "Qubits sup"
    )


def test_a_stream_that_never_says_that_a_text_has_ended_loses_none_of_it() -> None:
    written = json.dumps({"quality": 1, "generated": TEXT})
    stream = event(written) + b"data: [DONE]\n\n"

    assert "".join(contents(through(stream))) == TEXT
    assert through(stream).endswith(b"data: [DONE]\n\n")


def test_parts_of_events_wait_for_their_ends_and_whatever_else_comes_stays() -> None:
    whole = b": comment\n\n" + streamed(OBJECTS[0], 5) + b"data: no json\r\n\r\nrest"

    assert through(*(whole[at : at + 1] for at in range(len(whole)))) == through(whole)
    assert through(whole).startswith(b": comment\n\n")
    assert through(whole).endswith(b"data: [DONE]\n\ndata: no json\r\n\r\nrest")


def test_several_texts_in_one_stream_do_not_mix() -> None:
    stream = b"".join([
        event('{"generated": "one', index=0),
        event('{"generated": "two', index=1),
        event(' more", "quality": 1}', "stop", index=1),
        event('", "quality": 1}', "stop", index=0),
    ])  # fmt: skip

    found = through(stream)

    assert ("".join(contents(found, 0)), "".join(contents(found, 1))) == ("one", "two more")


def test_a_whole_answer_holds_the_text_alone_and_all_else() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": OBJECTS[0]}, "x": 1}
    refusal = {"index": 1, "message": {"role": "assistant", "content": None, "refusal": "no"}}
    body = json.dumps({"id": "x", "choices": [choice, refusal], "usage": {"total_tokens": 3}})

    found = json.loads(text_alone(body.encode(), True))

    assert found["choices"][0]["message"]["content"] == TEXT
    assert found["choices"][1] == refusal
    assert (found["id"], found["usage"]) == ("x", {"total_tokens": 3})


@pytest.mark.parametrize(
    "before",
    ["<think>hm {</think>\n", "[THINK]hm[/THINK]", "<|channel|>analysis<|message|>hm<|end|>"
     "<|start|>assistant<|channel|>final<|message|>", "analysishm.assistantfinal"],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("self_report", [True, False])
def test_reasoning_in_the_content_reaches_no_caller(
    before: str, size: int, self_report: bool
) -> None:
    written = before + (OBJECTS[0] if self_report else TEXT)
    whole = json.dumps({"choices": [{"message": {"content": written}}]}).encode()

    stream = through(streamed(written, size), self_report=self_report)
    found = json.loads(text_alone(whole, self_report))

    assert "".join(contents(stream)) == TEXT
    assert found["choices"][0]["message"]["content"] == TEXT


def test_an_answer_after_reasoning_is_passed_on_as_it_grows() -> None:
    events = TextEvents(True, False, no_secret)
    parts = ["<thi", "nk>hm", "</think>\n\n", "Qubits super", "pose.", "<|im_end|>"]

    passed = [contents(events.add(event(part))) for part in parts]

    assert passed == [[""], [""], [""], ["Qubits super"], ["pose."], [""]]


@pytest.mark.parametrize("end", [event("", "stop") + b"data: [DONE]\n\n", event("", "stop"), b""])
def test_what_only_looked_like_reasoning_is_passed_on_in_the_end(end: bytes) -> None:
    for written in ("<thi", "analysis-driven", "a </", "<", "hm</think>The answer"):
        stream = through(event(written), end, self_report=False)
        assert "".join(contents(stream)) in (written, "The answer")


def test_what_was_sent_of_a_text_is_not_taken_back_by_a_lone_closing_tag() -> None:
    stream = through(streamed("Long thoughts.</think>The answer.", 5), self_report=False)

    assert "".join(contents(stream)) == "Long thoughts.</think>The answer."


def test_without_markup_every_byte_stays() -> None:
    strange = b'data:  {"choices": [{"index":0,"delta":{"content":"a < b"} }], "x":1}\n\n'
    stream = strange + event(None) + event(" and c", "stop") + b": note\n\ndata: [DONE]\n\n"
    whole = b' {"choices":[{"message": {"content":"a < b"}}]}'

    assert through(stream, self_report=False) == stream
    assert text_alone(whole, self_report=False) == whole


def test_a_long_stream_takes_time_in_proportion() -> None:
    for written in ("<think>" + "hm " * 20_000 + "</think>" + "word " * 20_000, "word " * 30_000):
        stream = through(streamed(written, 20), self_report=False)
        assert "".join(contents(stream)).strip() == written.rpartition(">")[2].strip()


def no_secret() -> RedactedText:
    return RedactedText(None)


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_key_that_a_text_spells_over_several_events_is_not_passed_on(
    planned: bool, size: int
) -> None:
    key = "sk-or-v1-0123456789abcdef"
    text = f"sk-or: the key is {key}, and sk-or-v2 \ud800 s"
    events = TextEvents(planned, False, lambda: RedactedText(key))

    passed = b"".join(
        events.add(b"data: %s\n\n" % json.dumps(
            {"choices": [{"index": 0, "delta": {"content": text[at : at + size]}}]}).encode())
        for at in range(0, len(text), size)
    ) + events.end()  # fmt: skip

    said = [json.loads(line[5:]) for line in passed.splitlines() if line]
    assert "".join(each["choices"][0]["delta"]["content"] for each in said) == text.replace(
        key, "***"
    )
