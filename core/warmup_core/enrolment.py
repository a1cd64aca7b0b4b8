"""What a file of mailboxes asks for, and what that changes. Pure: the file and what is enrolled come in, a plan goes out.

Rules: a cell that is absent or empty changes nothing; a mailbox stays with its user; one bad row refuses the whole file, and
every fault is named with its line and column. A new mailbox needs user, smtp_host and password; smtp_port is 587 unless given,
smtp_security starttls (tls on port 465), username the address.
Fails: ``Refused`` with every fault. No fault ever repeats a password.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

from warmup_core import addresses, enrolment_file
from warmup_core.enrolment_file import Record, Records
from warmup_core.types import Refused

COLUMNS = (
    "email",
    "user",
    "smtp_host",
    "smtp_port",
    "smtp_security",
    "username",
    "password",
    "display_name",
)
REQUIRED_FOR_NEW = ("user", "smtp_host", "password")
_LONGEST = 1024
_SUMMARY = "The file cannot be used; nothing was written."


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One row of the file. None: the file does not say."""

    line: int
    email: str
    user: str | None = None
    smtp_host: str | None = None
    smtp_port: int | None = None
    smtp_security: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    display_name: str | None = None


@dataclass(frozen=True)
class EnrolmentFile:
    """The rows, the position (from 1) of each known column, and the headers that mean nothing here."""

    rows: list[Enrolment]
    columns: dict[str, int]
    ignored: list[str]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox as it is, or shall be, enrolled. ``password`` None: what is stored does not open."""

    email: str
    user: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    username: str
    password: str | None = field(repr=False)
    display_name: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A mailbox as it shall be, and the columns that differ from what is."""

    mailbox: Mailbox
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What an import does, in the order of the file."""

    added: list[Mailbox]
    changed: list[Change]
    untouched: list[str]


def parse(data: bytes, encoding: str | None = None) -> EnrolmentFile:
    """Read a file. Raises Refused."""
    records = enrolment_file.read(data, COLUMNS, encoding)
    rows, faults = [], []
    lines: dict[str, int] = {}
    for record in records.rows:
        row, wrong = _row(record, records)
        faults += wrong
        if row is None:
            continue
        first = lines.setdefault(addresses.identity(row.email), row.line)
        if first != row.line:
            faults.append(
                f"{_at(row.line, 'email', records.columns)}: {row.email} is on line {first} as well"
            )
        rows.append(row)
    if faults:
        raise Refused(_SUMMARY, faults)
    return EnrolmentFile(rows, records.columns, records.ignored)


def plan(file: EnrolmentFile, enrolled: Mapping[str, Mailbox]) -> Plan:
    """What the file changes. ``enrolled``: the mailboxes there are, by ``addresses.identity``. Raises Refused."""
    added, changed, untouched, faults = [], [], [], []
    lacking: dict[str, list[Enrolment]] = {}
    for row in file.rows:
        present = enrolled.get(addresses.identity(row.email))
        if present is None:
            missing = [name for name in REQUIRED_FOR_NEW if getattr(row, name) is None]
            for name in missing:
                if name in file.columns:
                    faults.append(f"{_at(row.line, name, file.columns)}: it is empty, and {row.email} is new")
                else:
                    lacking.setdefault(name, []).append(row)
            if not missing:
                added.append(_new(row))
        elif row.user is not None and row.user != present.user:
            faults.append(
                f"{_at(row.line, 'user', file.columns)}: {row.email} belongs to the user {present.user!r}, the file "
                f"says {row.user!r}; an import never moves a mailbox to another user"
            )
        else:
            change = _change(row, present)
            if change.columns:
                changed.append(change)
            else:
                untouched.append(present.email)
    for name, rows in lacking.items():
        faults.append(
            f"there is no column {name!r}, and {len(rows)} of the mailboxes are new, the first on line {rows[0].line}; "
            f"the columns read: {', '.join(file.columns)}{_others(file.ignored)}"
        )
    if faults:
        raise Refused(_SUMMARY, faults)
    return Plan(added, changed, untouched)


def _others(ignored: Iterable[str]) -> str:
    names = ", ".join(map(repr, ignored))
    return f", and without meaning here: {names}" if names else ""


def _new(row: Enrolment) -> Mailbox:
    assert row.user is not None
    assert row.smtp_host is not None
    port = row.smtp_port or 587
    return Mailbox(
        email=row.email,
        user=row.user,
        smtp_host=row.smtp_host,
        smtp_port=port,
        smtp_security=row.smtp_security or ("tls" if port == 465 else "starttls"),
        username=row.username or row.email,
        password=row.password,
        display_name=row.display_name or "",
    )


def _change(row: Enrolment, present: Mailbox) -> Change:
    given = {
        each.name: getattr(row, each.name)
        for each in fields(row)
        if each.name not in {"line", "email", "user"} and getattr(row, each.name) is not None
    }
    differing = tuple(name for name, value in given.items() if value != getattr(present, name))
    return Change(replace(present, **{name: given[name] for name in differing}), differing)


def _at(line: int, name: str, columns: Mapping[str, int]) -> str:
    return f"line {line}, column {columns[name]} ({name})"


def _row(record: Record, records: Records) -> tuple[Enrolment | None, list[str]]:
    """One row, and its faults. None when the address itself is at fault."""
    values: dict[str, str | int] = {}
    faults = []
    for name, position in records.columns.items():
        cell = record.cells[position - 1] if position <= len(record.cells) else ""
        if not cell.strip():
            if name == "email":
                faults.append(f"{_at(record.line, name, records.columns)}: it is empty")
            continue
        try:
            values[name] = _READERS[name](cell)
        except ValueError as error:
            shown = "" if name == "password" else f"{cell.strip()[:80]!r} cannot be used: "
            faults.append(f"{_at(record.line, name, records.columns)}: {shown}{error}")
    if "email" not in values:
        return None, faults
    return Enrolment(line=record.line, **values), faults  # type: ignore[arg-type]


def _text(cell: str) -> str:
    return _secret(unicodedata.normalize("NFC", cell.strip()))


def _secret(cell: str) -> str:
    if found := addresses.invisible(cell):
        raise ValueError(f"it holds the invisible character {found}")
    if "\ufffd" in cell:
        raise ValueError("it holds U+FFFD: an earlier program has lost a letter here")
    if len(cell) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} characters")
    return cell


def _port(cell: str) -> int:
    text = cell.strip()
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_535):
        raise ValueError("a port is a whole number from 1 to 65535")
    return int(text)


def _security(cell: str) -> str:
    word = cell.strip().lower()
    if word not in {"starttls", "tls"}:
        raise ValueError(
            "write starttls (usual on port 587) or tls (usual on port 465); nothing is sent in clear text"
        )
    return word


_READERS: dict[str, Callable[[str], str | int]] = {
    "email": addresses.canonical,
    "user": _text,
    "smtp_host": addresses.host,
    "smtp_port": _port,
    "smtp_security": _security,
    "username": _text,
    "password": _secret,
    "display_name": _text,
}
