"""A file of JSON lines: one object a mailbox, its keys the columns. The same records as a CSV file's come out.

Made for programs, so it is taken strictly: a key that is near a known one or stands twice is refused, one that means nothing here
is told. A value is a string, a whole number, or null for nothing said. Pure.
Fails: ``Refused`` with every fault and its line; no fault repeats a value.
"""

import difflib
import json
from collections.abc import Sequence
from typing import Any, Final

from warmup_core.enrolment_file import Record, Records, decode, normal
from warmup_core.types import Refused

_SUMMARY: Final = "The file cannot be used; nothing was written."


def recognised(data: bytes) -> bool:
    """Whether a file begins as JSON lines do."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def read(data: bytes, known: Sequence[str], encoding: str | None = None) -> Records:
    """Decode and take apart. ``known``: the keys that mean something; the first one is required. Raises Refused."""
    faults: list[str] = []
    ignored: dict[str, None] = {}
    found: dict[str, None] = {}
    objects: list[tuple[int, dict[str, str]]] = []
    for line, text in enumerate(decode(data, encoding).split("\n"), start=1):
        if not text.strip():
            continue
        cells: dict[str, str] = {}
        for key, value in _pairs(text, line, faults):
            name = normal(key)
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
            if name in cells:
                faults.append(f"line {line}: the key {key!r} is there twice")
            elif name not in known and near and near[0] not in cells:
                faults.append(f"line {line}: {key!r} is not a known key; did you mean {near[0]!r}?")
            elif name not in known:
                ignored[key] = None
            elif value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
                cells[name] = "" if value is None else str(value)
            else:
                faults.append(f"line {line}, key {name}: it is no string, whole number or null")
        found |= dict.fromkeys(cells)
        objects.append((line, cells))
    if faults:
        raise Refused(_SUMMARY, faults)
    if known[0] not in found:
        raise Refused(_SUMMARY, [f"no line has the key {known[0]!r}; known are: {', '.join(known)}"])
    columns = {name: position for position, name in enumerate(found, start=1)}
    places = {name: f"key {name}" for name in found}
    rows = [Record(line, [cells.get(name, "") for name in found]) for line, cells in objects]
    return Records(list(found), columns, places, list(ignored), rows)


def _pairs(text: str, line: int, faults: list[str]) -> list[tuple[str, Any]]:
    """The keys and values of a line's object, in their order; none where it is no object."""
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, _Pairs):
        faults.append(f"line {line}: it is no JSON object on a line of its own")
        return []
    return pairs


class _Pairs(list[tuple[str, Any]]):
    """An object's pairs, told from an array."""
