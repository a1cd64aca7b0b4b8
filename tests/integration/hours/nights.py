"""A fleet on a day of its own choosing: the database's clock stands where the test puts it, and goes on from there.

``clock_timestamp`` is found in a schema before PostgreSQL's own, so that everything which asks the database for the time hears of
the same instant; nothing of the worker is touched. Its own sessions are told by their database's search path.
"""

from datetime import datetime

from sqlalchemy import text

from tests.integration.worker.fleet import EAGER, OWNER, RUNNING, Fleet
from tests.waiting import until
from warmup_core import fleet as rows
from warmup_core import partitions
from warmup_core.settings import FleetSettings
from warmup_operator import demand

RUNS = EAGER.model_copy(
    update={**RUNNING, "emails_per_mailbox_per_day": 8, "interval_ms": 500, "interval_batch": 100}
)
"""Runs twice a second: whatever may be sent is sent at once."""


async def set_clock(fleet: Fleet, at: datetime) -> None:
    """Let the database's clock show ``at`` now. While a worker runs it may only go forward, once it has been set before."""
    name = fleet.url.rpartition("/")[2].partition("?")[0]
    async with fleet.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA IF NOT EXISTS shifted"))
        await connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS"
                f" 'SELECT pg_catalog.clock_timestamp() + interval ''{(at - await _now(connection)).total_seconds()} s'''"
            )
        )
        await connection.execute(
            text(f'ALTER DATABASE "{name}" SET search_path = shifted, public, pg_catalog')
        )
    await fleet.engine.dispose()  # the next session finds it


async def _now(connection: object) -> datetime:
    found: datetime = await connection.scalar(text("SELECT pg_catalog.clock_timestamp()"))  # type: ignore[attr-defined]
    return found


async def begin(fleet: Fleet, at: datetime, settings: FleetSettings, zone: str = "UTC") -> None:
    """A fleet of one worker in ``zone``, at this instant."""
    await set_clock(fleet, at)
    async with fleet.engine.begin() as connection:
        await rows.own(
            connection, OWNER, generation=1, token="t0ken", settings=settings, time_zone=zone, paused=False
        )
        await connection.execute(text("UPDATE fleet SET worker_count = 1"))
        fleet.day = await connection.scalar(text("SELECT fleet_day()"))
    await partitions.upkeep(fleet.engine.begin, fleet.day, 90)


async def sent(fleet: Fleet) -> dict[str, int]:
    """Mails sent by their quota day."""
    found = await fleet.rows(
        "SELECT day, count(*) AS n FROM mails WHERE state = 'sent' GROUP BY 1 ORDER BY 1"
    )
    return {row.day.isoformat(): row.n for row in found}


async def today(fleet: Fleet) -> dict[str, int]:
    """The operator's account of the day, without what is nothing."""
    async with fleet.engine.begin() as connection:
        row = await rows.read(connection)
        assert row is not None
        account = (await demand.read(connection, row)).today.model_dump()
    return {name: value for name, value in account.items() if value and name != "day"}


async def quotas(fleet: Fleet) -> dict[str, tuple[int, int]]:
    """Quota and what is spent of it, by day, over all mailboxes."""
    found = await fleet.rows("SELECT day, sum(quota) AS q, sum(spent) AS s FROM quotas GROUP BY 1 ORDER BY 1")
    return {row.day.isoformat(): (row.q, row.s) for row in found}


async def look(fleet: Fleet, at: datetime) -> dict[str, int]:
    """Let a worker run at this instant until nothing is left to send now; what it says of its mailboxes."""
    await set_clock(fleet, at)
    async with fleet.worker() as worker:

        def settled() -> bool:
            account = worker.report.account()
            waiting = {"due, waits for a free slot", "connecting", "in flight", "claim refused, tries again"}
            started = worker.report.readiness().ready and account.mailboxes > 0
            busy = waiting & set(account.reasons) or any(
                0 <= box.wakes_at <= worker.report.now + 1  # a heartbeat may set the clock back a little
                for box in worker.shard.mailboxes.values()
            )
            return started and not busy

        await until(settled, "all that may be sent is sent")
        return dict(worker.report.account().reasons)
