"""locks/ against what it is made from: pyproject.toml, constraints.txt, and `make lock`."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "worker/Dockerfile").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, BUILD = PYPROJECT["project"], PYPROJECT["build-system"]["requires"]
#: The extras that each lock is made for, as `make lock` asks for them.
EXTRAS = {
    name: set(re.findall(r"--extra (\S+)", options))
    for options, name in re.findall(r"^\t\$\(LOCK\) (.+) -o locks/(\w+)\.txt$", MAKEFILE, re.M)
}
HASH = re.compile(r" --hash=sha256:[0-9a-f]{64}")

each_lock = pytest.mark.parametrize("lock", EXTRAS)


def entries(path: Path) -> list[str]:
    """One requirement each, with its hashes."""
    text = re.sub(r" *#.*", "", path.read_text(encoding="utf-8"))
    return list(filter(None, re.sub(r" *\\\n *", " ", text).splitlines()))


def requirements(path: Path) -> list[Requirement]:
    return [Requirement(HASH.sub("", entry)) for entry in entries(path)]


def pins(path: Path) -> set[tuple[str, str]]:
    return {(canonicalize_name(one.name), str(one.specifier)) for one in requirements(path)}


def locked_here(lock: str) -> dict[str, str]:
    """Versions by name, of what the lock installs on this system."""
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in requirements(ROOT / "locks" / f"{lock}.txt")
        if one.marker is None or one.marker.evaluate()
    }


def needed_by(name: str, extra: str) -> list[Requirement]:
    """On this system; of the project as pyproject.toml says now, of others as installed."""
    if name != PROJECT["name"]:
        texts = metadata.requires(name) or []
    elif extra:
        texts = PROJECT["optional-dependencies"][extra]
    else:
        texts = PROJECT["dependencies"]
    found = map(Requirement, texts)
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": extra})]


def needed_here(extras: set[str]) -> list[Requirement]:
    """What the project with its extras is built with and needs, what that needs, and so on."""
    found = [Requirement(one) for one in BUILD]
    seen: set[tuple[str, str]] = set()
    ahead = [(PROJECT["name"], extra) for extra in ("", *extras)]
    while ahead:
        name, extra = ahead.pop()
        if (name, extra) not in seen:
            seen.add((name, extra))
            needed = needed_by(name, extra)
            found += needed
            ahead += [
                (canonicalize_name(one.name), other)
                for one in needed
                for other in ("", *one.extras)
            ]
    return [one for one in found if one.name != PROJECT["name"]]


def test_make_lock_writes_the_locks_that_exist() -> None:
    assert {path.name for path in (ROOT / "locks").iterdir()} == {f"{name}.txt" for name in EXTRAS}


def test_locks_together_hold_the_versions_of_constraints_and_no_others() -> None:
    locked = set().union(*(pins(ROOT / "locks" / f"{lock}.txt") for lock in EXTRAS))

    assert locked ^ pins(ROOT / "constraints.txt") == set(), "run `make lock`"


@each_lock
def test_whatever_a_lock_installs_has_a_hash(lock: str) -> None:
    locked = entries(ROOT / "locks" / f"{lock}.txt")

    assert locked
    assert [entry for entry in locked if not HASH.search(entry)] == []


@each_lock
def test_a_lock_installs_what_the_project_needs_and_nothing_else(lock: str) -> None:
    locked, needed = locked_here(lock), needed_here(EXTRAS[lock])

    names = {canonicalize_name(one.name) for one in needed}
    assert set(locked) ^ names == set(), "run `make lock`"
    unmet = [
        f"{one} is locked at {locked[canonicalize_name(one.name)]}"
        for one in needed
        if not one.specifier.contains(locked[canonicalize_name(one.name)], prereleases=True)
    ]
    assert unmet == [], "change constraints.txt and run `make lock`"


def test_make_installs_from_a_lock_again_when_it_changes() -> None:
    stamps = dict(re.findall(r"^\.venv/\.(\w+)-stamp:(.+\n(?:\t.+\n)+)", MAKEFILE, re.M))

    for lock in ("run", "dev"):
        needed, commands = stamps[lock].split("\n", 1)
        assert f"locks/{lock}.txt" in needed.split()
        assert f"$(INSTALL_LOCKED) locks/{lock}.txt" in commands


def test_the_image_installs_its_default_extras_from_their_lock() -> None:
    default = re.search(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.M)
    first, *later = re.findall(r"pip install (.+?) *\\?$", DOCKERFILE, re.M)

    assert default
    assert set(default[1].split(",")) == EXTRAS["image"]
    assert first == "--require-hashes -r locks/image.txt"
    # An isolated build downloads a setuptools of its own, without a hash.
    assert later
    assert [options for options in later if "--no-build-isolation" not in options] == []
