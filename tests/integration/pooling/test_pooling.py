"""Through PgBouncer in transaction mode everything works as without it: no session is ever relied on.

Debian's PgBouncer 1.18 knows no ``max_prepared_statements`` (1.21 does), so prepared statements behind one that keeps track of
them are not met here; ours have no name, and such a pooler tracks only named ones.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import pytest

from tests.command import KEYS, warmup
from tests.integration.limits.claimants import SHORT, claimants, hammer, limited
from tests.integration.limits.windows import claimed, fullest, some
from tests.integration.worker.fleet import EAGER, PATIENT, Fleet
from tests.integration.worker.test_fencing import beats
from tests.postgres.pgbouncer import PgBouncer
from tests.postgres.proxy import Proxy
from tests.postgres.server import Postgres
from tests.submission import faults
from tests.submission.faults import Step
from tests.waiting import until
from warmup_core import database
from warmup_worker.timing import Timing


async def add_columns(fleet: Fleet) -> None:
    """What a newer release's migration may do while this one's workers run."""
    for table in ("mailboxes", "workers", "fleet", "mails", "quotas"):
        await fleet.execute(f"ALTER TABLE {table} ADD COLUMN note_{table} text DEFAULT 'later'")


@pytest.mark.parametrize("way", ["directly", "through the pooler"])
async def test_two_workers_send_everything_once_while_columns_are_added(
    fleet: Fleet, pgbouncer: PgBouncer, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """F24, field-024: no plan and no result that was known before stands in the way."""
    if way == "through the pooler":
        fleet.url = pgbouncer.url(fleet.url)
    fleet.server.faults[Step.REPLY] = faults.delay(0.05)
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 5}), workers=2)
    await fleet.enrol(16)
    async with fleet.worker(1) as one, fleet.worker(2) as two:
        for sent in (10, 25, 40):
            await fleet.mails("sent", sent)
            if sent == 25:
                await add_columns(fleet)
        await fleet.mails("sent", 80)
        await until(lambda: one.report.in_flight + two.report.in_flight == 0, "all is settled")
    assert await fleet.states() == {"sent": 80}
    assert "cached plan" not in caplog.text
    assert "no heartbeat" not in caplog.text
    await fleet.adds_up()


async def test_nothing_is_left_behind_on_the_servers_side(pooled: Fleet) -> None:
    """A statement with a name would stay on a connection that nobody can say goodbye on."""
    await pooled.start()
    await pooled.enrol(4)
    async with pooled.worker():
        await pooled.mails("sent", 12)
    through = (
        database.parse_url(pooled.url).set(drivername="postgresql").render_as_string(hide_password=False)
    )
    for _ in range(3):
        connection = await asyncpg.connect(through, statement_cache_size=0)
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
        await connection.close()


async def test_a_pause_reaches_running_workers_within_two_heartbeats(pooled: Fleet) -> None:
    """With that of every day, 2 s: the first may have looked just before the pause."""
    await pooled.start(workers=2)
    await pooled.enrol(2)
    timing = replace(PATIENT, heartbeat=Timing().heartbeat)
    async with pooled.worker(1, timing) as one, pooled.worker(2, timing) as two:
        await pooled.mails("sent", 6)
        await pooled.execute("UPDATE fleet SET paused = true")
        for it in (one, two):
            await beats(it.lease, 2)
        paused = "The fleet is paused: nothing is sent."
        assert {it.report.readiness().reason for it in (one, two)} == {paused}
        assert 2 * timing.heartbeat < 5


async def test_a_lowered_limit_holds_for_running_workers_within_five_seconds(pooled: Fleet) -> None:
    """All constants are a tenth here, so it is half a second: no token of before lives longer. The ledger is the judge."""
    await pooled.start(limited(per_minute_limit=120), workers=2)
    ids = await pooled.enrol(20)
    await pooled.plan(2000)

    async def many() -> bool:
        return some(await claimed(pooled), SHORT.minute, 21)

    async def after(at: datetime) -> list[datetime]:
        return [it for it in await claimed(pooled) if it >= at + timedelta(seconds=0.5)]

    async with claimants(pooled, 2) as workers:
        await hammer(pooled, workers, ids, 2.0, many)
        await pooled.execute(
            "UPDATE fleet SET settings_version = settings_version + 1,"
            " settings = settings || '{\"per_minute_limit\": 10}'"
        )
        (row,) = await pooled.rows("SELECT clock_timestamp() AS at")

        async def few() -> bool:
            return some(await after(row.at), SHORT.minute, 5)

        await hammer(pooled, workers, ids, 4.0, few)
    assert fullest(await after(row.at), SHORT.minute) <= 10


async def test_a_connection_that_falls_silent_hides_no_change(fleet: Fleet) -> None:
    """field-023: there is no listener that could go deaf; each heartbeat has its deadline and then another connection."""
    await fleet.start()
    await fleet.enrol(3)
    async with Proxy(fleet.url) as proxy:
        fleet.url = proxy.url
        async with fleet.worker(timing=replace(PATIENT, statement=1.0)) as worker:
            await fleet.mails("sent", 9)
            assert proxy.fall_silent() > 0
            await fleet.execute(
                "UPDATE fleet SET paused = true, settings_version = settings_version + 1,"
                " settings = settings || '{\"per_minute_limit\": 10}'"
            )
            await until(lambda: worker.report.orders and worker.report.orders.paused, "the pause")
            assert worker.report.orders is not None
            assert worker.report.orders.settings.per_minute_limit == 10


async def test_a_killed_upgrade_leaves_no_lock_behind_the_pooler(
    postgres: Postgres, pgbouncer: PgBouncer
) -> None:
    """field-022: kill -9 in the middle. The next run says within seconds who holds the lock, or goes through."""
    direct = postgres.url(await postgres.create_empty())
    url = pgbouncer.url(direct)
    obstacle, onlooker = [await asyncpg.connect(direct) for _ in range(2)]
    begun = obstacle.transaction()
    await begun.start()
    await obstacle.execute("CREATE TABLE mails (note text)")  # the migration waits for whether it comes to be
    environ = os.environ | {"DATABASE_URL": url, "WARMUP_ENCRYPTION_KEYS": KEYS}
    command = (sys.executable, "-m", "warmup_cli", "database", "upgrade")
    first = await asyncio.create_subprocess_exec(*command, env=environ)
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    holder = await until(lambda: onlooker.fetchval(waiting), "the upgrade is in its middle")
    first.send_signal(signal.SIGKILL)
    await first.wait()
    second = await warmup("database", "upgrade", url=url)
    if second.code != 0:  # the server has not noticed yet that its client is gone
        assert f"Another migration is running (backend {holder}" in second.err
    await begun.rollback()
    for connection in (obstacle, onlooker):
        await connection.close()

    async def upgraded() -> bool:
        return (await warmup("database", "upgrade", url=url)).code == 0

    await until(upgraded, "the next run goes through")
    assert "there is nothing to do" in (await warmup("database", "upgrade", url=url)).out
