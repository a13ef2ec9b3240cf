"""The pages that are made of the code say what the code says."""

from types import ModuleType

import pytest

from tests import api_reference, config_reference
from tests.config_reference import PARTS
from tests.config_reference import reference as config_page


@pytest.mark.parametrize("made", [api_reference, config_reference], ids=["api", "config"])
def test_a_reference_is_what_the_code_says(made: ModuleType) -> None:
    assert made.FILE.read_text(encoding="utf-8") == made.reference(), (
        f"docs/{made.FILE.name} is not what the code says; write it again:"
        f" python -m {made.__name__}"
    )


def test_the_reference_of_the_config_has_every_part_and_a_sentence_for_every_knob() -> None:
    page = config_page()

    assert [title for title in PARTS.values() if f"## {title}\n" not in page] == []
    assert [
        line for line in page.splitlines() if line.endswith("|  |") and "solver" not in line
    ] == ([])
