"""What a mail is called: its key in the ledger (day, id) and the fleet's token, as a Message-ID.

The worker writes it, the accounting reads it back from the server's log. Unique by construction: the id comes from a
sequence of the fleet's one database, the token tells fleets apart. Stable: the same row always gives the same name. Pure.
"""

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

_MESSAGE_ID = re.compile(r"^<(\d{4})(\d{2})(\d{2})\.(\d+)\.([A-Za-z0-9]+)@([^<>@\s]+)>$")


@dataclass(frozen=True)
class Name:
    """The parts of a Message-ID of ours."""

    day: date
    mail_id: int
    token: str
    domain: str


def message_id(day: date, mail_id: int, token: str, domain: str) -> str:
    """``<YYYYMMDD.ID.TOKEN@DOMAIN>``; ``domain`` is the sender's."""
    return f"<{_digits(day)}.{mail_id}.{token}@{domain}>"


@lru_cache(maxsize=64)
def _digits(day: date) -> str:
    return f"{day.year:04}{day.month:02}{day.day:02}"


def parse_message_id(text: str) -> Name | None:
    """The parts of a Message-ID that ``message_id`` made; None for any other."""
    match = _MESSAGE_ID.match(text.strip())
    if not match:
        return None
    year, month, day, mail_id, token, domain = match.groups()
    try:
        return Name(date(int(year), int(month), int(day)), int(mail_id), token, domain)
    except ValueError:
        return None
