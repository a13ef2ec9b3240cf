"""A small dose of ``make chaos``: whole runs under random kills end as if undisturbed."""

from pathlib import Path

from tests.faults.chaos import TEMPLATE, paid_run, template_run, twin
from tests.processes import needs_proc

pytestmark = needs_proc


def test_a_run_that_is_killed_again_and_again_ends_with_the_twins_policy(tmp_path: Path) -> None:
    (tmp_path / "twin").mkdir()
    (tmp_path / "killed").mkdir()

    reference = twin(tmp_path / "twin", TEMPLATE)
    toll, found = template_run(tmp_path / "killed", reference, seed=0, kills=3)

    assert found == []
    assert toll.kills.total() == 3


def test_a_paid_run_that_is_killed_pays_twice_at_most_for_what_was_on_the_wire(
    tmp_path: Path,
) -> None:
    toll, found = paid_run(tmp_path, seed=1, kills=3)

    assert found == []
    assert toll.kills.total() == 3
