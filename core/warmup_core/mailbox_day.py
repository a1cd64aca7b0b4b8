"""The SQL of one mailbox's day: its account, what holds it, and how its latest mails ended, as the tables have it.

For people: ``warmup mailboxes show``, and a worker's ``/api/warmup/quota?mailbox=``. Reads by key, a bounded number of rows,
whatever the size of the fleet (an address in another spelling than the stored one is searched for).
Fails: the database's error; None where there is no such mailbox.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import pauses
from warmup_core.addresses import canonical, identity
from warmup_core.pauses import Shown as Pause
from warmup_core.tables import readable

SHOWN_OUTCOMES: Final = 10
"""Mails of today that are shown, the latest first."""
_LONGEST_ID: Final = 18
"""Digits: what has no more fits a bigint."""


@dataclass(frozen=True)
class Outcome:
    """A mail of today: when it was claimed, by which worker, and what became of it. ``phase``: the one that decided."""

    mail_id: int
    recipient_id: int
    worker: int
    state: str
    claimed_at: datetime
    settled_at: datetime | None
    phase: str | None
    reply: str | None


@dataclass(frozen=True)
class MailboxDay:
    """One mailbox on ``day``, the fleet's day when it was read (``at``); None while there is no fleet. No ``quota``: no worker
    has planned the day yet.

    ``not_before``: before that it claims nothing; None: it may. ``strikes``: refusals that count against its health, ever.
    ``window_from`` to ``days``: hours of its own, as its row has them.
    ``pauses``: those in force that concern it; scope recipient means that nobody writes to it, the others that it does not send.
    """

    id: int
    address: str
    active: bool
    day: date | None
    at: datetime
    quota: int | None
    spent: int
    sent: int
    in_doubt: int
    failed: int
    in_flight: bool
    not_before: datetime | None
    hold_reason: str | None
    strikes: int
    window_from: int | None
    window_to: int | None
    time_zone: str | None
    days: str | None
    pauses: tuple[Pause, ...]
    outcomes: tuple[Outcome, ...]


_ID = text("""
SELECT id FROM mailboxes WHERE address = :address
UNION ALL (SELECT id FROM mailboxes WHERE lower(address) = :identity LIMIT 1)
LIMIT 1
""")

_DAY = text(f"""
SELECT m.id, m.address, m.active, d.day, clock_timestamp() AS at, q.quota, coalesce(q.spent, 0) AS spent,
    coalesce(q.sent, 0) AS sent, coalesce(q.in_doubt, 0) AS in_doubt, coalesce(q.failed, 0) AS failed,
    m.in_flight IS NOT NULL AS in_flight, nullif({readable("m.not_before")}, '-infinity') AS not_before,
    m.hold_reason, m.strikes,
    m.window_from, m.window_to, m.time_zone, m.days
FROM mailboxes m CROSS JOIN (SELECT fleet_day() AS day) d
LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = d.day
WHERE m.id = :id
""")  # noqa: S608 - our own text

_OUTCOMES = text("""
SELECT id AS mail_id, recipient_id, number AS worker, state, claimed_at, settled_at, phase, reply
FROM mails WHERE mailbox_id = :id AND day = :day ORDER BY claimed_at DESC LIMIT :most
""")


def parse(asked: str) -> int | str:
    """Whom a person asks for: an id, or an address in its canonical form. Raises ValueError, as ``addresses.canonical``."""
    asked = asked.strip()
    if asked.isascii() and asked.isdigit():
        if len(asked) > _LONGEST_ID:
            raise ValueError("no id has so many digits")
        return int(asked)
    return canonical(asked)


async def find(connection: AsyncConnection, who: int | str) -> int | None:
    """The id of a mailbox that a person named by ``parse``; None where there is none of that address."""
    if isinstance(who, int):
        return who
    found: int | None = await connection.scalar(_ID, {"address": who, "identity": identity(who)})
    return found


async def read(connection: AsyncConnection, mailbox_id: int) -> MailboxDay | None:
    """The day of one mailbox, active or not."""
    row = (await connection.execute(_DAY, {"id": mailbox_id})).first()
    if row is None:
        return None
    values = {"id": mailbox_id, "day": row.day, "most": SHOWN_OUTCOMES}
    mails = await connection.execute(_OUTCOMES, values)
    return MailboxDay(
        **row._mapping,
        pauses=tuple(await pauses.concerning(connection, mailbox_id)),
        outcomes=tuple(Outcome(**mail._mapping) for mail in mails),
    )
