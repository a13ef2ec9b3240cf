"""The closing line about what was learnt says nothing of what did not move."""

from orchestrator.config import RunConfig
from orchestrator.inputs import prepare
from orchestrator.report.summary import move_lines, moves
from orchestrator.run_plan import initial_weights


def test_a_policy_that_did_not_move_has_learnt_nothing() -> None:
    inputs = prepare(RunConfig())
    still = [move._asdict() for move in moves(inputs, initial_weights(inputs))]
    moved = [still[0] | {"end": still[0]["start"] + 0.2}, *still[1:]]

    assert [line.split(":")[0] for line in move_lines(inputs, still)] == ["  learnt   nothing"]
    assert next(move_lines(inputs, moved)).startswith("  learnt   ▲ ")
