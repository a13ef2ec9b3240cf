"""What ``data check`` found, as lines for people."""

from collections.abc import Iterator, Sequence

from orchestrator.data_check import Check, FileCheck

#: Places and errors that are shown of many.
SHOWN = 8


def lines(found: Check) -> Iterator[str]:
    """Each file, then what they share."""
    for file in found.files:
        yield from _file_lines(file)
    if len(found.files) > 1:
        pairs = [" = ".join(pair) for pair in found.overlap]
        yield f"overlap    {len(pairs)} prompts stand in two files{_some(pairs)}"


def _file_lines(file: FileCheck) -> Iterator[str]:
    yield f"{file.file}: {'ok' if not file.errors else 'NOT USABLE'}"
    yield f"  records    {file.records}, {file.usable} usable, {file.references} with a reference"
    yield from _matched(file)
    if file.duplicates:
        groups = [" = ".join(_lines(places)) for places in file.duplicates]
        yield f"  duplicates {len(groups)} prompts stand more than once{_some(groups)}"
    if file.characters_most:
        yield (
            f"  prompts    {file.characters_median:,.0f} characters in the middle,"
            f" {file.characters_most:,} at most"
        )
    if file.understood:
        yield f"  understood {', '.join(file.understood)}"
    if file.columns:
        yield f"  columns    {', '.join(file.columns)}"
    for error in file.errors[:SHOWN]:
        yield f"  error      {error}"
    if len(file.errors) > SHOWN:
        yield f"  error      … and {len(file.errors) - SHOWN} more; --json has them all"


def _matched(file: FileCheck) -> Iterator[str]:
    """Which prompts belong to which domain, and how surely."""
    domains = "  ".join(f"{name} {count}" for name, count in file.domains.items())
    yield f"  domains    {domains}"
    if file.unmatched:
        yield f"  unmatched  {len(file.unmatched)}, left out{_some(_lines(file.unmatched))}"
    if file.warning:
        yield f"  WARNING    {file.warning}"
    if file.beginnings:
        places = _some(_lines(file.beginnings))
        yield f"  beginnings {len(file.beginnings)} match by the beginning of a word{places}"
    if file.ties:
        yield f"  ties       {len(file.ties)} match several domains{_some(_lines(file.ties))}"


def _lines(places: Sequence[str]) -> list[str]:
    """The numbers alone: the file is named above them."""
    return [place.rpartition(":")[2].strip() for place in places]


def _some(items: Sequence[str]) -> str:
    more = ", …" if len(items) > SHOWN else ""
    return f": {', '.join(items[:SHOWN])}{more}" if items else ""
