"""Which run is meant: a path, a name, a part of one, or "latest"."""

from pathlib import Path

from orchestrator.wording import did_you_mean
from shared.errors import UsageError

#: Names that an error shows.
SHOWN = 3


def find_run(runs_dir: Path, ref: str) -> Path:
    """The folder of the run called ``ref``: a path, "latest", a name, or a part that one alone has.

    Raises UsageError if there is none, or more than one.
    """
    if not ref.strip():
        raise UsageError("'' names no run; give a name, a path, or latest")
    for path in (Path(ref), runs_dir / ref):
        if _is_run(path):
            return path.resolve()
    names = sorted(p.name for p in runs_dir.glob("*") if not p.is_symlink() and _is_run(p))
    found = [name for name in names if ref in name]
    if len(found) == 1:
        return runs_dir / found[0]
    if found:
        more = ", …" if len(found) > SHOWN else ""
        what = f"{len(found)} runs ({', '.join(found[:SHOWN])}{more})"
        raise UsageError(f"{what} are called {ref!r} in {runs_dir}/; give more of the name")
    # People type the first part or the last one.
    parts = {part for name in names for part in (name, name.split("--")[0], name[-4:])}
    hint = did_you_mean(ref, parts) or (f" There is {names[-1]!r}." if names else "")
    raise UsageError(f"no run called {ref!r} in {runs_dir}/.{hint} See: ls {runs_dir}")


def _is_run(path: Path) -> bool:
    return (path / "config.json").is_file()
