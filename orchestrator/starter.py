"""A folder to start from: config, domain, data, a reward, all of which run as they are."""

import json
import re
from importlib.resources import files
from pathlib import Path

from shared.errors import UsageError

#: Name in the folder -> name among the package's files.
FILES = {
    "run.toml": "run.toml",
    "domain.toml": "domain.toml",
    "train.jsonl": "train.jsonl",
    "heldout.jsonl": "heldout.jsonl",
    "my_rewards.py": "my_rewards.py.txt",
    ".env.example": "env.example.txt",
    "README.md": "README.md",
}
LONGEST_NAME = 60


def write_starter(folder: Path, domain_name: str | None = None, force: bool = False) -> list[Path]:
    """Write the files and return their paths; ``domain_name`` is the folder's name if it is None.

    Raises UsageError, and writes nothing, if the folder has content and ``force`` is not given, if
    one of the files is there already, or for a name that no prompt can say.
    """
    name = _checked_name(domain_name, folder)
    try:
        present = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise UsageError(f"{folder}: no folder that can be read ({error.strerror})") from None
    if in_the_way := [file for file in FILES if file in present]:
        raise UsageError(
            f"{folder}: {', '.join(in_the_way)} would be overwritten; move them away, or name a new"
            " folder"
        )
    if present and not force:
        shown = ", ".join([*present[:3], *(["…"] if len(present) > 3 else [])])
        raise UsageError(
            f"{folder}: is not empty ({shown}); name a new folder, or add to this one with --force"
        )
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, source in FILES.items():
            with (folder / file).open("x", encoding="utf-8") as out:
                out.write(_filled(source, name))
            written.append(folder / file)
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror or error}") from None
    return written


def _checked_name(given: str | None, folder: Path) -> str:
    raw = given if given is not None else re.sub(r"[-_]+", " ", folder.resolve().name)
    name = " ".join(raw.split())
    if not name.isprintable() or not re.search(r"\w", name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"the domain name {raw!r} is not one that prompts can say: write 1 to {LONGEST_NAME}"
            " characters with a letter or digit, such as --domain-name 'tax law'"
        )
    return name


def _filled(source: str, name: str) -> str:
    text = files("orchestrator").joinpath("builtin", "starter", source).read_text(encoding="utf-8")
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "run"
    # A string of JSON is one of TOML too.
    quoted = name if source.endswith(".md") else json.dumps(name, ensure_ascii=False)[1:-1]
    return text.replace("%NAME%", quoted).replace("%SLUG%", slug)
