"""The whole pipeline finds what a judge likes without being told, and says what it was."""

from pathlib import Path

from tests.benchmarks.hidden_taste import learn
from tests.hidden_taste import USEFUL, taste


def test_within_1024_paid_calls_nine_tenths_of_what_can_be_gained_are_learnt(
    workplace: Path,
) -> None:
    learnt = learn(workplace, taste(workplace), seed=0, calls=1024)

    assert learnt.calls <= 1024
    assert learnt.reached >= 0.9
    assert set(learnt.first) == USEFUL
