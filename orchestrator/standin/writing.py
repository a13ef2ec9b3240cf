"""Explanations in English, made from what the prompt asks for.

They mention most of the concepts that the prompt names, follow its skeleton in part, and vary in
length: so a reward sees which prompts are better, through noise, as with a real model.
"""

import re
from random import Random

#: An enumeration after a colon at the end of a line: "Build the answer on: qubits and gates."
LISTED = re.compile(r":[ \t]+([^\n:]{3,300}?)\.?[ \t]*$", re.MULTILINE)
SEPARATOR = re.compile(r",\s*(?:and\s+|or\s+)?|\s+and\s+|;\s*")
QUESTION = re.compile(
    r"^(?:please\s+)?(?:explain|describe|define|summari[sz]e|tell me about|what (?:is|are)"
    r"|(?:how|why) (?:do|does|is|are))\s+",
    re.IGNORECASE,
)
SKELETON = re.compile(r"^Skeleton:\s*$", re.MULTILINE)
WORD = re.compile(r"[^\W\d_]{6,}")
SENTENCE = re.compile(r"[^.!?\n]+[.!?]")
#: How likely a concept that was asked for is mentioned, and a sentence of the skeleton is kept.
MENTIONED = 0.85
KEPT = 0.6
SENTENCES = (
    "{A} is where an account of {topic} usually begins, because everything else rests on it.",
    "For example, {a} shows how {topic} behaves once it leaves the textbook.",
    "However, {a} alone explains little; it has to be seen together with {b}.",
    "Therefore, anyone who works on {topic} learns to reason about {a} early on.",
    "In practice, {a} and {b} limit each other, and good designs balance them.",
    "{A} matters since small errors there spread through the whole of {topic}.",
    "To see why, compare {a} with {b}: the first sets the goal, the second the price.",
    "As a result, experiments with {a} are often the quickest way to understand {topic}.",
    "In contrast to older views, {a} is now treated as a part of {topic}, not as an exception.",
    "Finally, {a} reminds us that {topic} is still an open field.",
)
PLAIN = (
    "This is a short answer about {topic}.",
    "There is much more to say about {topic}, but this is the core of it.",
    "Most introductions to {topic} agree on that.",
)


def explanation(request: str, source: Random) -> str:
    """An answer to the text of a user message."""
    head, _, skeleton = _parts(request)
    topic = _topic(head)
    named = [phrase for phrase in phrases(head) if source.random() < MENTIONED] or [topic]
    source.shuffle(named)
    written = [each for each in SENTENCE.findall(skeleton) if source.random() < KEPT]
    spare = source.sample(SENTENCES, len(SENTENCES))
    length = max(1, round(source.gauss(len(named) + 1, 1.5)))
    for at in range(min(length, len(spare))):
        first, second = named[at % len(named)], named[(at + 1) % len(named)]
        capital = first[:1].upper() + first[1:]
        written.append(spare[at].format(A=capital, a=first, b=second, topic=topic))
    if source.random() < 0.3:
        written.append(source.choice(PLAIN).format(topic=topic))
    return " ".join(each.strip() for each in written)


def phrases(text: str) -> list[str]:
    """What a prompt enumerates; its long words if it enumerates nothing."""
    found = [
        phrase.strip()
        for enumeration in LISTED.findall(text)
        for phrase in SEPARATOR.split(enumeration)
        if 0 < len(phrase.split()) <= 5
    ]
    return list(dict.fromkeys(found or WORD.findall(text)[:8]))


def _parts(request: str) -> tuple[str, str, str]:
    found = SKELETON.search(request)
    if found is None:
        return request, "", ""
    return request[: found.start()], found[0], request[found.end() :]


def _topic(head: str) -> str:
    line = next((line for line in head.splitlines() if line.strip()), "the subject")
    return QUESTION.sub("", line.strip()).rstrip("?!. ")[:60].replace("{", "(") or "the subject"
