"""F25: many workers, few connections. Each holds its share of the fleet's budget; whom the server turns away says so, waits."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.worker.fleet import EAGER, UNHURRIED, Fleet
from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from tests.submission.server import Submission
from tests.waiting import until
from warmup_core import database, schema
from warmup_core.connections import APART, MOST
from warmup_worker.engine import Engine
from warmup_worker.timing import Timing

ROLE = "small_worker"
ROUTINE = replace(
    Timing(), lease=60.0, statement=20.0, claim_to_mail=30.0, dialogue=120.0, refresh_lease=60.0
)
"""As often as real ones do, and with patience for a stall: whoever lost it would begin another connection, and the server counts
the one before beside it until it notices."""


@pytest.fixture(scope="module")
def small_postgres() -> Iterator[Postgres]:
    """A server of 52 connections, 3 of them kept for superusers."""
    with Postgres(options=["fsync=off", "max_connections=52"]) as server:
        yield server


@pytest.fixture
async def small(small_postgres: Postgres, submission: Submission, tmp_path: Path) -> AsyncIterator[Fleet]:
    """A fleet whose workers log in with a role of their own, which the server counts."""
    url = await small_postgres.create()
    engine: AsyncEngine = judge(url)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            f"DO $$ BEGIN CREATE ROLE {ROLE} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        await schema.grant_worker(connection, ROLE)
    ca_file = tmp_path / "ca.crt"
    ca_file.write_bytes(submission.authority.pem)
    name = database.parse_url(url).database or ""
    yield Fleet(engine, small_postgres.url(name, ROLE), submission, ca_file)
    await engine.dispose()


async def held(fleet: Fleet) -> int:
    """The connections of all workers, as the server counts them."""
    rows = await fleet.rows("SELECT count(*) AS n FROM pg_stat_activity WHERE usename = :role", role=ROLE)
    return int(rows[0].n)


async def test_many_workers_at_once_all_come_in_and_stay_within_the_budget(small: Fleet) -> None:
    """Forty with the connections that each would like are 120; the server has room for 48 beside the test's own."""
    count, budget = 40, 40 + APART
    settings = {"max_connections": budget, "emails_per_mailbox_per_day": 1}
    await small.start(EAGER.model_copy(update=settings), workers=count)
    await small.enrol(count)
    most, ended = 0, asyncio.Event()

    async def count_them() -> None:
        nonlocal most
        while not ended.is_set():
            most = max(most, await held(small))
            await asyncio.sleep(0.02)

    counting = asyncio.create_task(count_them())
    async with AsyncExitStack() as running:
        workers = [
            await running.enter_async_context(small.worker(number, ROUTINE)) for number in range(1, count + 1)
        ]
        await small.mails("sent", count)
        await until(lambda: all(it.report.readiness().ready for it in workers), "all are ready")
        ended.set()
        await counting
        most = max(
            most, await held(small)
        )  # no count may have come just between the last login and the last mail
        assert count <= most <= budget - APART
    await small.adds_up()


async def test_a_worker_takes_its_share_and_gives_back_when_others_come(small: Fleet) -> None:
    await small.start(EAGER.model_copy(update={"max_connections": 8 + APART}), workers=1)
    async with AsyncExitStack() as running:

        async def all_busy(workers: list[Engine]) -> int:
            """The connections while every worker has more to do than it has connections."""
            async with asyncio.timeout(120):
                await asyncio.gather(*(idle(it) for it in workers for _ in range(MOST)))
            return await held(small)

        async def idle(worker: Engine) -> None:
            async with worker._database.transaction(120) as connection:
                await connection.exec_driver_sql("SELECT pg_sleep(0.2)")

        workers = [await running.enter_async_context(small.worker(1, UNHURRIED))]
        await until(lambda: workers[0].lease.orders, "the first heartbeat")

        async def all_three() -> bool:  # the third is for a heartbeat beside the others
            return await all_busy(workers) == MOST

        await until(all_three, "it uses what it may")
        workers += [
            await running.enter_async_context(small.worker(number, UNHURRIED)) for number in range(2, 9)
        ]
        await until(lambda: all(it.lease.orders for it in workers), "all are there")

        async def one_each() -> bool:
            return await all_busy(workers) == 8

        await until(one_each, "each keeps one")


async def test_whom_the_server_turns_away_waits_with_the_reason_and_comes_in_later(small: Fleet) -> None:
    await small.start(workers=3)
    await small.enrol(3)
    taken = []
    try:
        while True:
            taken.append(await asyncpg.connect(small.url))
    except asyncpg.TooManyConnectionsError:
        pass
    async with AsyncExitStack() as running:
        workers = [await running.enter_async_context(small.worker(number)) for number in (1, 2, 3)]
        sentence = f"the server has no connection left for user '{ROLE}'"
        await until(lambda: all(sentence in it.report.readiness().reason for it in workers), "all say why")
        for connection in taken:
            await connection.close()
        await small.mails("sent", 9)
        await until(lambda: all(it.report.readiness().ready for it in workers), "all are ready")
    await small.adds_up()
