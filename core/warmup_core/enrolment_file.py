"""A CSV file as people really save it: bytes in, records with their line numbers out.

Takes a UTF-8 byte order mark, CRLF, comma, semicolon or tab, quoted headers in any case, rows of nothing but separators. Refuses,
with line and column, what cannot be read for certain: another encoding is guessed and named, never assumed. Pure.
Fails: ``Refused`` with every fault.
"""

import codecs
import csv
import difflib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warmup_core.types import Refused

_DELIMITERS = (",", ";", "\t")
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One row: the line it begins on, and its cells by position."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Records:
    """The rows under their headers. ``columns``: position (from 1) of each known column that the file has; ``places``: the same
    for people."""

    headers: list[str]
    columns: dict[str, int]
    places: dict[str, str]
    ignored: list[str]
    rows: list[Record]


def read(data: bytes, known: Sequence[str], encoding: str | None = None) -> Records:
    """Decode and take apart. ``known``: the column names that mean something; the first one is required."""
    text = decode(data, encoding)
    if not any(char.isalnum() for char in text):
        raise Refused("The file is empty, or holds separators and nothing else.")
    delimiter = _delimiter(text, known)
    records = _records(text, delimiter)
    heading = next(records)
    headers = [cell.strip() for cell in heading.cells]
    columns, ignored = _columns(headers, heading.line, known)
    rows, faults = [], []
    for record in records:
        if surplus := [cell for cell in record.cells[len(headers) :] if cell.strip()]:
            faults.append(
                f"line {record.line}, column {len(headers) + 1}: {len(surplus)} more cells than headers; "
                f"a cell that holds {delimiter!r} must stand in double quotes"
            )
        rows.append(record)
    if faults:
        raise Refused("The file cannot be used; nothing was written.", faults)
    if not rows:
        raise Refused("The file has headers and no mailbox under them.")
    places = {name: f"column {position} ({name})" for name, position in columns.items()}
    return Records(headers, columns, places, ignored, rows)


def decode(data: bytes, encoding: str | None) -> str:
    """The text, without its byte order mark. Raises Refused with each line that does not decode, and a guess."""
    if encoding is not None:
        try:
            "a".encode(encoding)
        except LookupError:
            raise Refused(f"--encoding {encoding}: no text encoding of that name is known.") from None
        try:
            return data.decode(encoding).removeprefix("\ufeff")
        except UnicodeError as error:
            where = _place(data, getattr(error, "start", 0))
            raise Refused(f"The file is not {encoding} ({where}); nothing was written.") from None
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            raise Refused(
                f"The file is not UTF-8; nothing was written. Save it as UTF-8, or give --encoding {name}.",
                [f"line 1, column 1: the byte order mark of {name.upper()}"],
            )
    if data[:4096].count(0) > len(data[:4096]) // 4:
        name = "utf-16-le" if data[:4096:2].count(0) <= data[1:4096:2].count(0) else "utf-16-be"
        raise Refused(
            f"The file is not UTF-8; nothing was written. Save it as UTF-8, or give --encoding {name}.",
            [f"{_place(data, data.index(0))}: it looks like {name.upper()}"],
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        guess = _guess(data)
        advice = f"give --encoding {guess}" if guess else "find out its encoding and give --encoding"
        raise Refused(
            f"The file is not UTF-8; nothing was written. Save it as UTF-8, or {advice}.",
            list(_undecodable(data, guess)),
        ) from None


def _undecodable(data: bytes, guess: str | None) -> Iterator[str]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode(errors="replace")) + 1
            likely = ""
            if guess:
                char = line[error.start : error.start + 1].decode(guess, "replace")
                likely = f", {char!r} in {guess}"
            yield f"line {number}, column {column}: the byte 0x{line[error.start]:02x} is not UTF-8{likely}"


def _guess(data: bytes) -> str | None:
    """The single-byte encoding it most likely is: Windows uses 0x80 to 0x9f for letters and dashes, ISO 8859 for nothing."""
    if not any(0x80 <= byte <= 0x9F for byte in set(data)):
        return "iso-8859-1"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return "windows-1252"


def _place(data: bytes, offset: int) -> str:
    start = data.rfind(b"\n", 0, offset) + 1
    return f"line {data.count(bytes([10]), 0, offset) + 1}, column {offset - start + 1}"


def normal(header: str) -> str:
    """A header as it is compared: no case, words joined by underscores."""
    return "_".join(header.strip().lower().replace("-", " ").replace("_", " ").split())


def _delimiter(text: str, known: Sequence[str]) -> str:
    first = next((line for line in text.splitlines() if line.strip(",;\t \"'")), "")

    def recognised(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([first], delimiter=delimiter), [])
        return sum(normal(cell) in known for cell in cells), len(cells)

    return max(_DELIMITERS, key=recognised)


def _records(text: str, delimiter: str) -> Iterator[Record]:
    """Rows that hold something, each with the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Refused(
                "The file cannot be used; nothing was written.",
                [
                    f"line {line}: the row that begins here cannot be taken apart: {error} (a quote left open?)"
                ],
            ) from None
        if any(cell.strip() for cell in cells):
            yield Record(line, cells)


def _columns(headers: list[str], line: int, known: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    if any("@" in header for header in headers):  # and so a password may stand beside it: nothing is repeated
        raise Refused(
            f"Line {line} holds an address where the headers should be; nothing was written. "
            f"Put a line with the names of the columns above it; known are: {', '.join(known)}."
        )
    columns: dict[str, int] = {}
    strangers: list[tuple[int, str]] = []
    faults = []
    for position, header in enumerate(headers, start=1):
        name = normal(header)
        if name in columns:
            faults.append(f"line {line}, column {position}: {header!r} is there twice")
        elif name in known:
            columns[name] = position
        elif name:
            strangers.append((position, header))
    absent = [name for name in known if name not in columns]
    ignored = []
    for position, header in strangers:
        if near := difflib.get_close_matches(normal(header), absent, n=1, cutoff=0.7):
            faults.append(
                f"line {line}, column {position}: {header!r} is not a known column; did you mean {near[0]!r}?"
            )
        else:
            ignored.append(header)
    if known[0] not in columns:
        faults.append(f"line {line}: there is no column {known[0]!r}")
    if faults:
        faults.append(f"the headers as read: {', '.join(map(repr, headers))}; known are: {', '.join(known)}")
        raise Refused("The file's headers cannot be used; nothing was written.", faults)
    return columns, ignored
