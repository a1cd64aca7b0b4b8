"""The day's partitions of ``mails`` and ``quotas``: made ahead, dropped after the retention.

A row whose day has no partition lands in the default one, so a missed upkeep never stops a claim; the next upkeep moves such
rows into the day's own partition in the transaction that makes it, so the emergency exit never blocks the normal way.

Claims go on beside an upkeep: each partition is made or dropped in a transaction of its own, which asks for its strong locks
first, in the order in which claims take theirs, and waits for each ``LOCK_MS`` at most. So it can neither deadlock with claims
nor let them queue up for long. Only while rows are moved do claims wait, so that comes last.
Fails: the lock was not to be had; that partition is not made, nothing is half done, the others are seen to all the same
(``failed``), the next upkeep tries again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import database

PARTITIONED = ("mails", "quotas")
DAYS_AHEAD = 7
LOCK_MS = 1000

Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""Begins a transaction that commits when its block ends, such as ``engine.begin``."""


@dataclass(frozen=True)
class Upkeep:
    """What an upkeep did: names of partitions made and dropped, rows moved out of the default partitions.

    ``failed``: the partitions that could be neither made nor dropped, and why.
    """

    made: list[str]
    dropped: list[str]
    rescued: int
    failed: Mapping[str, Exception]

    @property
    def alert(self) -> str | None:
        """What a person should hear of: days came without their partitions."""
        if not self.rescued:
            return None
        names = " and ".join(f"{table}_default" for table in PARTITIONED)
        return (
            f"{self.rescued} rows lay in {names}, because their days' partitions were missing; they are moved. Partitions are"
            f" made {DAYS_AHEAD} days ahead: why did nobody do so?"
        )


def name_of(table: str, day: date) -> str:
    """``mails``, 2026-11-25 -> ``mails_20261125``."""
    return f"{table}_{day:%Y%m%d}"


async def upkeep(begin: Transaction, today: date, retention_days: int) -> Upkeep:
    """Make yesterday's to next week's partitions, drop those older than the retention, move strays home. Idempotent.

    Raises DBAPIError where not even what there is can be read.
    """
    wanted = {today + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1)}
    plain, old, strayed = list[tuple[str, date]](), list[str](), list[tuple[str, date]]()
    for table in PARTITIONED:
        async with begin() as connection:
            present = await _present(connection, table)
            strays = await _strays(connection, table)
        missing = {day for day in wanted | strays if name_of(table, day) not in present}
        plain += [(table, day) for day in sorted(missing - strays)]
        strayed += [(table, day) for day in sorted(missing & strays)]
        oldest = name_of(table, today - timedelta(days=retention_days))
        old += [name for name in sorted(present) if name.startswith(f"{table}_2") and name < oldest]
    made, dropped, rescued, failed = list[str](), list[str](), 0, dict[str, Exception]()
    for table, day in plain:
        with _noting(failed, name_of(table, day)):
            async with begin() as connection:
                await _make(connection, table, day)
            made.append(name_of(table, day))
    for name in old:
        with _noting(failed, name):
            async with begin() as connection:
                await _bound(connection)
                await connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
            dropped.append(name)
    for table, day in strayed:
        with _noting(failed, name_of(table, day)):
            async with begin() as connection:
                moved = await _make(connection, table, day)
            rescued += moved
            made.append(name_of(table, day))
    return Upkeep(made, dropped, rescued, failed)


@contextmanager
def _noting(failed: dict[str, Exception], name: str) -> Iterator[None]:
    """One partition's fault keeps no other from being seen to."""
    try:
        yield
    except (SQLAlchemyError, *database.FAULTS) as error:
        failed[name] = error


async def _strays(connection: AsyncConnection, table: str) -> set[date]:
    """The days of rows that lie in the default partition."""
    rows = await connection.execute(text(f"SELECT DISTINCT day FROM {table}_default"))  # noqa: S608
    return {row.day for row in rows}


async def _present(connection: AsyncConnection, table: str) -> set[str]:
    """The names of a table's partitions."""
    rows = await connection.execute(
        text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = CAST(:table AS regclass)"
        ),
        {"table": table},
    )
    return {row.relname for row in rows}


async def _bound(connection: AsyncConnection) -> None:
    """Wait for locks no longer than ``LOCK_MS``, in this transaction only."""
    await connection.execute(text("SELECT set_config('lock_timeout', :ms, true)"), {"ms": f"{LOCK_MS}ms"})


async def _make(connection: AsyncConnection, table: str, day: date) -> int:
    """Create and attach one day's partition, with the rows that waited in the default one. Returns their number.

    The locks come first, parent before child as in every claim, so none is an upgrade of a weaker one and a row on its way to
    the default partition waits until it can go to its own. They also let two upkeeps take turns: the second finds it made.
    """
    await _bound(connection)
    await connection.execute(text(f"LOCK TABLE ONLY {table}, {table}_default IN ACCESS EXCLUSIVE MODE"))
    name = name_of(table, day)
    if name in await _present(connection, table):
        return 0
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
