"""The day's partitions of ``mails`` and ``quotas``: made ahead, dropped after the retention.

A row whose day has no partition lands in the default one, so a missed upkeep never stops a claim; the next upkeep moves such
rows into the day's own partition in the transaction that makes it, so the emergency exit never blocks the normal way.
Fails: a lock that cannot be had within the role's or statement's timeout; nothing is half done, the next upkeep tries again.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

PARTITIONED = ("mails", "quotas")
DAYS_AHEAD = 7


@dataclass(frozen=True)
class Upkeep:
    """What an upkeep did: names of partitions made and dropped, rows moved out of the default partitions."""

    made: list[str]
    dropped: list[str]
    rescued: int


def name_of(table: str, day: date) -> str:
    """``mails``, 2026-11-25 -> ``mails_20261125``."""
    return f"{table}_{day:%Y%m%d}"


async def upkeep(connection: AsyncConnection, today: date, retention_days: int) -> Upkeep:
    """Make yesterday's to next week's partitions and drop those older than the retention. Idempotent."""
    rows = await connection.execute(
        text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent IN ('mails'::regclass, 'quotas'::regclass)"
        )
    )
    present = {row.relname for row in rows}
    made: list[str] = []
    dropped: list[str] = []
    rescued = 0
    for table in PARTITIONED:
        days = {today + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1)}
        strays = await connection.execute(text(f"SELECT DISTINCT day FROM {table}_default"))  # noqa: S608
        days |= {row.day for row in strays}
        for day in sorted(days):
            if name_of(table, day) not in present:
                rescued += await _make(connection, table, day)
                made.append(name_of(table, day))
        oldest = name_of(table, today - timedelta(days=retention_days))
        for name in sorted(present):
            if name.startswith(f"{table}_2") and name < oldest:
                await connection.execute(text(f"DROP TABLE {name}"))
                dropped.append(name)
    return Upkeep(made, dropped, rescued)


async def _make(connection: AsyncConnection, table: str, day: date) -> int:
    """Create and attach one day's partition, with the rows that waited in the default one. Returns their number."""
    name = name_of(table, day)
    bounds = f"FROM ('{day}') TO ('{day + timedelta(days=1)}')"
    await connection.execute(
        text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    )
    moved = await connection.execute(
        text(
            f"WITH moved AS (DELETE FROM {table}_default WHERE day = :day RETURNING *)"  # noqa: S608
            f" INSERT INTO {name} SELECT * FROM moved"
        ),
        {"day": day},
    )
    await connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}"))
    return int(moved.rowcount)
