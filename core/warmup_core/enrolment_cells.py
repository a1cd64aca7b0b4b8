"""What the cells of a file of mailboxes may hold, column by column. Pure.

Fails: ValueError in words for the person who wrote the cell; no sentence repeats a password or a token.
"""

import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from warmup_core import addresses, oauth
from warmup_core.hours import read_days, read_end, read_start, read_zone

FLEET: Final = "fleet"
"""In a column of a mailbox's own hours: take the fleet's again."""
_LONGEST: Final = 1024


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


def _token(cell: str) -> str:
    token = cell.strip()
    if not oauth.well_formed(token):
        raise ValueError("a token is visible ASCII without blanks, at most 16384 characters")
    return token


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


def _own(cell: str, read: Callable[[str], str | int]) -> str | int:
    return FLEET if cell.strip().lower() == FLEET else read(cell.strip())


READERS: Final[Mapping[str, Callable[[str], str | int]]] = MappingProxyType(
    {
        "email": addresses.canonical,
        "user": _text,
        "smtp_host": addresses.host,
        "smtp_port": _port,
        "smtp_security": _security,
        "username": _text,
        "password": _secret,
        "oauth_application": _text,
        "refresh_token": _token,
        "access_token": _token,
        "display_name": _text,
        "window_from": lambda cell: _own(cell, read_start),
        "window_to": lambda cell: _own(cell, read_end),
        "time_zone": lambda cell: _own(cell, read_zone),
        "days": lambda cell: _own(cell, lambda text: ",".join(read_days(text))),
    }
)
"""By the name of the column; each raises ValueError in words for the person who wrote the cell."""
