"""What runs are called: their folders, newest first, and what a person's RUN means."""

import contextlib
import os
import re
import time
from pathlib import Path

from orchestrator.wording import did_you_mean
from shared.errors import UsageError

#: The link to the newest run.
LATEST = "latest"
#: Characters at the beginning of a name that are enough to remove its run.
LEAST_TO_REMOVE = 4
#: Files and folders that every run has from its first moment.
MARKS = ("config.json", "inputs.json", "checkpoints", "inputs", "logs")
_STAMP = re.compile(r"--(\d{8}-\d{4})-[0-9a-f]{4}$")


def is_run(folder: Path) -> bool:
    """Whether a folder is a run, or what is left of one: it has most of what every run has."""
    return sum((folder / mark).exists() for mark in MARKS) * 2 > len(MARKS)


def run_folders(runs_dir: Path) -> list[Path]:
    """The runs in a folder, damaged ones included, newest first; none if there is no folder."""
    found = []
    with contextlib.suppress(OSError):
        for path in runs_dir.iterdir():
            if not path.name.startswith(".") and not path.is_symlink() and _counts(path):
                found.append(path)
    return sorted(found, key=_age, reverse=True)


def started_at(folder: Path) -> str | None:
    """When a run was made, YYYYMMDD-HHMM in UTC, as its name says; None if the name does not."""
    stamp = _STAMP.search(folder.name)
    return stamp[1] if stamp else None


def find_run(runs_dir: Path, ref: str) -> Path:
    """The folder of the run called ``ref``: a path, "latest", a name, or a part of one name alone.

    What begins with ``ref`` is preferred to what has it elsewhere. Raises UsageError if there is
    none, or more than one.
    """
    if not ref.strip():
        raise UsageError(f"{ref!r} names no run; give a name, a path, or {LATEST}")
    for path in (Path(ref).expanduser(), runs_dir / ref):
        with contextlib.suppress(OSError, ValueError):
            if _counts(path):
                return path.resolve()
    folders = run_folders(runs_dir)
    found = _meant(ref, folders)
    if len(found) == 1:
        return found[0]
    if found:
        some = [*(path.name for path in found[:3]), *(["…"] if len(found) > 3 else [])]
        what = f"{len(found)} runs are called {ref!r} in {runs_dir}/: {', '.join(some)}."
    else:
        # People type the whole name, or its first part, or its last one.
        names = [path.name for path in folders]
        parts = {part for name in names for part in (name, name.split("--")[0], name[-4:])}
        hint = did_you_mean(ref, parts)
        what = f"no run called {ref!r} in {runs_dir}/.{hint}"
    raise UsageError(f"{what} See: orchestrator runs list")


def run_to_remove(runs_dir: Path, ref: str) -> Path:
    """The folder of the run that ``ref`` names beyond doubt: what is removed is gone.

    That is a whole name, the first LEAST_TO_REMOVE characters of one name alone, the path of a
    run's folder, or "latest". Raises UsageError for everything else.
    """
    for path in (runs_dir / ref, Path(ref)):
        with contextlib.suppress(OSError, ValueError):
            if ref and path.name not in {"", ".."} and _counts(path):
                return path.resolve()
    meant = [path for path in run_folders(runs_dir) if path.name.startswith(ref)]
    if len(ref) >= LEAST_TO_REMOVE and len(meant) == 1:
        return meant[0]
    several = f"; {len(meant)} names begin with it" if ref and len(meant) > 1 else ""
    raise UsageError(
        f"{ref!r} names no run to remove{several}: give a whole name, or the first"
        f" {LEAST_TO_REMOVE} characters or more that one name in {runs_dir}/ alone has."
        " See: orchestrator runs list"
    )


def file_mode(folder: Path) -> int:
    """Permissions of a run's files, before the umask: for others as little as its folder has."""
    return 0o666 if folder.stat().st_mode & 0o077 else 0o600


def link_to(link: Path, target: str) -> None:
    """Make or replace a link at once; a file system without links loses only a convenience."""
    with contextlib.suppress(OSError):
        beside = link.with_name(f".{link.name}.{os.getpid()}")
        beside.symlink_to(target)
        beside.replace(link)


def mend_latest(runs_dir: Path) -> None:
    """Let ``latest`` link to the newest run if it links to nothing; no link where is no run."""
    link, newest = runs_dir / LATEST, run_folders(runs_dir)[:1]
    if link.is_symlink() and not link.exists():
        if newest:
            link_to(link, newest[0].name)
        else:
            link.unlink(missing_ok=True)


def completions(runs_dir: Path, begun: str) -> list[str]:
    """What a person who has typed ``begun`` may mean, newest first."""
    names = [path.name for path in run_folders(runs_dir)]
    known = [*([LATEST] if (runs_dir / LATEST).exists() else []), *names]
    begins = [name for name in known if name.startswith(begun)]
    return begins or [name for name in names if begun in name]


def _counts(path: Path) -> bool:
    return (path / "config.json").is_file() or is_run(path)


def _meant(ref: str, folders: list[Path]) -> list[Path]:
    begins = [path for path in folders if path.name.startswith(ref)]
    return begins or [path for path in folders if ref in path.name]


def _age(folder: Path) -> tuple[str, float]:
    """Sorts by the moment of making, in UTC; a copy of the folder keeps it in its name."""
    made = 0.0
    for path in (folder, folder / "config.json"):
        with contextlib.suppress(OSError):
            made = path.stat().st_mtime
    return started_at(folder) or time.strftime("%Y%m%d-%H%M", time.gmtime(made)), made
