"""JSON of people and our own, where size or numbers are the trouble."""

from pathlib import Path

import pytest

from orchestrator.strict_json import own, parse_array


def test_a_large_array_takes_time_in_proportion_to_its_size() -> None:
    record = '{"text": "' + "Explain it. " * 10 + '"}'
    text = f"[{', '.join([record] * 60_000)}]"

    assert sum(1 for _ in parse_array(text, Path("big.json"))) == 60_000


@pytest.mark.parametrize("text", ["1e400", "NaN", "[-Infinity]", "9" * 400, "[" * 100_000, b"\xff"])
def test_what_no_file_of_ours_holds_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"number|large|deeply|decode"):
        own(text)
