"""The SQL of the shard: its mailboxes with credentials and what they owe today (``quotas``), the pool of recipients.

Readings come in pages of ids, so that no statement is long however large the table is.
Fails: ``Unreachable`` from the transaction; a page is read again whole.
"""

import asyncio
import sys
from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from sys import intern
from typing import NamedTuple

from asyncpg import Record
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.credentials import Sealed
from warmup_core.days import DayPlan
from warmup_core.planning import Planner
from warmup_core.tables import readable
from warmup_worker import quotas
from warmup_worker.clock import boottime
from warmup_worker.connection import Database, rows
from warmup_worker.pool import Headcount, Members
from warmup_worker.quotas import Owed

PAGE = 5000
"""Mailboxes of ours in one reading, about: a page covers as many ids as hold that many."""


@dataclass(frozen=True)
class Portion:
    """Which mailboxes are this worker's: number ``number`` of ``count``; what they owe on its day the ``planner`` says."""

    number: int
    count: int
    planner: Planner

    @property
    def day(self) -> date:
        """The quota's day."""
        return self.planner.day


class Enrolment(NamedTuple):
    """A mailbox as enrolled at one instant: what a turn logs in with and is judged by, whatever an import changes meanwhile.
    ``changed_at`` in seconds since the epoch; ``application``: the name of its OAuth application, where it logs in with one."""

    id: int
    user_id: int
    address: str
    display_name: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    username: str | None
    sealed: Sealed | None
    application: str | None
    changed_at: float


@dataclass(slots=True)
class MailboxRow:
    """A mailbox as the tables have it. ``not_before`` in seconds since the epoch; ``read_at``: ``boottime`` before the reading.
    ``missed``: mails that parts of its ``plan`` which are over lack."""

    enrolment: Enrolment
    in_flight: bool
    not_before: float
    hold_reason: str | None
    plan: DayPlan
    quota: int
    spent: int
    missed: int
    sent: int
    in_doubt: int
    failed: int
    read_at: float

    @property
    def id(self) -> int:
        """The mailbox's."""
        return self.enrolment.id


# A single worker has all. Of a remainder PostgreSQL expects one row of two hundred, and would look up each mailbox by itself.
# ``date_part`` and not ``extract``, whose numeric costs more than all the rest of a row.
_COLUMNS = f"""
SELECT {", ".join(quotas.COLUMNS)}, m.id, m.user_id, m.address, m.display_name, m.smtp_port, m.smtp_security,
    coalesce(c.username, o.username), o.application, c.key_id, c.nonce, c.ciphertext,
    date_part('epoch', m.changed_at), m.in_flight IS NOT NULL, greatest(date_part('epoch', {readable("m.not_before")}), 0),
    m.hold_reason, coalesce(q.sent, 0), coalesce(q.in_doubt, 0), coalesce(q.failed, 0)
FROM mailboxes m
LEFT JOIN credentials c ON c.mailbox_id = m.id {{of_credentials}}
LEFT JOIN oauth_tokens o ON o.mailbox_id = m.id {{of_tokens}}
LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = :day {{of_quotas}}
WHERE m.active AND (CAST(:count AS integer) = 1 OR m.id % CAST(:count AS integer) = CAST(:number AS integer) - 1) AND {{which}}
ORDER BY m.id
"""  # noqa: S608 - our own text


def _reading(condition: str) -> TextClause:
    """The reading of those mailboxes whose id meets a condition: told of each table, so that none is read for more than those."""
    which = {name: condition.format(f"{table}.mailbox_id") for name, table in _TABLES.items()}
    joined = {name: f"AND {it}" for name, it in which.items()}
    return text(_COLUMNS.format(which=condition.format("m.id"), **joined))


_TABLES = {"of_credentials": "c", "of_tokens": "o", "of_quotas": "q"}
_PAGE = _reading("{0} > :after AND {0} <= :last")

# The page's end is found without the filter on the remainder, whose selectivity no planner knows: with LIMIT on the filtered
# rows PostgreSQL sorts the whole rest of the table for each page.
_LAST = text("""
SELECT max(id) FROM (SELECT id FROM mailboxes WHERE id > :after ORDER BY id LIMIT :ids) AS page
""")
_NAMED = _reading("{0} = ANY (CAST(:ids AS bigint[]))")

_CHANGED = text("""
SELECT id, date_part('epoch', changed_at) AS changed_at, active FROM mailboxes
WHERE changed_at >= CAST(:since AS timestamptz) AND id % :count = CAST(:number AS integer) - 1
""")

# Whoever was active when the day began keeps its place for the day: a pause moves ``changed_at``. Users stand together, and those
# of one domain beside each other. Words are compared once each, in no language; all that is sorted for a million members are
# numbers, in one order throughout, so that PostgreSQL 16 and later sorts them once. Bytes, because a list of a million numbers
# would take fifty times their size.
_ENROLLED = """
WITH enrolled AS MATERIALIZED (
    SELECT id, user_id, active, split_part(address, '@', -1) COLLATE "C" AS domain FROM mailboxes
    WHERE active OR changed_at >= (SELECT fleet_day()::timestamp AT TIME ZONE fleet_zone())
)"""
_HEADCOUNT = text(f"""{_ENROLLED}
SELECT (SELECT count(*) FILTER (WHERE active) FROM enrolled) AS members,
    (SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM enrolled GROUP BY user_id) AS every) AS largest_user,
    (SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM enrolled GROUP BY domain) AS every) AS largest_domain
""")  # noqa: S608 - our own text
_POOL = text(f"""{_ENROLLED}, numbered AS MATERIALIZED (
    SELECT domain, row_number() OVER (ORDER BY domain)::integer AS number FROM (SELECT DISTINCT domain FROM enrolled) AS every
), member AS MATERIALIZED (
    SELECT id, user_id, active, number FROM enrolled JOIN numbered USING (domain)
), home AS (
    SELECT user_id, min(number) AS home FROM member GROUP BY user_id
), placed AS (
    SELECT id, user_id, active, number, home, dense_rank() OVER (ORDER BY home, user_id)::integer AS member_user
    FROM member JOIN home USING (user_id)
)
SELECT coalesce(string_agg(int8send(id), '' ORDER BY home, user_id, number, id), '') AS ids,
    coalesce(string_agg(int4send(member_user - 1), '' ORDER BY home, user_id, number, id), '') AS users,
    coalesce(string_agg(int4send(number), '' ORDER BY home, user_id, number, id), '') AS domains,
    coalesce(string_agg(boolsend(active), '' ORDER BY home, user_id, number, id), '') AS present
FROM placed
""")  # noqa: S608 - our own text


def _row(row: Record, owed: Owed, read_at: float) -> MailboxRow:
    """Words that many mailboxes share are one object; so is a user name that is the address."""
    # fmt: off
    (
        _, _, host, _, _, _, _, _, _, spent, _, mailbox_id, user_id, address, display_name, port, security,
        username, application, key_id, nonce, ciphertext, changed_at, in_flight, not_before, hold_reason, sent, in_doubt, failed,
    ) = row
    # fmt: on
    enrolment = Enrolment(
        mailbox_id,
        user_id,
        address,
        display_name,
        intern(host),
        port,
        intern(security),
        address if username == address else username,
        None if key_id is None else Sealed(intern(key_id), nonce, ciphertext),
        None if application is None else intern(application),
        changed_at,
    )
    return MailboxRow(
        enrolment,
        in_flight,
        not_before,
        hold_reason,
        owed.day,
        owed.quota,
        spent,
        owed.missed,
        sent,
        in_doubt,
        failed,
        read_at,
    )


async def _planned(
    connection: AsyncConnection, portion: Portion, statement: TextClause, **values: object
) -> list[MailboxRow]:
    """The mailboxes of a reading with what they owe, which is written where it is missing or wrong."""
    read_at = boottime()
    mine = {"day": portion.day, "count": portion.count, "number": portion.number}
    found = await rows(connection, statement, {**mine, **values})
    owed = await quotas.plan(connection, portion.planner, found)
    return [_row(row, it, read_at) for row, it in zip(found, owed, strict=True)]


async def everything(database: Database, portion: Portion) -> AsyncIterator[list[MailboxRow]]:
    """The whole portion in pages of ascending ids, each planned for the day in a transaction of its own.

    The next page is read while the caller is busy with one.
    """
    coming = asyncio.create_task(_page(database, portion, -1))
    try:
        while (page := await coming) is not None:
            last, mailboxes = page
            coming = asyncio.create_task(_page(database, portion, last))
            yield mailboxes
    finally:
        coming.cancel()
        await asyncio.gather(
            coming, return_exceptions=True
        )  # its connection is given back, its failure nobody's


async def _page(database: Database, portion: Portion, after: int) -> tuple[int, list[MailboxRow]] | None:
    """The last id of the page after an id, and its mailboxes; None when there is none."""
    async with database.reading() as connection:
        last = await connection.scalar(_LAST, {"after": after, "ids": PAGE * portion.count})
        if last is None:
            return None
        return last, await _planned(connection, portion, _PAGE, after=after, last=last)


async def named(connection: AsyncConnection, portion: Portion, ids: Sequence[int]) -> list[MailboxRow]:
    """Those of ``ids`` that are active and in the portion, planned for the day. What is missing is not the worker's any more."""
    return await _planned(connection, portion, _NAMED, ids=list(ids))


class Change(NamedTuple):
    """A mailbox that a person or an import touched. ``changed_at`` in seconds since the epoch."""

    id: int
    changed_at: float
    active: bool


async def changed(connection: AsyncConnection, portion: Portion, since: datetime) -> Sequence[Record]:
    """The portion's mailboxes, active or not, that were changed since ``since``: of each what makes a ``Change``. After an import
    they are many, and known but for a few."""
    return await rows(
        connection, _CHANGED, {"since": since, "count": portion.count, "number": portion.number}
    )


async def last_change(connection: AsyncConnection) -> datetime | None:
    """When any mailbox of the fleet changed last; None in an empty one."""
    found: datetime | None = await connection.scalar(text("SELECT max(changed_at) FROM mailboxes"))
    return found


_FINGERPRINT = text("""
SELECT count(*) AS mailboxes, bit_xor(timestamp_hash(changed_at AT TIME ZONE 'UTC')) AS changes FROM mailboxes
""")


async def fingerprint(connection: AsyncConnection) -> tuple[int, int | None]:
    """Another one for any mailbox that is made, changed or deleted, also by a transaction that committed late."""
    row = (await connection.execute(_FINGERPRINT)).one()
    return row.mailboxes, row.changes


async def headcount(connection: AsyncConnection) -> Headcount:
    """What the pool would be found to be; a fifth of the time that reading it takes."""
    row = (await connection.execute(_HEADCOUNT)).one()
    return Headcount(row.members, row.largest_user, row.largest_domain)


async def pool(connection: AsyncConnection) -> Members:
    """The fleet's mailboxes in the order of their places, those that left today among them."""
    row = (await connection.execute(_POOL)).one()
    return Members(
        ids=_numbers("q", row.ids),
        users=_numbers("i", row.users),
        domains=_numbers("i", row.domains),
        present=bytearray(row.present),
    )


def _numbers(kind: str, sent: bytes) -> "array[int]":
    """Numbers as PostgreSQL sends them, in network order."""
    numbers = array(kind, sent)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
