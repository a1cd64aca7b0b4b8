"""SIGTERM and its kin: what is dotted is awaited, what is not is handed back, what nobody answers ends in doubt."""

import asyncio
import time
from dataclasses import replace

from tests.integration.worker.fleet import EAGER, PATIENT, Fleet
from tests.submission import faults
from tests.submission.faults import Step
from tests.waiting import until
from warmup_worker.engine import DRAINED, FAILED, Engine


async def test_replies_to_the_dot_are_awaited_and_nothing_new_begins(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(4)
    let_go = asyncio.Event()
    fleet.server.faults[Step.REPLY] = faults.hold(let_go)
    worker = Engine(fleet.settings(), "client.example")
    running = asyncio.create_task(worker.run())
    await fleet.server.journal.until("accepted", 4)
    worker.stop()
    worker.stop()  # a second signal changes nothing
    await asyncio.sleep(PATIENT.hand_back + 0.3)
    assert worker.report.readiness().reason == "Draining: this worker ends."
    assert not running.done()
    let_go.set()
    assert await running == DRAINED
    assert await fleet.states() == {"sent": 4}
    await fleet.adds_up()
    (row,) = await fleet.rows("SELECT lease_until <= clock_timestamp() AS released FROM workers")
    assert row.released


async def test_what_is_not_dotted_is_handed_back(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(4)
    fleet.server.faults[Step.DATA] = faults.silence
    worker = Engine(fleet.settings(), "client.example")
    running = asyncio.create_task(worker.run())
    await fleet.server.journal.until("mail-from", 4)
    started = time.monotonic()
    worker.stop()
    assert await running == DRAINED
    assert time.monotonic() - started < PATIENT.dialogue
    rows = await fleet.rows("SELECT state, phase, reply FROM mails")
    assert {tuple(row) for row in rows} == {("failed", "claim", "handed back: shutdown")}
    assert {row.spent for row in await fleet.rows("SELECT spent FROM quotas")} == {0}
    assert (
        await fleet.rows("SELECT 1 FROM mailboxes WHERE in_flight IS NOT NULL OR hold_reason IS NOT NULL")
        == []
    )


async def test_what_nobody_answers_within_the_grace_ends_in_doubt(fleet: Fleet) -> None:
    """field-004: the worker stops waiting in time and says so."""
    await fleet.start()
    await fleet.enrol(3)
    fleet.server.faults[Step.REPLY] = faults.silence
    timing = replace(PATIENT, margin=60.0)  # kept for writing, which a stall may make long
    worker = Engine(fleet.settings(timing=timing, grace_seconds=timing.margin + 1), "client.example")
    running = asyncio.create_task(worker.run())
    await fleet.server.journal.until("accepted", 3)
    started = time.monotonic()
    worker.stop()
    assert await running == DRAINED
    assert time.monotonic() - started < PATIENT.reply, "it did not wait for the replies"
    rows = await fleet.rows("SELECT state, reply FROM mails")
    assert {tuple(row) for row in rows} == {("in_doubt", "shutdown: the reply to the dot was not awaited")}
    await fleet.adds_up()


async def test_a_stop_in_the_middle_of_everything_loses_nothing(fleet: Fleet) -> None:
    """Stopped at arbitrary moments again and again, the ledger and the server still agree and all is sent once."""
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 6, "max_concurrent_sends": 5}))
    await fleet.enrol(10)
    fleet.server.faults[Step.DOT] = faults.delay(0.02)
    for moment in range(12):
        worker = Engine(fleet.settings(), "client.example")
        running = asyncio.create_task(worker.run())
        account = worker.report.account
        await until(lambda account=account: account().mailboxes == 10, "the shard is read")  # type: ignore[misc]
        await asyncio.sleep(0.013 * moment)
        worker.stop()
        assert await running == DRAINED
        assert (await fleet.states()).get("intent", 0) == 0
        await fleet.adds_up()
    async with fleet.worker():
        await fleet.mails("sent", 60)
    await fleet.adds_up()
    assert len(fleet.server.journal.accepted) == 60


async def test_a_part_that_dies_ends_the_worker_loudly_and_drained(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(4)
    let_go = asyncio.Event()
    fleet.server.faults[Step.REPLY] = faults.hold(let_go)
    worker = Engine(fleet.settings(), "client.example")
    running = asyncio.create_task(worker.run())
    await fleet.server.journal.until("accepted", 4)
    for task in asyncio.all_tasks():
        if task.get_name() == "outcomes":
            task.cancel()
    await until(lambda: worker.report.draining, "it drains")
    let_go.set()
    assert await running == FAILED
    assert await fleet.states() == {"sent": 4}
