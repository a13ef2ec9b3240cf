"""A run on disk, to be read: atomic whole files, append-only lines, a link to the latest."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from orchestrator import strict_json
from orchestrator.data_sources import short_name
from orchestrator.evaluation import Answers, Evaluation, Kind
from orchestrator.inputs import Inputs
from orchestrator.rollouts import FloatArray, Params
from orchestrator.run_names import LATEST, file_mode, find_run, link_to
from orchestrator.store import decode_weights
from shared.errors import EnvironmentNotReady, RunFailed, UsageError

#: Folder beside the runs for the state of embedded servers.
ENGINE_STATE = ".engine"
#: Checkpoints that stay beside one in every tenth of the run.
NEWEST_CHECKPOINTS = 3
#: Field of a checkpoint: what ``_digest`` makes of the others.
DIGEST = "sha256"
#: Metrics of a whole run, which a run that goes on measures anew.
MEASURED_AT_THE_END = "instrument/"


class RunDirectory:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    @classmethod
    def create(cls, inputs: Inputs, model: str) -> "RunDirectory":
        """A new folder ``NAME--MODEL--DATE-TIME-RANDOM``, in UTC, never an old one."""
        config = inputs.config
        name = config.name or (short_name(config.data) if config.data else "seed")
        safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in name)[:40].strip("-")
        stamp = time.strftime("%Y%m%d-%H%M", time.gmtime())
        run = f"{safe or 'run'}--{model}--{stamp}-{secrets.token_hex(2)}"
        path = Path(config.runs_dir) / run
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o777 if config.share_run else 0o700)
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
        return directory

    @classmethod
    def find(cls, runs_dir: Path, ref: str) -> "RunDirectory":
        """The run called ``ref``: a path, "latest", a name, or a part that one name alone has.

        Raises UsageError if there is none, or more than one.
        """
        return cls(find_run(runs_dir, ref))

    def become_latest(self) -> None:
        """Let ``latest`` link to this run, once it has begun."""
        link_to(self.path.parent / LATEST, self.path.name)

    def discard(self) -> None:
        """Remove a run that never started, and a folder of runs that it alone was in."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()

    def attempt_logs(self) -> Path:
        """A new folder ``logs/attempt_N`` for this process's children; logs/latest links to it."""
        number = 1 + sum(1 for _ in (self.path / "logs").glob("attempt_*"))
        folder = self.path / "logs" / f"attempt_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        link_to(self.path / "logs" / "latest", folder.name)
        return folder

    def write_json(self, name: str, value: Any) -> None:
        """Replace a whole file at once: readers see the old or the new one."""
        with _told_of_the_disk(self.path):
            text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
            write_atomically(self.path / name, text, file_mode(self.path))

    def read_json(self, name: str) -> Any:
        """A whole file. Raises UsageError if it is missing or no JSON."""
        try:
            return strict_json.own((self.path / name).read_bytes())
        except OSError as error:
            raise _unreadable(self.path / name, error) from None
        except ValueError as error:
            raise UsageError(f"{self.path / name} cannot be read: {error}") from None

    def append_lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows to a JSONL file in one write, on the disk when this returns.

        They begin on a line of their own also behind a row that a kill or a full disk has torn.
        Raises EnvironmentNotReady if the disk takes no more.
        """
        lines = b"".join(to_json(row, inf_nan_mode="null") + b"\n" for row in rows)
        mode = file_mode(self.path)
        with (
            _told_of_the_disk(self.path),
            open(self.path / name, "ab+", opener=partial(os.open, mode=mode)) as file,
        ):
            if size := file.seek(0, os.SEEK_END):
                file.seek(size - 1)
                lines = lines if file.read(1) == b"\n" else b"\n" + lines
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def lines(self, name: str, newest_bytes: int | None = None) -> Iterator[Any]:
        """The rows of a JSONL file, broken lines left out; none if there is no file.

        ``newest_bytes``: only whole lines among so many bytes at its end. Raises UsageError if the
        file cannot be read.
        """
        try:
            file = (self.path / name).open("rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unreadable(self.path / name, error) from None
        with file:
            size = os.fstat(file.fileno()).st_size
            if newest_bytes is not None and size > newest_bytes:
                file.seek(size - newest_bytes)
                file.readline()
            for line in file:
                with contextlib.suppress(ValueError):
                    yield strict_json.own(line)

    def checkpoint(self, step: int, steps: int, value: Any) -> None:
        """Keep a whole state under ``checkpoints/STEP.json``: the newest three, and some ten.

        With it a digest of the state and its step: one flipped digit would train another policy.
        """
        folder = self.path / "checkpoints"
        state = {**value, DIGEST: _digest(step, value)}
        with _told_of_the_disk(folder):
            content = json.dumps(state) + "\n"
            write_atomically(folder / f"{step:06d}.json", content, file_mode(self.path))
        interval = max(5, -(-steps // 10))
        old = step - NEWEST_CHECKPOINTS
        if old > 0 and old % interval:
            (folder / f"{old:06d}.json").unlink(missing_ok=True)

    def trim(self, first_step: int) -> None:
        """Remove the rows from ``first_step`` on, which will be written again, and broken lines.

        An evaluation that is kept stays, since it will not be made again.
        """
        for name in ("metrics.jsonl", "rollouts.jsonl", "policies.jsonl"):
            path = self.path / name
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                # Line by line, and only where a newline is: texts hold other ends of lines.
                if not all(self._stays(line, first_step) for line in file):
                    file.seek(0)
                    kept = (line for line in file if self._stays(line, first_step))
                    with _told_of_the_disk(path):
                        write_atomically(path, kept, file_mode(self.path))

    def _stays(self, line: bytes, first_step: int) -> bool:
        try:
            row = strict_json.own(line)
            # A rollout that was drawn ahead belongs to the update that it was taken by.
            step = int(row.get("update", row["step"]))
            held_out = row.get("purpose") == "eval" or "eval/reward" in row
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        if any(key.startswith(MEASURED_AT_THE_END) for key in row):
            return False
        if held_out:
            return self._evaluation_file(row.get("kind", ""), step).is_file()
        return line.endswith(b"\n") and step < first_step

    def keep_late(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Keep results that came after their step had closed."""
        if results:
            self.append_lines("late.jsonl", results)

    def steps_saved(self) -> int:
        """The last step that a resume does not do again; 0 if there is none."""
        names = (path.stem for path in (self.path / "checkpoints").glob("*.json"))
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def newest_checkpoint(self) -> tuple[int, Any] | None:
        """The step and the state of the newest checkpoint that is whole, or None."""
        for path in sorted((self.path / "checkpoints").glob("*.json"), reverse=True):
            with contextlib.suppress(OSError, ValueError, RunFailed):
                step, state = int(path.stem), strict_json.own(path.read_bytes())
                if _is_whole(step, state):
                    return step, state
        return None

    def keep_evaluation(self, evaluation: Evaluation) -> None:
        """Keep a held-out evaluation without its rollouts."""
        fields = {key: value for key, value in vars(evaluation).items() if key != "groups"}
        fields["answers"] = evaluation.answers and evaluation.answers._asdict()
        file = self._evaluation_file(evaluation.kind, evaluation.step)
        file.parent.mkdir(exist_ok=True)
        self.write_json(str(file.relative_to(self.path)), fields)

    def kept_evaluation(self, kind: Kind, step: int) -> Evaluation | None:
        """A held-out evaluation; None if there is none that can be read."""
        try:
            kept = strict_json.own(self._evaluation_file(kind, step).read_bytes())
            answers = kept.pop("answers", None)
            found = Evaluation(**kept, groups=(), answers=answers and Answers(**answers))
            means = [
                *found.rewards.values(),
                *(m for by in found.measures.values() for m in by.values()),
            ]
            counts = [found.step, found.policy_version, found.failed]
            if found.answers is not None:
                completions, different, text, times, prompts = found.answers
                counts += [completions, different, len(text), times, prompts]
            sound = all(type(n) is int for n in counts) and all(0.0 <= m <= 1.0 for m in means)
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        return found if sound else None

    def _evaluation_file(self, kind: str, step: int) -> Path:
        return self.path / "heldout" / f"{step:06d}-{kind}.json"

    def _keep_inputs(self, inputs: Inputs) -> None:
        kept = {}
        for role, source in inputs.files.items():
            copy = self.path / "inputs" / f"{role}{source.suffix}"
            if source.content is None:
                shutil.copyfile(source.source, copy)
            else:
                copy.write_text(source.content, encoding="utf-8")
            copy.chmod(copy.stat().st_mode & (0o700 | file_mode(self.path)))
            kept[role] = {
                "path": source.source,
                "copy": f"inputs/{copy.name}",
                "sha256": hashlib.sha256(copy.read_bytes()).hexdigest(),
            }
        self.write_json("inputs.json", kept)


def _digest(step: int, state: Mapping[str, Any]) -> str:
    """SHA-256 of a state as JSON, with its step."""
    text = json.dumps({"step": step, **state}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_whole(step: int, state: Any) -> bool:
    """Whether this is the checkpoint that was written after ``step``.

    One from before there was a digest is checked for what can be seen. Raises RunFailed, ValueError
    for weights that are none.
    """
    if not isinstance(state, dict) or not {"weights", "ledger"} <= state.keys():
        return False
    if (digest := state.pop(DIGEST, None)) is not None and digest != _digest(step, state):
        return False
    weights, ledger = decode_weights(state["weights"]), state["ledger"]
    counted = isinstance(ledger, dict) and all(
        isinstance(rows, dict) and all(type(amount) is int for amount in rows.values())
        for rows in ledger.values()
    )
    sizes = [
        {tuple(map(len, params)) for params in (_rows(domain.params), _rows(domain.reference))}
        for domain in weights.domains.values()
    ]
    return counted and weights.version == step and all(len(found) == 1 for found in sizes)


def _rows(params: Params) -> tuple[FloatArray, FloatArray, FloatArray]:
    return params.theta, params.phi, params.eta


def write_atomically(path: Path, content: str | Iterable[bytes], mode: int = 0o666) -> None:
    """Write beside, flush to the disk, rename over. ``mode``: permissions, before the umask."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb", opener=partial(os.open, mode=mode)) as file:
            file.writelines([content.encode()] if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be read: {error.strerror or error}")


@contextmanager
def _told_of_the_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentNotReady(
            f"cannot write below {path}: {error.strerror or error}; make room, then resume the run"
        ) from None
