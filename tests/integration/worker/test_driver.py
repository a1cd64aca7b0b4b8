"""The ways past SQLAlchemy to the driver: ``direct`` in a transaction, ``alone`` without. What they lend is sound."""

from contextlib import suppress

import asyncpg
import pytest
from sqlalchemy import text

from tests.integration.worker.fleet import Fleet
from tests.postgres.server import Postgres
from tests.waiting import until
from warmup_core import database
from warmup_core.connections import MOST
from warmup_core.database import Unreachable
from warmup_worker.connection import Database, rows


async def test_a_connection_that_ended_before_its_rollback_is_not_lent_again(
    fleet: Fleet, worker_database: Database
) -> None:
    async def refused_and_cut_off() -> None:
        async with worker_database.direct() as connection:
            (row,) = await rows(connection, text("SELECT pg_backend_pid() AS pid"))
            await fleet.execute("SELECT pg_terminate_backend(:pid)", pid=row["pid"])
            await until(connection.driver.is_closed, "its end")
            raise asyncpg.DivisionByZeroError("what the database said before it went")

    with pytest.raises(Unreachable):
        await refused_and_cut_off()
    async with worker_database.direct() as connection:
        (row,) = await rows(connection, text("SELECT 1 AS one"))
    assert row["one"] == 1


@pytest.mark.parametrize("way", ["direct", "alone"])
async def test_a_server_that_turns_a_connection_away_is_unreachable(postgres: Postgres, way: str) -> None:
    """As one does that is about to start: the driver's own word for it, which SQLAlchemy does not wrap here."""
    nowhere = Database(lambda: database.parse_url(postgres.url("nobody_made_it")), 300.0)
    with pytest.raises(Unreachable, match="there is no database"):
        async with getattr(nowhere, way)():
            pass
    await nowhere.close()


@pytest.mark.parametrize("way", ["direct", "alone"])
async def test_statements_in_turn_on_one_connection_are_each_their_own(
    worker_database: Database, way: str
) -> None:
    """They have no name, and the server knows but the last of those: each has to be sent anew."""
    one, two = text("SELECT CAST(:n AS bigint) AS one"), text("SELECT CAST(:n AS bigint) + 1 AS two")
    pid, pids = text("SELECT pg_backend_pid() AS pid"), set()
    for n in range(3):
        async with getattr(worker_database, way)() as connection:
            assert [dict(row) for row in await rows(connection, one, {"n": n})] == [{"one": n}]
            assert [dict(row) for row in await rows(connection, two, {"n": n})] == [{"two": n + 1}]
            pids.add((await rows(connection, pid))[0]["pid"])
    assert len(pids) == 1


async def test_sessions_that_the_server_ends_between_batches_are_never_missed(
    worker_database: Database, fleet: Fleet
) -> None:
    """F22: each takes its place in the pool along, unless it is given back; the pool has few."""
    for _ in range(3 * MOST):
        async with worker_database.direct() as connection:
            (row,) = await rows(connection, text("SELECT pg_backend_pid() AS pid"))
        await fleet.execute("SELECT pg_terminate_backend(:pid, 5000)", pid=row["pid"])
        with suppress(Unreachable):
            async with worker_database.direct() as connection:
                await rows(connection, text("SELECT 1"))
    async with worker_database.direct() as connection:
        assert await rows(connection, text("SELECT 1"))
