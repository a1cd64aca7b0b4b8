"""A pause that begins between a mailbox's look at it and its claim: the claim itself sees it, so no mail goes out after it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.integration.worker.fleet import EAGER, Fleet
from tests.submission import faults
from tests.submission.faults import Step
from tests.waiting import until
from warmup_core import mailbox_day
from warmup_core import pauses as people
from warmup_core.replies import Scope
from warmup_worker import claiming, pausing
from warmup_worker.claiming import Ask, Refusal
from warmup_worker.clock import boottime
from warmup_worker.connection import Database
from warmup_worker.reactions import Concerned, Pause


async def begin(database: Database, pause: Pause) -> None:
    """What another worker writes when it hears of it."""
    async with database.transaction() as connection:
        await pausing.write(connection, [pause])


@pytest.mark.parametrize("scope", [Scope.EGRESS, Scope.PROVIDER, Scope.TENANT, Scope.DOMAIN])
async def test_a_claim_sees_every_pause_that_stops_its_mailbox_and_no_other(
    fleet: Fleet, worker_database: Database, scope: Scope
) -> None:
    await fleet.start()
    one, other, third = await fleet.enrol(3, users=3)  # of three users and three domains
    await fleet.execute("UPDATE mailboxes SET smtp_host = 'Mail.Example' WHERE id = :id", id=one)
    await fleet.plan(3)
    me = await fleet.register()
    (row,) = await fleet.rows("SELECT user_id, address FROM mailboxes WHERE id = :id", id=one)
    key = Concerned(row.user_id, row.address, "Mail.Example").key(scope)
    assert key is not None
    stop = Pause(scope, key, 60.0, None, 0, "some-rule", "a server said so")

    async def refusals() -> dict[int, Refusal]:
        asks = [Ask(one, third, 0), Ask(other, third, 0)]
        async with worker_database.transaction() as connection:
            granted = await claiming.claim(connection, me, 1, asks, 60, boottime(), day=fleet.day)
            refused = [it for it in asks if it.mailbox_id not in {claim.mailbox_id for claim in granted}]
            found = await claiming.explain(connection, me, 1, refused, fleet.day)
            await connection.rollback()
            return {it.mailbox_id: it.reason for it in found}

    await begin(worker_database, replace(stop, per_minute=10))
    assert await refusals() == {}, "a slowed scope has a queue of its own"
    await begin(worker_database, stop)
    assert await refusals() == {one: Refusal.HELD}
    async with worker_database.transaction() as connection:
        assert await people.end(connection, scope, key)
    assert await refusals() == {}


async def test_who_is_connected_when_a_pause_begins_elsewhere_sends_nothing_more(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 1}))
    await fleet.enrol(4)
    let_go = asyncio.Event()
    fleet.server.faults[Step.AUTH] = faults.first(4, faults.hold(let_go))
    async with fleet.worker() as worker:
        await until(lambda: len(fleet.server.journal.of("connect")) == 4, "all four look and connect")
        key = fleet.server.host
        await begin(
            worker_database, Pause(Scope.PROVIDER, key, None, None, 0, "a-rule", "the provider's words")
        )
        let_go.set()
        await until(lambda: worker.report.account().reasons == {"paused: a-rule": 4}, "all wait by its name")
        assert not fleet.server.journal.of("mail-from")
        async with worker_database.transaction() as connection:
            await people.end(connection, Scope.PROVIDER, key)
        await fleet.mails("sent", 4)
    await fleet.adds_up()


async def test_a_rest_and_a_pause_beyond_all_dates_stop_no_worker_and_no_person(
    fleet: Fleet, worker_database: Database
) -> None:
    """A server may once have asked for ages, and the database has years that Python has no date for."""
    await fleet.start()
    resting, paused, free = await fleet.enrol(3, users=3)
    await fleet.execute(
        "UPDATE mailboxes SET not_before = '29279-01-01', hold_reason = 'temporary: so it said' WHERE id = :id",
        id=resting,
    )
    (user,) = await fleet.rows("SELECT user_id FROM mailboxes WHERE id = :id", id=paused)
    await fleet.execute(
        "INSERT INTO pauses (scope, key, until, rule, reason) VALUES ('tenant', :key, '29279-01-01', 'quota', 'so it said')",
        key=f"{user.user_id}/{fleet.server.host}",
    )
    async with fleet.worker() as worker:
        await fleet.mails("sent", 3)
        wanted = {"deferred: temporary": 1, "paused: quota": 1, "quota met": 1}
        await until(lambda: worker.report.account().reasons == wanted, "each stands where it should")
    me = await fleet.register()
    async with worker_database.transaction() as connection:
        (refused,) = await claiming.explain(connection, me, 1, [Ask(resting, free, 0)], fleet.day)
        assert datetime.fromtimestamp(refused.not_before, UTC).year == 3000
        for mailbox, year in ((resting, 3000), (paused, None)):
            shown = await mailbox_day.read(connection, mailbox)
            assert shown is not None
            assert (shown.not_before and shown.not_before.year) == year
        (pause,) = await people.in_force(connection)
        assert pause.until is not None
        assert pause.until.year == 3000
