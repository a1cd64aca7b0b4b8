"""The role that workers log in with: its rights suffice, and it has the timeouts that its sessions need."""

from sqlalchemy import text

from tests.integration.worker.fleet import EAGER, Fleet, as_database
from tests.ports import free_port
from tests.postgres.server import Postgres
from tests.submission import faults
from tests.submission.faults import Step
from tests.waiting import until
from warmup_core import database, schema
from warmup_worker.connection import Database
from warmup_worker.wanted import WantedFleet


async def test_a_workers_role_suffices_for_everything_a_worker_does(
    fleet: Fleet, postgres: Postgres, worker_database: Database
) -> None:
    """Its privileges are those of `schema.grant_worker`, and no more are needed: sweep, refusals and rests too."""
    name = worker_database.url.database or ""
    await postgres.execute(f"CREATE ROLE role_{name} LOGIN")
    await fleet.start()
    lost, *_ = await fleet.enrol(4)
    await fleet.plan(3)
    await fleet.execute("UPDATE quotas SET spent = 1 WHERE mailbox_id = :lost", lost=lost)
    await fleet.execute("UPDATE mailboxes SET in_flight = nextval('mail_ids') WHERE id = :lost", lost=lost)
    await fleet.execute(
        "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at)"
        " SELECT fleet_day(), in_flight, id, id + 1, 0, 'intent', 9, 0, 1, now() - interval '1 h'"
        " FROM mailboxes WHERE id = :lost",
        lost=lost,
    )
    fleet.server.faults[Step.RCPT] = faults.first(1, faults.refuse("550 5.1.1 No such user"))
    async with fleet.engine.begin() as connection:
        await schema.grant_worker(connection, f"role_{name}")
    url = database.parse_url(postgres.url(name, f"role_{name}"))
    async with fleet.worker(current_url=lambda: url) as worker:
        await fleet.mails("failed", 1)
        await fleet.mails("in_doubt", 1)
        await fleet.mails("sent", 8)
        await fleet.enrol(1, smtp_port=free_port())
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason LIKE 'connect:%'"),
            "a rest is written",
        )
        await until(lambda: worker.report.readiness().ready, "ready")
    (row,) = await fleet.rows("SELECT lease_until <= clock_timestamp() AS released FROM workers")
    assert row.released
    await fleet.adds_up()


async def test_without_an_operator_workers_give_their_role_its_timeouts(
    fleet: Fleet, postgres: Postgres, worker_database: Database
) -> None:
    """Two at once, of one plain role; each goes on with sessions that have them."""
    name = worker_database.url.database or ""
    url = postgres.url(name, f"plain_{name}")
    await postgres.execute(f"CREATE ROLE plain_{name} LOGIN")
    await fleet.start(workers=3)
    async with fleet.engine.begin() as connection:
        await schema.grant_worker(connection, f"plain_{name}")
    fleet.url = url
    wanted = WantedFleet(3, EAGER, "UTC")
    async with fleet.worker(2, wanted=wanted) as two, fleet.worker(3, wanted=wanted) as three:
        await until(lambda: two.lease.orders and three.lease.orders, "both have registered")
        assert two.report.starting is three.report.starting is None
    own = as_database(url)

    async def timeouts() -> tuple[str, str]:
        async with own.transaction() as connection:
            lock = await connection.scalar(text("SHOW lock_timeout"))
            return lock, await connection.scalar(text("SHOW idle_in_transaction_session_timeout"))

    assert await timeouts() == ("2s", "5s")
    await postgres.execute(f"ALTER ROLE plain_{name} IN DATABASE {name} RESET ALL")
    await own.close()
    assert await timeouts() == ("0", "0")
    await own.bound_waits()
    assert await timeouts() == ("2s", "5s"), "the session that began without is closed"
    await own.close()
