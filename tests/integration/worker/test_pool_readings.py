"""The pool of recipients is every mailbox of the fleet: it is read again where one has changed, and for nothing else.

Judged by PostgreSQL's log of the statements of this one database.
"""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.worker.fleet import PATIENT, Fleet
from tests.postgres.server import Postgres
from tests.waiting import until

TIMING = replace(PATIENT, reread_every=300.0)


async def counted(postgres: Postgres, engine: AsyncEngine) -> Callable[[], int]:
    """Count how often this test's database is asked for the pool."""
    await postgres.execute(f"ALTER DATABASE {engine.url.database} SET log_statement = 'all'")
    log = postgres.directory / "data" / "log"
    before = log.read_text(errors="replace").count("AS present")
    return lambda: log.read_text(errors="replace").count("AS present") - before


async def test_a_resize_makes_no_worker_read_the_pool_again_unless_a_mailbox_has_changed(
    fleet: Fleet, engine: AsyncEngine, postgres: Postgres
) -> None:
    readings = await counted(postgres, engine)

    async def resize(count: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(
                text("UPDATE fleet SET epoch = epoch + 1, worker_count = :count"), {"count": count}
            )

    await fleet.start()
    await fleet.enrol(6)
    async with fleet.worker(1, TIMING) as first:
        await until(lambda: first.report.account().mailboxes == 6, "worker 1 has all of them")
        async with fleet.worker(2, TIMING) as second:
            await until(lambda: readings() == 2, "worker 2 has read the pool before it owns anything")
            await resize(2)
            await until(lambda: second.report.account().mailboxes == 3, "worker 2 has its half")
            await until(lambda: first.report.account().mailboxes == 3, "worker 1 has the other")
            await fleet.mails("sent", 18)
            assert readings() == 2

            await fleet.enrol(2)
            await resize(1)
            await until(lambda: first.report.account().mailboxes == 8, "worker 1 has all of them")
            await fleet.mails("sent", 24)
            assert readings() > 2
    await fleet.adds_up()


async def test_a_slow_reading_finds_what_the_newest_change_does_not_tell(
    fleet: Fleet, engine: AsyncEngine, postgres: Postgres
) -> None:
    readings = await counted(postgres, engine)
    await fleet.start()
    first, second, *_ = await fleet.enrol(6)
    async with fleet.worker(timing=replace(TIMING, reread_every=0.5)) as worker:
        await fleet.mails("sent", 18)
        settled = readings()
        await fleet.execute(
            "UPDATE mailboxes SET changed_at = changed_at - interval '1 s' WHERE id = :id", id=first
        )  # as a transaction that began before the newest change and committed after it
        await until(lambda: readings() == settled + 1, "what committed late is found")
        await fleet.execute("DELETE FROM mailboxes WHERE id = :id", id=second)
        await until(lambda: readings() == settled + 2, "a deleted row is found")
        await until(lambda: worker.report.account().mailboxes == 5, "it is gone from the shard, too")
    assert readings() == settled + 2, "nothing else made it be read"


async def test_a_new_day_is_read_only_where_somebody_has_left(
    fleet: Fleet, engine: AsyncEngine, postgres: Postgres
) -> None:
    """Another zone stands for another day: what a day leaves out depends on both."""
    readings = await counted(postgres, engine)

    async def move(zone: str, leaves: int | None = None) -> None:
        async with (
            engine.begin() as connection
        ):  # at once: a beat in between would read the pool for who leaves alone
            await connection.execute(
                text("UPDATE mailboxes SET active = false, changed_at = clock_timestamp() WHERE id = :id"),
                {"id": leaves},
            )
            await connection.execute(
                text("UPDATE fleet SET time_zone = :zone, settings_version = settings_version + 1"),
                {"zone": zone},
            )
        [row] = await fleet.rows("SELECT settings_version FROM fleet")

        def follows() -> bool:
            orders = worker.report.orders
            return orders is not None and orders.settings_version == row.settings_version

        await until(follows, "the worker knows the zone")
        await until(lambda: worker.report.account().mailboxes == len(left), "it has read its mailboxes")

    await fleet.start()
    left = await fleet.enrol(6)
    async with fleet.worker(timing=TIMING) as worker:
        await until(lambda: worker.report.account().mailboxes == 6, "all are read")
        await move("Etc/GMT+1")
        assert readings() == 1
        await move("Etc/GMT+2", leaves=left.pop())
        await until(lambda: readings() == 2, "who has left is out of the pool")
        await move("Etc/GMT+3")
        await until(lambda: readings() == 3, "another day may leave out who had left in this one")


async def test_mailboxes_are_read_beside_the_pool_and_begin_when_it_is_there(
    fleet: Fleet, engine: AsyncEngine
) -> None:
    """For a million the pool takes seconds. Whoever began without it would find nobody to write to, and rest."""
    await fleet.start()
    await fleet.enrol(6)
    # What sends an id to the pool, here waits for a lock first.
    await fleet.execute(
        "CREATE FUNCTION public.int8send(bigint) RETURNS bytea LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN pg_catalog.int8send($1); END $$"
    )
    await fleet.execute(f"ALTER DATABASE {engine.url.database} SET search_path = public, pg_catalog")
    async with engine.begin() as connection:
        await connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")
        async with fleet.worker(1, replace(TIMING, statement=30.0)) as worker:
            await until(lambda: worker.report.account().mailboxes == 6, "the mailboxes are read")
            await until(fleet.waits_for_a_lock, "the pool is not")
            assert not worker.report.readiness().ready
            assert "no recipient" not in worker.report.account().reasons
            assert not fleet.server.journal.accepted
            await connection.commit()
            await fleet.mails("sent", 18)
            assert worker.report.readiness().ready
    await fleet.adds_up()
