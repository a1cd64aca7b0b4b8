"""Postgres away: sends under claims in hand end normally, outcomes wait, nothing is claimed; on its return outcomes go first."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.worker.fleet import PATIENT, Fleet
from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from tests.submission import faults
from tests.submission.faults import Step
from tests.submission.server import Submission
from tests.waiting import until
from warmup_core import database
from warmup_worker.engine import Engine


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server that these tests may stop and start."""
    with Postgres() as server:
        yield server


@pytest.fixture
async def outage_fleet(
    own_postgres: Postgres, submission: Submission, tmp_path: Path
) -> AsyncIterator[Fleet]:
    url = await own_postgres.create()
    engine: AsyncEngine = judge(url, pool_size=3)
    ca_file = tmp_path / "ca.crt"
    ca_file.write_bytes(submission.authority.pem)
    yield Fleet(engine, url, submission, ca_file)
    await engine.dispose()


async def test_outcomes_wait_for_the_database_and_go_before_new_claims(
    outage_fleet: Fleet, own_postgres: Postgres
) -> None:
    """F21."""
    fleet = outage_fleet
    await fleet.start()
    await fleet.enrol(4)
    let_go = asyncio.Event()
    fleet.server.faults[Step.REPLY] = faults.first(4, faults.hold(let_go))
    async with fleet.worker() as worker:
        await fleet.server.journal.until("accepted", 4)
        await fleet.engine.dispose()
        await asyncio.to_thread(own_postgres.stop)
        let_go.set()
        await until(lambda: not worker.report.readiness().ready, "not ready")
        await until(lambda: "waiting=4" in worker.report.summary(), "four outcomes wait")
        assert worker.report.dead() is None, "an outage is no death"
        assert len(fleet.server.journal.accepted) == 4
        await asyncio.to_thread(own_postgres.start)
        await fleet.mails("sent", 12)
        await until(lambda: worker.report.readiness().ready, "ready again")
    await fleet.adds_up()
    assert len(fleet.server.journal.accepted) == 12


async def test_a_database_that_stays_away_does_not_keep_a_worker_from_ending(
    outage_fleet: Fleet, own_postgres: Postgres
) -> None:
    fleet = outage_fleet
    await fleet.start()
    await fleet.enrol(2)
    let_go = asyncio.Event()
    fleet.server.faults[Step.REPLY] = faults.hold(let_go)
    worker = Engine(fleet.settings(timing=replace(PATIENT, margin=0.5), grace_seconds=3.0), "client.example")
    running = asyncio.create_task(worker.run())
    await fleet.server.journal.until("accepted", 2)
    await fleet.engine.dispose()
    await asyncio.to_thread(own_postgres.stop)
    try:
        let_go.set()
        worker.stop()
        assert await running == 1, "what could not be written is told by the exit code"
    finally:
        await asyncio.to_thread(own_postgres.start)
    assert await fleet.states() == {"intent": 2}
    # Whoever comes next puts them in doubt: they were accepted, and are not sent again.
    fleet.server.faults.clear()
    await fleet.time_passes()
    async with fleet.worker():
        await fleet.mails("in_doubt", 2)
        await fleet.mails("sent", 4)
    await fleet.adds_up()


async def test_a_server_turned_read_only_is_left_for_another_connection(
    outage_fleet: Fleet, own_postgres: Postgres
) -> None:
    """F22: as in a failover, the pool must drop what it holds."""
    fleet = outage_fleet
    await fleet.start()
    await fleet.enrol(4)
    name = database.parse_url(fleet.url).database or ""
    async with fleet.worker() as worker:
        await until(lambda: worker.report.account().mailboxes == 4, "the shard is read")
        await own_postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await own_postgres.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        await until(lambda: "read-only" in worker.report.readiness().reason, "it says so")
        await fleet.engine.dispose()  # the test's own session was ended, too
        (row,) = await fleet.rows("SELECT clock_timestamp() AS at")
        # Asked before the change: a session begun after it is as good as any, however soon it came.
        await own_postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await fleet.engine.dispose()

        async def left() -> bool:
            """Whether the worker holds no session any more that would stay read-only for its whole life."""
            old = await fleet.rows(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_start < :at"
                " AND pid <> pg_backend_pid()",
                at=row.at,
            )
            return not old

        await until(left, "every session of before is left")
        await until(lambda: worker.report.readiness().ready, "ready again")
        await fleet.mails("sent", 12)
    await fleet.adds_up()
    await fleet.engine.dispose()
