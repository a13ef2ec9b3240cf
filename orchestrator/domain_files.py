"""Domain files to tables: TOML and JSON, with one domain or several in a file.

Knows where a domain stands in a file, not what its keys mean: that is ``domains``.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import strict_json
from orchestrator.wording import short
from shared.errors import UsageError

#: Keys of a domain. ``keywords`` is the seed's word for ``concepts``.
KEYS = ("name", "aliases", "concepts", "keywords", "templates", "relationships", "weights")
SUFFIXES = (".toml", ".json")


class DomainTable(NamedTuple):
    """One domain as it stands in a file, unchecked."""

    #: The name if the table gives none: its key in the file, or the file's stem.
    default_name: str
    table: Mapping[str, Any]


def domain_tables(text: str, path: Path) -> tuple[DomainTable, ...]:
    """The domains in a file: one, ``domains = [...]``, ``[[domain]]``, or name -> domain.

    UsageError: not valid TOML or JSON, no domain, or a domain that is not a table.
    """
    content = _toml(text, path) if path.suffix.lower() == ".toml" else strict_json.parse(text, path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a domain must be an object, found {short(content)}.")
    stem = re.sub(r"[-_]+", " ", path.stem)
    several = content.keys() & {"domain", "domains"}
    if several:
        tables = [DomainTable(stem, table) for table in _only_list(content, min(several), path)]
    elif content.keys().isdisjoint(KEYS) and any(isinstance(v, dict) for v in content.values()):
        tables = [DomainTable(name, table) for name, table in content.items()]
    else:
        tables = [DomainTable(stem, content)]
    if not tables or not content:
        raise UsageError(f"{path}: holds no domain. Write 'concepts' and 'templates' into it.")
    for _, table in tables:
        if not isinstance(table, dict):
            raise UsageError(f"{path}: a domain must be a table of keys, found {short(table)}.")
    return tuple(tables)


def _toml(text: str, path: Path) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        problem = str(error)[: place.start()] if place else str(error)
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise UsageError(f"{path}:{line}: not valid TOML: {problem}. Correct it.") from error
    except RecursionError as error:
        raise UsageError(f"{path}: values nested too deeply. Flatten the domain.") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid TOML: {error}. Correct it.") from error


def _only_list(content: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    beside = [name for name in content if name != key]
    if beside:
        raise UsageError(
            f"{path}: {short(beside[0])} stands beside {key!r}. Move it into one of the domains."
        )
    value = content[key]
    if not isinstance(value, list):
        raise UsageError(f"{path}: {key!r} must be a list of domains, found {short(value)}.")
    return value
