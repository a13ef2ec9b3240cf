"""A run on disk, to be read: atomic whole files, append-only lines, a link to the latest."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.evaluation import Evaluation
from orchestrator.inputs import Inputs
from shared.errors import UsageError


class RunDirectory:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    @classmethod
    def create(cls, inputs: Inputs, model: str) -> "RunDirectory":
        """A new folder ``NAME--MODEL--DATE-TIME-RANDOM``, never an old one."""
        config = inputs.config
        name = config.name or (Path(config.data).stem if config.data else "seed")
        safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in name)[:40].strip("-")
        stamp = time.strftime("%Y%m%d-%H%M")
        run = f"{safe or 'run'}--{model}--{stamp}-{secrets.token_hex(2)}"
        path = Path(config.runs_dir) / run
        try:
            path.mkdir(parents=True, exist_ok=False)
        except OSError as error:
            raise UsageError(
                f"cannot make the run directory {path}: {error.strerror or error};"
                " choose another place with --set runs_dir=…"
            ) from None
        directory = cls(path)
        for folder in ("inputs", "checkpoints", "logs"):
            (path / folder).mkdir()
        directory.write_json("config.json", config.model_dump(mode="json"))
        directory._keep_inputs(inputs)
        directory._link_latest()
        return directory

    @classmethod
    def find(cls, runs_dir: Path, ref: str) -> "RunDirectory":
        """The run called ``ref``: a path, "latest", a name, or a part that one name alone has.

        Raises UsageError if there is none, or more than one.
        """
        if not ref.strip():
            raise UsageError("--resume '' names no run; give a name, a path, or latest")
        for path in (Path(ref), runs_dir / ref):
            if (path / "config.json").is_file():
                return cls(path.resolve())
        names = [
            p.name
            for p in runs_dir.glob("*")
            if not p.is_symlink() and (p / "config.json").is_file()
        ]
        found = sorted(name for name in names if ref in name)
        if len(found) != 1:
            what = "no run" if not found else f"{len(found)} runs ({', '.join(found[:3])}, …)"
            raise UsageError(f"{what} called {ref!r} in {runs_dir}/; see: ls {runs_dir}")
        return cls(runs_dir / found[0])

    def discard(self) -> None:
        """Remove a run that never started, and the link to it."""
        shutil.rmtree(self.path, ignore_errors=True)
        latest = self.path.parent / "latest"
        if latest.is_symlink() and not latest.exists():
            latest.unlink(missing_ok=True)

    def attempt_logs(self) -> Path:
        """A new folder ``logs/attempt_N`` for this process's children; logs/latest links to it."""
        number = 1 + sum(1 for _ in (self.path / "logs").glob("attempt_*"))
        folder = self.path / "logs" / f"attempt_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        _link(self.path / "logs" / "latest", folder.name)
        return folder

    def write_json(self, name: str, value: Any) -> None:
        """Replace a whole file at once: readers see the old or the new one."""
        write_atomically(self.path / name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """A whole file. Raises UsageError if it is missing or no JSON."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path / name} cannot be read: {error}") from None

    def append_lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows to a JSONL file in one write."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def checkpoint(self, step: int, value: Any) -> None:
        """Keep a whole state under ``checkpoints/STEP.json``."""
        write_atomically(self.path / "checkpoints" / f"{step:06d}.json", json.dumps(value) + "\n")

    def steps_saved(self) -> int:
        """The last step in ``metrics.jsonl``; 0 if there is none."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            return int(json.loads(lines[-1])["step"])
        return 0

    def newest_checkpoint(self) -> tuple[int, Any] | None:
        """The step and the state of the newest checkpoint that can be read, or None."""
        for path in sorted((self.path / "checkpoints").glob("*.json"), reverse=True):
            with contextlib.suppress(OSError, ValueError):
                return int(path.stem), json.loads(path.read_text(encoding="utf-8"))
        return None

    def keep_starting_evaluation(self, evaluation: Evaluation | None) -> None:
        """Keep what the untrained policy reached: a resumed run does not pay for it again."""
        if evaluation is not None:
            fields = {key: value for key, value in vars(evaluation).items() if key != "groups"}
            self.write_json("heldout_start.json", fields)

    def starting_evaluation(self) -> Evaluation | None:
        """What the untrained policy reached, without its rollouts; None if that is not known."""
        try:
            return Evaluation(
                **json.loads((self.path / "heldout_start.json").read_text()), groups=()
            )
        except (OSError, ValueError, TypeError):
            return None

    def _keep_inputs(self, inputs: Inputs) -> None:
        kept = {}
        for role, source in inputs.files.items():
            copy = self.path / "inputs" / f"{role}{source.suffix}"
            shutil.copyfile(source, copy)
            kept[role] = {
                "path": str(source),
                "copy": f"inputs/{copy.name}",
                "sha256": hashlib.sha256(copy.read_bytes()).hexdigest(),
            }
        self.write_json("inputs.json", kept)

    def _link_latest(self) -> None:
        _link(self.path.parent / "latest", self.path.name)


def write_atomically(path: Path, text: str) -> None:
    """Write beside, flush to the disk, rename over."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _link(link: Path, target: str) -> None:
    # A file system without links loses only a convenience.
    with contextlib.suppress(OSError):
        beside = link.with_name(f".{link.name}.{os.getpid()}")
        beside.symlink_to(target)
        beside.replace(link)
