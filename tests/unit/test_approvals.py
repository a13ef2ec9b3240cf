"""A run folder calls functions only where a person has let it."""

from pathlib import Path

import pytest

from orchestrator.approvals import approvals_file, approve, is_approved, refuse_unapproved
from orchestrator.config import RunConfig
from shared.errors import UsageError

OWN = RunConfig(reward_funcs=("mine:fine", "length"), callbacks=("mine:Told",))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_run_without_functions_of_its_own_needs_no_approval(tmp_path: Path) -> None:
    refuse_unapproved(tmp_path, RunConfig())
    approve(tmp_path, RunConfig())

    assert not approvals_file().exists()


def test_what_is_asked_for_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mine:fine, mine:Told .*--trust"):
        refuse_unapproved(tmp_path, OWN)


def test_an_approval_is_for_one_folder_and_what_it_calls(tmp_path: Path) -> None:
    approve(tmp_path, OWN)

    refuse_unapproved(tmp_path, OWN)
    assert approvals_file().stat().st_mode & 0o077 == 0
    assert not is_approved(tmp_path / "other", OWN)
    changes: list[dict[str, object]] = [
        {"reward_funcs": ("mine:worse",)},
        {"reward_options": {"mine:fine": {"command": "rm"}}},
        {"code_dir": "elsewhere"},
    ]
    for change in changes:
        assert not is_approved(tmp_path, OWN.model_copy(update=change))
    assert is_approved(tmp_path, OWN.model_copy(update={"max_cost_usd": 5.0}))


def test_a_home_that_takes_no_file_keeps_nothing_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))

    approve(tmp_path, OWN)

    assert not is_approved(tmp_path, OWN)
