"""What a file of mailboxes asks for, and what that changes. Pure: the file and what is enrolled come in, a plan goes out.

Rules: a cell that is absent or empty changes nothing; a mailbox stays with its user; one bad row refuses the whole file, and
every fault is named with its line and column. A new mailbox needs user, smtp_host and either a password or oauth_application and
refresh_token; smtp_port is 587 unless given, smtp_security starttls (tls on port 465), username the address. Its hours
(window_from, window_to, time_zone, days) are the fleet's unless given, and again where the file says ``fleet``. Giving the other
kind of login takes the present one away. A refresh token that the last import brought already changes nothing, though the
provider has rotated it since.
Fails: ``Refused`` with every fault. No fault ever repeats a password or a token.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace

from warmup_core import addresses, enrolment_cells, enrolment_file, enrolment_lines, oauth
from warmup_core.enrolment_cells import FLEET
from warmup_core.enrolment_file import Record, Records
from warmup_core.types import Refused

HOURS = ("window_from", "window_to", "time_zone", "days")
COLUMNS = (
    "email",
    "user",
    "smtp_host",
    "smtp_port",
    "smtp_security",
    "username",
    "password",
    "oauth_application",
    "refresh_token",
    "access_token",
    "display_name",
    *HOURS,
)
SECRETS = frozenset({"password", "refresh_token", "access_token"})
_TOKENS = ("oauth_application", "refresh_token", "access_token")
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
    oauth_application: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    display_name: str | None = None
    window_from: int | str | None = None
    window_to: int | str | None = None
    time_zone: str | None = None
    days: str | None = None


@dataclass(frozen=True)
class EnrolmentFile:
    """The rows, where each known column stands, in words, and the headers that mean nothing here."""

    rows: list[Enrolment]
    columns: dict[str, str]
    ignored: list[str]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox as it is, or shall be, enrolled, with a password or an OAuth application; no password: it does not open.

    ``window_from`` to ``days``: hours of its own (``warmup_core.hours.OwnHours``). ``imported``: the fingerprint of the refresh
    token that the last import gave. ``refresh_token`` and ``access_token`` are set where they shall be written.
    """

    email: str
    user: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    username: str
    password: str | None = field(repr=False)
    display_name: str
    id: int | None = None
    oauth_application: str | None = None
    imported: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    window_from: int | None = None
    window_to: int | None = None
    time_zone: str | None = None
    days: str | None = None


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
    reader = enrolment_lines if enrolment_lines.recognised(data) else enrolment_file
    records = reader.read(data, COLUMNS, encoding)
    rows, faults = [], []
    lines: dict[str, int] = {}
    for record in records.rows:
        row, wrong = _row(record, records)
        faults += wrong
        if row is None:
            continue
        first = lines.setdefault(addresses.identity(row.email), row.line)
        if first != row.line:
            faults.append(f"{_at(row.line, 'email', records.places)}: {row.email} is on line {first} as well")
        rows.append(row)
    if faults:
        raise Refused(_SUMMARY, faults)
    return EnrolmentFile(rows, records.places, records.ignored)


def plan(file: EnrolmentFile, enrolled: Mapping[str, Mailbox]) -> Plan:
    """What the file changes. ``enrolled``: the mailboxes there are, by ``addresses.identity``. Raises Refused."""
    added, changed, untouched, faults = [], [], [], []
    lacking: dict[str, list[Enrolment]] = {}
    for row in file.rows:
        present = enrolled.get(addresses.identity(row.email))
        if present is None:
            missing = [name for name in _required(row) if getattr(row, name) is None]
            for name in missing:
                if name in file.columns:
                    faults.append(f"{_at(row.line, name, file.columns)}: it is empty, and {row.email} is new")
                else:
                    lacking.setdefault(name, []).append(row)
            if not missing:
                added.append(_new(row))
                faults += _half_windows(row, added[-1])
        elif row.user is not None and row.user != present.user:
            faults.append(
                f"{_at(row.line, 'user', file.columns)}: {row.email} belongs to the user {present.user!r}, the file "
                f"says {row.user!r}; an import never moves a mailbox to another user"
            )
        elif fault := _switch_fault(row, present):
            faults.append(f"line {row.line}: {fault}")
        else:
            change = _change(row, present)
            faults += _half_windows(row, change.mailbox)
            if change.columns:
                changed.append(change)
            else:
                untouched.append(present.email)
    for name, rows in lacking.items():
        faults.append(
            f"there is no column {name!r}, and {len(rows)} of the mailboxes are new, the first on line {rows[0].line}; "
            f"the columns read: {', '.join(file.columns)}{_others(file.ignored)}{_or_tokens(name)}"
        )
    if faults:
        raise Refused(_SUMMARY, faults)
    return Plan(added, changed, untouched)


def _others(ignored: Iterable[str]) -> str:
    names = ", ".join(map(repr, ignored))
    return f", and without meaning here: {names}" if names else ""


def _required(row: Enrolment) -> tuple[str, ...]:
    """What a new mailbox needs."""
    if row.oauth_application is not None or row.refresh_token is not None:
        return "user", "smtp_host", "oauth_application", "refresh_token"
    return "user", "smtp_host", "password"


def _or_tokens(name: str) -> str:
    return (
        "; a mailbox without a password needs oauth_application and refresh_token"
        if name == "password"
        else ""
    )


def _switch_fault(row: Enrolment, present: Mailbox) -> str | None:
    """Why a mailbox that logs in with a password cannot take what the row says of OAuth."""
    if present.oauth_application is not None or row.password is not None:
        return None
    if row.refresh_token is not None and row.oauth_application is None:
        return (
            f"{present.email} logs in with a password; beside refresh_token the row needs oauth_application"
        )
    if row.oauth_application is not None and row.refresh_token is None:
        return (
            f"{present.email} logs in with a password; beside oauth_application the row needs refresh_token"
        )
    return None


def _half_windows(row: Enrolment, mailbox: Mailbox) -> Iterator[str]:
    """A window of a mailbox's own has two ends."""
    if (mailbox.window_from is None) != (mailbox.window_to is None):
        absent = "window_from" if mailbox.window_from is None else "window_to"
        yield f"line {row.line}: {row.email} would have a window of its own without {absent}; give both, or {FLEET!r} in both"


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
        oauth_application=row.oauth_application,
        refresh_token=row.refresh_token,
        access_token=row.access_token,
        **_hours(row),  # type: ignore[arg-type]
    )


def _hours(row: Enrolment) -> dict[str, int | str | None]:
    """What the row says of the mailbox's own hours; what it does not say is as the fleet's."""
    given = {name: getattr(row, name) for name in HOURS}
    return {name: None if value == FLEET else value for name, value in given.items()}


def _change(row: Enrolment, present: Mailbox) -> Change:
    given = {
        each.name: getattr(row, each.name)
        for each in fields(row)
        if each.name not in {"line", "email", "user", "refresh_token", "access_token"}
        and getattr(row, each.name) is not None
    }
    given = {name: None if name in HOURS and value == FLEET else value for name, value in given.items()}
    differing = [name for name, value in given.items() if value != getattr(present, name)]
    changed = {name: given[name] for name in differing}
    if row.refresh_token is not None and oauth.fingerprint(row.refresh_token) != present.imported:
        differing.append("refresh_token")
        changed |= {"refresh_token": row.refresh_token, "access_token": row.access_token, "password": None}
    elif "password" in differing:
        changed |= {"oauth_application": None}
    return Change(replace(present, **changed), tuple(differing))


def _at(line: int, name: str, places: Mapping[str, str]) -> str:
    return f"line {line}, {places[name]}"


def _row(record: Record, records: Records) -> tuple[Enrolment | None, list[str]]:
    """One row, and its faults. None when the address itself is at fault."""
    values: dict[str, str | int] = {}
    faults = []
    for name, position in records.columns.items():
        cell = record.cells[position - 1] if position <= len(record.cells) else ""
        if not cell.strip():
            if name == "email":
                faults.append(f"{_at(record.line, name, records.places)}: it is empty")
            continue
        try:
            values[name] = enrolment_cells.READERS[name](cell)
        except ValueError as error:
            shown = "" if name in SECRETS else f"{cell.strip()[:80]!r} cannot be used: "
            faults.append(f"{_at(record.line, name, records.places)}: {shown}{error}")
    both = [name for name in _TOKENS if name in values] if "password" in values else []
    if both:
        place = _at(record.line, both[0], records.places)
        faults.append(f"{place}: the row gives a password as well; a mailbox logs in with one of the two")
    elif "access_token" in values and "refresh_token" not in values:
        faults.append(
            f"{_at(record.line, 'access_token', records.places)}: it needs its refresh_token beside it"
        )
    if "email" not in values:
        return None, faults
    return Enrolment(line=record.line, **values), faults  # type: ignore[arg-type]
