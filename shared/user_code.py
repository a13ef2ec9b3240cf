"""The user's own Python, named ``module:name``: rewards and callbacks.

One rule: a module is an installed package or a file in the code folder, which stands last on
Python's path. So a file called ``worker.py`` or ``json.py`` beside a config never takes the place
of a module of ours, of a library or of Python, and a name that a config gives cannot call into the
standard library.
"""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.errors import UsageError

#: The code folder of a worker; unset = the folder it is started in.
WORKER_CODE_DIR = "WORKER_CODE_DIR"

_OURS = Path(__file__).resolve().parents[1]
_RAISED = (Exception, SystemExit)


def worker_code_dir() -> Path:
    """The code folder of this worker."""
    return Path(os.environ.get(WORKER_CODE_DIR) or Path.cwd())


def python_command(module: str, *arguments: str) -> list[str]:
    """``python -m MODULE ARGUMENTS`` in which the current folder hides no module."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> Mapping[str, str]:
    """To be added to a child's environment: no folder of PYTHONPATH hides our packages either."""
    given = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{_OURS}{os.pathsep}{given}"} if given else {}


def find_user_object(name: str, asked_by: str, folder: Path) -> object:
    """What ``module:name`` stands for, imported.

    ``asked_by`` opens the messages, such as "reward 'my_rewards:short'". Raises UsageError if the
    module is of the standard library, is hidden by an installed one, cannot be imported or lacks
    the name.
    """
    path, _, attribute = name.partition(":")
    folder = folder.absolute()
    own = _file_in(folder, path.partition(".")[0])
    _refuse_hidden(asked_by, path.partition(".")[0], own, folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(path)
    except _RAISED as error:
        raise UsageError(
            f"{asked_by}: cannot import module {path!r} from {folder}:"
            f" {type(error).__name__}: {error}{_elsewhere(path, folder)}"
        ) from error
    try:
        found: object = getattr(module, attribute)
    except AttributeError as error:
        raise UsageError(
            f"{asked_by}: module {path!r} has no {attribute!r}{_near(attribute, dir(module))}"
        ) from error
    if own is None and inspect.isroutine(found) and _of_python(_top(found.__module__)):
        raise UsageError(
            f"{asked_by}: {attribute!r} is a function of Python's module {found.__module__!r};"
            " a function is used where it is written: in a file of yours or an installed package"
        )
    return found


def _refuse_hidden(asked_by: str, top: str, own: Path | None, folder: Path) -> None:
    """Raises UsageError for a module of Python itself, and for a file that an installed module of
    the same name hides."""
    if _of_python(top):
        rename = f"; give {own} another name" if own else ""
        raise UsageError(
            f"{asked_by}: {top!r} is a module of Python itself; functions come from files in"
            f" {folder} or from installed packages{rename}"
        )
    if own is None:
        return
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec and spec.origin and Path(spec.origin).resolve() != own.resolve():
        raise UsageError(
            f"{asked_by}: {own} is not used, since an installed package has the same name"
            f" ({spec.origin}); give the file another name"
        )


def _file_in(folder: Path, top: str) -> Path | None:
    """The file or package of a folder that a top-level name means there."""
    for path in (folder / top / "__init__.py", folder / f"{top}.py", folder / top):
        if path.is_file() or (path.is_dir() and path.name == top):
            return path
    return None


def _elsewhere(path: str, folder: Path) -> str:
    """Where the module would have been found, if that is in the folder of the start."""
    here = Path.cwd()
    found = None if here == folder else _file_in(here, path.partition(".")[0])
    return f"; {found} is there: move it, or set code_dir = {str(here)!r}" if found else ""


def _near(word: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _top(module: object) -> str:
    return str(module or "").partition(".")[0]


def _of_python(top: str) -> bool:
    return top in sys.stdlib_module_names or top in sys.builtin_module_names
