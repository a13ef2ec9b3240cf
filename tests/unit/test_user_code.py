"""Where a name of the user's own leads: last on the path, never into Python itself."""

import sys
from pathlib import Path

import pytest

from orchestrator import Callback
from orchestrator.callbacks import new_callback
from orchestrator.config_files import resolve
from shared.errors import UsageError
from shared.user_code import find_user_object


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["os:system", "posix:system", "subprocess:run", "importlib.util:find_spec"]
)
def test_the_standard_library_is_no_place_for_a_function(name: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="is a module of Python itself"):
        find_user_object(name, "here", folder)


def test_nor_is_what_an_installed_package_has_from_there(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a function of Python's module"):
        find_user_object("click.core:update_wrapper", "here", folder)


@pytest.mark.parametrize("top", ["worker", "shared", "orchestrator", "numpy", "json"])
def test_a_file_that_something_installed_hides_is_named(top: str, folder: Path) -> None:
    own = folder / f"{top}.py"
    own.write_text("def fine(): return 1\n")

    with pytest.raises(UsageError) as refused:
        find_user_object(f"{top}:fine", "reward 'x'", folder)

    assert str(own) in str(refused.value)
    assert "another name" in str(refused.value)


def test_the_code_folder_stands_last_on_the_path(folder: Path) -> None:
    (folder / "my_own_place.py").write_text("def fine(): return 1\n")

    find_user_object("my_own_place:fine", "here", folder)

    assert sys.path[-1] == str(folder)


def test_a_callback_is_found_like_a_reward(folder: Path) -> None:
    (folder / "my_own_calls.py").write_text(
        "from orchestrator import Callback\nclass Mine(Callback): pass\nother = 3\n"
    )

    assert isinstance(new_callback("my_own_calls:Mine", folder), Callback)
    with pytest.raises(UsageError, match="which is not a class derived"):
        new_callback("my_own_calls:other", folder)


def test_functions_are_looked_for_beside_the_config(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    below = folder / "configs" / "run.toml"
    below.parent.mkdir()
    below.write_text('reward_funcs = ["mine:fine"]\n')
    plain = folder / "plain.toml"
    plain.write_text("max_steps = 3\n")
    set_by_hand = [("code_dir", "--set code_dir", "elsewhere")]

    assert resolve([plain], []).config.code_dir == ""
    assert resolve([below], []).config.code_dir == "configs"
    assert resolve([below], []).config.code_folder() == below.parent
    assert resolve([below], set_by_hand).config.code_folder() == folder / "elsewhere"
    monkeypatch.chdir("/")
    assert resolve([below], []).config.code_folder() == below.parent


def test_a_module_in_the_folder_of_the_start_alone_is_pointed_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "left_behind.py").write_text("def fine(): return 1\n")
    (folder / "configs").mkdir()

    with pytest.raises(UsageError, match=r"left_behind\.py is there: move it, or set code_dir"):
        find_user_object("left_behind:fine", "here", folder / "configs")
