"""Signals: the first asks, the second stops; where a loss costs nothing the first one stops."""

import os
import signal

import pytest

from orchestrator.interrupts import Interrupted, Interrupts


def ask(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def test_the_first_signal_is_noted_and_the_second_stops() -> None:
    interrupts = Interrupts()

    with interrupts.watched():
        ask()
        assert interrupts.came
        assert not interrupts.twice
        with pytest.raises(Interrupted) as stopped:
            ask()

    assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert interrupts.twice


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_can_be_done_again_stops_at_the_first_signal(number: signal.Signals) -> None:
    interrupts = Interrupts()
    before = signal.getsignal(number)

    with interrupts.watched():
        with pytest.raises(Interrupted), interrupts.at_once():
            ask(number)
        assert interrupts.came
        assert not interrupts.twice

    assert signal.getsignal(number) is before


def test_what_can_be_done_again_does_not_begin_after_a_signal() -> None:
    interrupts = Interrupts()

    with interrupts.watched():
        ask()
        with pytest.raises(Interrupted), interrupts.at_once():
            pytest.fail("it has begun")
