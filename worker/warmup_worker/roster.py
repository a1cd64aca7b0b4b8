"""The SQL of the shard: its mailboxes with credentials and today's quota, the plan of quotas, the pool of recipients.

Readings come in pages of ids, so that no statement is long however large the table is. A quota is written only where it is
missing or wrong, never below what is already spent, and under the mailbox's lock like every write to it.
Fails: ``Unreachable`` from the transaction; a page is read again whole.
"""

import sys
from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core.credentials import Sealed
from warmup_core.settings import FleetSettings
from warmup_worker.clock import boottime
from warmup_worker.connection import Database
from warmup_worker.pool import Members

PAGE = 1000
"""Mailboxes of ours in one reading, about: a page covers as many ids as hold that many."""


@dataclass(frozen=True)
class Portion:
    """Which mailboxes are this worker's: number ``number`` of ``count``; their quotas on ``day`` follow from ``settings``."""

    number: int
    count: int
    day: date
    settings: FleetSettings


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """A mailbox as the tables have it. ``not_before`` and ``changed_at`` in seconds since the epoch; ``read_at``: ``boottime``
    before the reading."""

    id: int
    user_id: int
    address: str
    display_name: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    changed_at: float
    in_flight: bool
    not_before: float
    hold_reason: str | None
    username: str | None
    sealed: Sealed | None
    quota: int
    spent: int
    sent: int
    in_doubt: int
    failed: int
    read_at: float


_COLUMNS = """
SELECT m.id, m.user_id, m.address, m.display_name, m.smtp_host, m.smtp_port, m.smtp_security,
    extract(epoch FROM m.changed_at)::float8 AS changed_at, m.in_flight IS NOT NULL AS in_flight,
    greatest(extract(epoch FROM m.not_before), 0)::float8 AS not_before, m.hold_reason,
    c.username, c.key_id, c.nonce, c.ciphertext, q.quota, coalesce(q.spent, 0) AS spent, coalesce(q.sent, 0) AS sent,
    coalesce(q.in_doubt, 0) AS in_doubt, coalesce(q.failed, 0) AS failed, m.quota_override, m.ramp_on,
    m.ramp_day + CASE WHEN last.spent > 0 THEN 1 ELSE 0 END AS progress
FROM mailboxes m
LEFT JOIN credentials c ON c.mailbox_id = m.id
LEFT JOIN quotas q ON q.mailbox_id = m.id AND q.day = :day
LEFT JOIN LATERAL (
    SELECT y.spent FROM quotas y WHERE y.day = m.ramp_on AND y.mailbox_id = m.id AND m.ramp_on < :day OFFSET 0
) last ON true
WHERE m.active AND m.id % :count = CAST(:number AS integer) - 1
"""
_PAGE = text(_COLUMNS + " AND m.id > :after AND m.id <= :last ORDER BY m.id")

# The page's end is found without the filter on the remainder, whose selectivity no planner knows: with LIMIT on the filtered
# rows PostgreSQL sorts the whole rest of the table for each page.
_LAST = text("""
SELECT max(id) FROM (SELECT id FROM mailboxes WHERE id > :after ORDER BY id LIMIT :ids) AS page
""")
_NAMED = text(_COLUMNS + " AND m.id = ANY (CAST(:ids AS bigint[])) ORDER BY m.id")

# ``ramp_on`` is the working day that a mailbox was planned for last, ``ramp_day`` the days before it that it sent mails on. The
# next working day counts that one too if it spent anything then: a day off, a pause, a long hold leave the ramp where it is.
_PLAN = text("""
WITH given AS (
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:quotas AS integer[]), CAST(:progresses AS integer[]))
        AS g (id, quota, progress)
), locked AS MATERIALIZED (
    SELECT id FROM mailboxes WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE
), ramped AS (
    UPDATE mailboxes m SET ramp_day = g.progress, ramp_on = :day FROM locked JOIN given g USING (id)
    WHERE m.id = g.id AND CAST(:works AS boolean) AND (m.ramp_on IS NULL OR m.ramp_on < :day)
)
INSERT INTO quotas AS q (day, mailbox_id, quota)
SELECT :day, id, quota FROM locked JOIN given USING (id)
ON CONFLICT (day, mailbox_id) DO UPDATE SET quota = greatest(excluded.quota, q.spent)
WHERE q.quota <> greatest(excluded.quota, q.spent)
""")

_CHANGED = text("""
SELECT id, extract(epoch FROM changed_at)::float8 AS changed_at, active FROM mailboxes
WHERE changed_at >= CAST(:since AS timestamptz) AND id % :count = CAST(:number AS integer) - 1
""")

# Whoever was active when the day began keeps its place for the day: a pause moves ``changed_at``. Users stand together, and those
# of one domain beside each other. Bytes, because a list of a million numbers would take fifty times their size.
_POOL = text("""
WITH member AS (
    SELECT id, user_id, active, substring(address FROM '[^@]*$') AS domain FROM mailboxes
    WHERE active OR changed_at >= (SELECT fleet_day()::timestamp AT TIME ZONE fleet_zone())
), home AS (
    SELECT *, min(domain) OVER (PARTITION BY user_id) AS home FROM member
), placed AS (
    SELECT id, dense_rank() OVER (ORDER BY home, user_id) AS member_user, dense_rank() OVER (ORDER BY domain) AS domain, active,
        row_number() OVER (ORDER BY home, user_id, domain, id) AS place
    FROM home
)
SELECT coalesce(string_agg(int8send(id), '' ORDER BY place), '') AS ids,
    coalesce(string_agg(int4send(member_user::integer - 1), '' ORDER BY place), '') AS users,
    coalesce(string_agg(int4send(domain::integer), '' ORDER BY place), '') AS domains,
    coalesce(string_agg(boolsend(active), '' ORDER BY place), '') AS present
FROM placed
""")


def _row(row: Any, quota: int, read_at: float) -> MailboxRow:
    sealed = Sealed(row.key_id, row.nonce, row.ciphertext) if row.key_id is not None else None
    return MailboxRow(
        id=row.id,
        user_id=row.user_id,
        address=row.address,
        display_name=row.display_name,
        smtp_host=row.smtp_host,
        smtp_port=row.smtp_port,
        smtp_security=row.smtp_security,
        changed_at=row.changed_at,
        in_flight=row.in_flight,
        not_before=row.not_before,
        hold_reason=row.hold_reason,
        username=row.username,
        sealed=sealed,
        quota=quota,
        spent=row.spent,
        sent=row.sent,
        in_doubt=row.in_doubt,
        failed=row.failed,
        read_at=read_at,
    )


async def _planned(
    connection: AsyncConnection, portion: Portion, rows: Sequence[Any], read_at: float
) -> list[MailboxRow]:
    """Write the quotas that are missing or wrong among these rows, and return the rows with them."""
    owed: dict[tuple[Any, ...], int] = {}
    day, works = portion.day, portion.settings.works_on(portion.day)
    quotas: list[int] = []
    for row in rows:
        case = (row.progress, row.smtp_host, row.quota_override)
        if case not in owed:
            owed[case] = portion.settings.quota(day, *case).mails
        quotas.append(max(owed[case], row.spent))
    wrong = [
        (row.id, quota, row.progress)
        for row, quota in zip(rows, quotas, strict=True)
        if row.quota != quota or (works and row.ramp_on != day)
    ]
    if wrong:
        ids, planned, progresses = map(list, zip(*wrong, strict=True))
        values = {"day": day, "works": works, "ids": ids, "quotas": planned, "progresses": progresses}
        await connection.execute(_PLAN, values)
    return [_row(row, quota, read_at) for row, quota in zip(rows, quotas, strict=True)]


async def everything(database: Database, portion: Portion) -> AsyncIterator[list[MailboxRow]]:
    """The whole portion in pages of ascending ids, each planned for the day in a transaction of its own."""
    after = -1
    while True:
        read_at = boottime()
        async with database.reading() as connection:
            last = await connection.scalar(_LAST, {"after": after, "ids": PAGE * portion.count})
            if last is None:
                return
            rows = await connection.execute(
                _PAGE,
                {
                    "day": portion.day,
                    "count": portion.count,
                    "number": portion.number,
                    "after": after,
                    "last": last,
                },
            )
            page = await _planned(connection, portion, rows.all(), read_at)
        after = last
        yield page


async def named(connection: AsyncConnection, portion: Portion, ids: Sequence[int]) -> list[MailboxRow]:
    """Those of ``ids`` that are active and in the portion, planned for the day. What is missing is not the worker's any more."""
    read_at = boottime()
    rows = (
        await connection.execute(
            _NAMED,
            {"day": portion.day, "count": portion.count, "number": portion.number, "ids": list(ids)},
        )
    ).all()
    return await _planned(connection, portion, rows, read_at)


@dataclass(frozen=True, slots=True)
class Change:
    """A mailbox that a person or an import touched. ``changed_at`` in seconds since the epoch."""

    id: int
    changed_at: float
    active: bool


async def changed(connection: AsyncConnection, portion: Portion, since: datetime) -> list[Change]:
    """The portion's mailboxes, active or not, that were changed since ``since``."""
    rows = await connection.execute(
        _CHANGED, {"since": since, "count": portion.count, "number": portion.number}
    )
    return [Change(row.id, row.changed_at, row.active) for row in rows]


async def last_change(connection: AsyncConnection) -> datetime | None:
    """When any mailbox of the fleet changed last; None in an empty one."""
    found: datetime | None = await connection.scalar(text("SELECT max(changed_at) FROM mailboxes"))
    return found


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
