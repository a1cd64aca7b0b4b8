"""Two processes of one number, a resize under load, a frozen worker: nobody sends twice, nobody is left out."""

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.integration.worker.fleet import EAGER, PATIENT, UNHURRIED, Fleet
from tests.postgres.proxy import Proxy
from tests.submission import faults
from tests.submission.faults import Exchange, Step
from tests.waiting import until
from warmup_core import connections
from warmup_core import fleet as fleets
from warmup_worker.engine import DRAINED, REPLACED, Engine
from warmup_worker.lease import Lease
from warmup_worker.wanted import WantedFleet


async def test_a_second_process_of_the_number_replaces_the_first_which_ends_its_sends_and_goes(
    fleet: Fleet,
) -> None:
    """F12."""
    await fleet.start()
    await fleet.enrol(6)
    let_go = asyncio.Event()
    fleet.server.faults[Step.REPLY] = faults.first(6, faults.hold(let_go))
    older = Engine(fleet.settings(), "client.example")
    running = asyncio.create_task(older.run())
    await fleet.server.journal.until("accepted", 6)  # all six wait for the reply to their dot
    async with fleet.worker() as newer:
        await until(lambda: newer.report.account().reasons == {"in flight elsewhere": 6}, "it waits for them")
        await until(lambda: older.report.draining, "the older one drains")
        let_go.set()
        assert await running == REPLACED
        await fleet.mails("sent", 18)
    await fleet.adds_up()
    by = await fleet.rows("SELECT incarnation, count(*) AS n FROM mails GROUP BY 1 ORDER BY 1")
    assert [row.n for row in by] == [6, 12]


async def test_two_supervised_processes_of_a_number_do_not_chase_each_other(fleet: Fleet) -> None:
    """Each would be started again whenever the other replaced it. The newcomer stands back, says so, and comes when it may."""
    # Whose heart has not been heard for three of its beats has died: so long that a stall of the machine is no death.
    patient = replace(UNHURRIED, calm=3600.0, heartbeat=6.0)
    await fleet.start()
    await fleet.enrol(4)
    first = Engine(fleet.settings(timing=patient), "client.example")
    running = asyncio.create_task(first.run())
    await until(lambda: first.lease.orders, "the first has the number")
    async with fleet.worker(timing=patient) as second:
        sentence = f"Another process runs as worker 1, on {socket.gethostname()}."
        await until(lambda: second.report.readiness().reason.startswith(sentence), "the second stands back")
        await fleet.mails("sent", 12)
        assert not first.lease.replaced.is_set()
        assert second.report.dead() is None
        first.stop()
        assert await running == DRAINED
        await until(lambda: second.report.readiness().ready, "the number is free")
    assert len(await fleet.rows("SELECT DISTINCT incarnation FROM mails")) == 1


async def test_a_killed_process_is_replaced_long_before_its_lease_ends(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(2)
    await fleet.register(lease_seconds=3600)  # it beats no more
    async with fleet.worker(timing=replace(PATIENT, calm=3600.0)):
        await fleet.mails("sent", 6)


async def test_a_resize_under_load_moves_mailboxes_without_a_gap_or_a_second_owner(fleet: Fleet) -> None:
    """F14: three workers, then two, while mails are in flight. Replies wait for a flip that is due, so none comes too late."""
    flips = {16: asyncio.Event(), 56: asyncio.Event()}

    async def reply(_: Exchange) -> str | None:
        accepted = len(fleet.server.journal.accepted)
        for most, event in flips.items():
            if accepted > most:
                await event.wait()
        await asyncio.sleep(0.1)
        return None

    fleet.server.faults[Step.REPLY] = reply
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 8}), workers=1)
    await fleet.enrol(12)
    async with fleet.worker(1), fleet.worker(2), fleet.worker(3) as third:
        await until(
            lambda: third.report.readiness().reason.startswith("Worker 3 is beyond the count"), "ready"
        )
        assert third.report.readiness().ready
        for sent, target, flip in zip((10, 40), (3, 2), flips.values(), strict=True):
            await fleet.mails("sent", sent)

            async def flipped(target: int = target) -> bool:
                async with fleet.engine.begin() as connection:
                    row = await fleets.read(connection)
                    assert row is not None
                    return await fleets.flip(connection, epoch=row.epoch, target=target)

            await until(flipped, f"{target} workers")
            if target == 3:
                flip.set()
                await until(
                    lambda: fleet.rows("SELECT 1 FROM mails WHERE number = 3"), "the third has its part"
                )
            flip.set()
        await fleet.mails("sent", 96)
    await fleet.adds_up()
    assert await fleet.states() == {"sent": 96}
    by_epoch = await fleet.rows("SELECT DISTINCT epoch, number FROM mails")
    assert {(row.epoch, row.number) for row in by_epoch} >= {(1, 1), (2, 3), (3, 2)}
    overlapping = await fleet.rows(
        "SELECT 1 FROM mails a JOIN mails b ON a.mailbox_id = b.mailbox_id AND a.id < b.id"
        " AND b.claimed_at < a.settled_at"
    )
    assert not overlapping, "a mailbox had two mails in flight"


async def test_more_workers_beside_a_slow_database_send_nothing_twice(fleet: Fleet) -> None:
    """field-001: one worker, then four, while mails are in flight; a transaction takes some 0.3 s longer."""
    flip = asyncio.Event()

    async def reply(_: Exchange) -> str | None:
        await asyncio.sleep(0.3)
        if len(fleet.server.journal.accepted) > 8:  # so that each of the four has something left to send
            await flip.wait()
        return None

    fleet.server.faults[Step.REPLY] = reply
    await fleet.start()
    await fleet.enrol(8)
    await fleet.execute("UPDATE fleet SET paused = true")
    async with Proxy(fleet.url) as proxy, AsyncExitStack() as running:
        fleet.url = proxy.url
        workers = [
            await running.enter_async_context(fleet.worker(number, UNHURRIED)) for number in range(1, 5)
        ]
        await until(lambda: all(it.report.readiness().ready for it in workers), "all are there")
        proxy.delay = 0.08
        await fleet.execute("UPDATE fleet SET paused = false")
        await fleet.mails("sent", 4)

        async def flipped() -> bool:
            async with fleet.engine.begin() as connection:
                return await fleets.flip(connection, epoch=1, target=4)

        await until(flipped, "four workers")
        flip.set()
        await fleet.mails("sent", 24)
    await fleet.adds_up()
    assert len(fleet.server.journal.accepted) == 24
    assert {row.number for row in await fleet.rows("SELECT DISTINCT number FROM mails")} == {1, 2, 3, 4}


async def test_another_workers_intents_are_swept_by_whoever_lives(fleet: Fleet) -> None:
    await fleet.start(workers=2)
    await fleet.enrol(4)
    await fleet.plan(3)
    gone = await fleet.register(number=2, lease_seconds=0.1)
    await fleet.execute(
        "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at)"
        " VALUES (fleet_day(), nextval('mail_ids'), 1, 2, 0, 'intent', 2, :i, 1, clock_timestamp() - interval '1 h')",
        i=gone.incarnation,
    )
    await fleet.execute("UPDATE quotas SET spent = 1 WHERE mailbox_id = 1")
    await fleet.execute("UPDATE mailboxes SET in_flight = (SELECT id FROM mails) WHERE id = 1")
    async with fleet.worker(1):
        await fleet.mails("in_doubt", 1)
    await fleet.adds_up()
    (row,) = await fleet.rows("SELECT in_flight FROM mailboxes WHERE id = 1")
    assert row.in_flight is None


async def test_a_stop_before_registration_ends_at_once(fleet: Fleet) -> None:
    """No schema yet: the worker waits, says so, and lets itself be stopped."""
    async with fleet.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    worker = Engine(fleet.settings(), "client.example")
    running = asyncio.create_task(worker.run())
    await until(lambda: "9999" in worker.report.readiness().reason, "the sentence about the schema")
    assert not worker.report.readiness().ready
    assert worker.report.dead() is None
    worker.stop()
    assert await running == DRAINED
    assert await fleet.rows("SELECT * FROM workers") == []


async def test_a_schema_that_is_mended_lets_the_worker_begin(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(2)
    (row,) = await fleet.rows("SELECT version_num FROM alembic_version")
    await fleet.execute("UPDATE alembic_version SET version_num = '9999'")
    async with fleet.worker() as worker:
        await until(lambda: "9999" in worker.report.readiness().reason, "the sentence about the schema")
        await fleet.execute("UPDATE alembic_version SET version_num = :v", v=row.version_num)
        await fleet.mails("sent", 6)
        assert worker.report.readiness().ready


async def beats(lease: Lease, count: int) -> None:
    """Wait for so many heartbeats that arrive."""
    for _ in range(count):
        before = lease.came_round

        def arrived(before: float = before) -> bool:
            return lease.came_round > before and lease.trusted

        await until(arrived, "a heartbeat")


async def test_heartbeats_wait_for_no_other_work(fleet: Fleet) -> None:
    await fleet.start()
    async with fleet.worker() as worker, AsyncExitStack() as busy:
        await until(lambda: worker.lease.orders, "the first heartbeat")
        for _ in range(connections.MOST - 1):
            await busy.enter_async_context(worker._database.transaction(300))
        await beats(worker.lease, 3)


async def test_a_fleet_that_is_made_in_the_middle_of_a_heartbeat_is_followed_from_the_next_one_on(
    fleet: Fleet,
) -> None:
    """The heartbeat has looked for the fleet, and waits for its own row; when it reads the settings there is a fleet."""
    async with fleet.worker() as worker:
        await until(lambda: fleet.rows("SELECT 1 FROM workers"), "the worker has registered")
        async with fleet.engine.begin() as connection:
            await connection.execute(text("SELECT 1 FROM workers FOR UPDATE"))
            await until(fleet.waits_for_a_lock, "a heartbeat waits for the worker's row")
            await fleet.start()
        await until(lambda: worker.report.readiness().ready, "the worker follows the fleet")


LATER_RELEASE = (
    "UPDATE fleet SET settings_version = settings_version + 1,"
    " settings = settings || jsonb_build_object('per_minute_limit', 1, 'ramp_type', CAST(:ramp AS text))"
)
UNREADABLE = "This release cannot read the fleet's settings (ramp_type: "


async def test_under_settings_of_a_later_release_a_worker_claims_nothing_says_why_settles_and_drains(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit that fell in them is not passed by a worker that cannot know it."""
    await fleet.start()
    await fleet.enrol(6)
    let_go = asyncio.Event()
    fleet.server.faults[Step.REPLY] = faults.first(6, faults.hold(let_go))
    worker = Engine(fleet.settings(), "client.example")
    running = asyncio.create_task(worker.run())
    await fleet.server.journal.until("accepted", 6)
    await fleet.execute(LATER_RELEASE, ramp="Later")
    await until(lambda: worker.report.readiness().reason.startswith(UNREADABLE), "it says so")
    assert not worker.report.readiness().ready
    let_go.set()
    await fleet.mails("sent", 6)
    for _ in range(5):
        before = worker.lease.came_round
        await until(lambda before=before: worker.lease.came_round > before, "another beat")  # type: ignore[misc]
    orders = worker.lease.orders
    assert orders is not None
    assert (orders.settings_version, orders.settings.per_minute_limit) == (1, EAGER.per_minute_limit)
    assert await fleet.states() == {"sent": 6}
    assert len([it for it in caplog.messages if UNREADABLE in it]) == 1
    worker.stop()
    assert await running == DRAINED
    await fleet.adds_up()
    async with fleet.worker() as newer:
        await until(
            lambda: newer.report.readiness().reason.startswith(UNREADABLE), "nor does it call that no fleet"
        )
        await fleet.execute(
            LATER_RELEASE.replace("'per_minute_limit', 1", "'per_minute_limit', NULL"), ramp="None"
        )
        await fleet.mails("sent", 18)
        assert newer.report.readiness().ready
    await fleet.adds_up()


async def test_worker_1_without_an_operator_tells_of_settings_of_a_later_release_and_stays(
    fleet: Fleet,
) -> None:
    async with fleet.worker(wanted=WantedFleet(1, EAGER, "UTC")) as worker:
        await until(lambda: worker.report.readiness().ready, "the fleet")
        await fleet.execute(LATER_RELEASE, ramp="Later")
        coordinator = worker._coordinator
        assert coordinator is not None
        await until(lambda: (coordinator.trouble or "").startswith(UNREADABLE), "it says so")
        assert not worker.report.readiness().ready
