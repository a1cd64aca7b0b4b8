"""A worker sends what is due, once each, and says about everything else why it is not sent."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.integration.worker.fleet import EAGER, PATIENT, Fleet
from tests.ports import free_port
from tests.submission import faults
from tests.submission.faults import Exchange, Step
from tests.waiting import until
from warmup_core import partitions
from warmup_core.ledger import parse_message_id
from warmup_core.planning import Planner
from warmup_worker import roster
from warmup_worker.connection import Database
from warmup_worker.engine import Engine
from warmup_worker.roster import Portion


async def test_every_due_mail_is_sent_once_and_accounted_for(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(10)
    async with fleet.worker() as worker:
        await fleet.mails("sent", 30)
        await until(lambda: worker.report.account().met == 10, "all quotas met")
        account = worker.report.account()
    await fleet.adds_up()
    assert (account.mailboxes, account.due, account.sent, account.in_flight, account.behind) == (
        10,
        30,
        30,
        0,
        0,
    )
    assert account.reasons == {"quota met": 10}
    accepted = fleet.server.journal.accepted
    assert len(accepted) == 30
    names = [parse_message_id(event.message_id or "") for event in accepted]
    assert all(name is not None and (name.token, name.day) == ("t0ken", fleet.day) for name in names)
    assert all(event.mail_from not in event.rcpt_to for event in accepted)


async def test_everybody_receives_as_many_mails_as_anybody_and_none_from_his_own_user(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(10, users=2)
    async with fleet.worker():
        await fleet.mails("sent", 30)
    received = await fleet.rows(
        "SELECT recipient_id, count(*) AS n, count(*) FILTER (WHERE s.user_id = r.user_id) AS own FROM mails l"
        " JOIN mailboxes s ON s.id = l.mailbox_id JOIN mailboxes r ON r.id = l.recipient_id GROUP BY 1"
    )
    assert [(row.n, row.own) for row in received] == [(3, 0)] * 10


async def test_the_row_of_a_worker_says_how_long_sends_take_and_keeps_it_over_a_restart(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(10)
    reply = 0.15
    fleet.server.faults[Step.REPLY] = faults.delay(reply)

    async def measured() -> tuple[float, float] | None:
        rows = await fleet.rows("SELECT send_seconds, sends_per_second FROM workers WHERE send_seconds > 0")
        return (rows[0].send_seconds, rows[0].sends_per_second) if rows else None

    async with fleet.worker():
        await fleet.mails("sent", 30)
        await until(measured, "the heartbeat has told what was measured")
    seconds, rate = await measured() or (0, 0)
    assert seconds >= reply
    half = EAGER.max_concurrent_sends / 2  # all of its mailboxes are at one host
    assert rate == pytest.approx(half / seconds)
    async with fleet.worker() as worker:
        await until(lambda: worker.lease.orders, "a heartbeat")
        assert await measured() == (seconds, rate)


async def test_two_workers_share_the_mailboxes_by_their_numbers(fleet: Fleet) -> None:
    await fleet.start(workers=2)
    await fleet.enrol(9)
    async with fleet.worker(1), fleet.worker(2):
        await fleet.mails("sent", 27)
    await fleet.adds_up()
    for row in await fleet.rows("SELECT DISTINCT mailbox_id, number FROM mails"):
        assert row.mailbox_id % 2 == row.number - 1


async def test_a_cooldown_keeps_a_mailbox_quiet_from_claim_to_claim(fleet: Fleet) -> None:
    await fleet.start(EAGER.model_copy(update={"cooldown_min_ms": 700, "cooldown_max_ms": 900}))
    await fleet.enrol(3)
    async with fleet.worker():
        await fleet.mails("sent", 9)
    gaps = await fleet.rows(
        "SELECT min(gap) AS shortest FROM (SELECT claimed_at - lag(dot_at) OVER (PARTITION BY mailbox_id ORDER BY k)"
        " AS gap FROM mails) g"
    )
    assert gaps[0].shortest.total_seconds() >= 0.7


async def test_mails_in_flight_never_exceed_the_slots(fleet: Fleet) -> None:
    most = now = 0
    full = asyncio.Event()

    async def count(_: Exchange) -> str | None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        if most >= 4:
            full.set()
        with suppress(TimeoutError):  # the first wait for each other, however slowly they come
            await asyncio.wait_for(full.wait(), 30)
        await asyncio.sleep(0.05)
        now -= 1
        return None

    fleet.server.faults[Step.REPLY] = count
    await fleet.start(EAGER.model_copy(update={"max_concurrent_sends": 4}))
    await fleet.enrol(6)
    await fleet.enrol(6, smtp_host="localhost")  # one host alone gets half of the slots
    async with fleet.worker():
        await fleet.mails("sent", 36)
    assert most == 4


async def test_a_refused_mail_gives_its_quota_back_and_its_mailbox_rests_with_the_reason(
    fleet: Fleet,
) -> None:
    await fleet.start()
    await fleet.enrol(2)
    fleet.server.faults[Step.RCPT] = faults.only(
        lambda it: it.mail_from == "box0@domain0.example", faults.refuse("550 5.7.1 Rejected")
    )
    async with fleet.worker() as worker:
        await fleet.mails("sent", 3)
        await fleet.mails("failed", 1)
        await until(
            lambda: worker.report.account().reasons == {"deferred: permanent": 1, "quota met": 1},
            "the reasons",
        )
        account = worker.report.account()
    await fleet.adds_up()
    assert (account.deferred, account.failed, account.sent) == (3, 1, 3)
    (row,) = await fleet.rows(
        "SELECT hold_reason, not_before > l.settled_at + interval '40 s' AS rests, in_flight FROM mailboxes m"
        " JOIN mails l ON l.mailbox_id = m.id AND l.state = 'failed' WHERE address = 'box0@domain0.example'"
    )
    assert row.hold_reason == (
        "permanent: refused for good, without a reason that we know; the server said: 550 5.7.1 Rejected"
    )
    assert (row.rests, row.in_flight) == (True, None)


async def test_a_server_that_cannot_be_reached_costs_no_quota_and_says_why(fleet: Fleet) -> None:
    """field-005: attempts are no mails."""
    port = free_port()
    await fleet.start()
    await fleet.enrol(3, smtp_port=port)
    async with fleet.worker() as worker:
        await until(lambda: worker.report.account().reasons.get("deferred: connect") == 3, "three deferred")
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL HAVING count(*) = 3"),
            "the reasons in the table",
        )
    assert await fleet.states() == {}
    assert {(row.spent, row.failed) for row in await fleet.rows("SELECT * FROM quotas")} == {(0, 0)}
    (reason,) = {row.hold_reason for row in await fleet.rows("SELECT hold_reason FROM mailboxes")}
    assert reason == f"connect: connection refused 127.0.0.1:{port}"


async def test_wrong_passwords_and_lost_keys_are_told_apart(fleet: Fleet) -> None:
    await fleet.start()
    ids = await fleet.enrol(4)
    await fleet.execute("DELETE FROM credentials WHERE mailbox_id = :m", m=ids[0])
    await fleet.execute("UPDATE credentials SET key_id = 'lost' WHERE mailbox_id = :m", m=ids[1])
    fleet.server.accounts = lambda login, _: login if login == "box3@domain0.example" else None
    async with fleet.worker():
        await fleet.mails("sent", 3)
        await until(
            lambda: fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL HAVING count(*) = 3"),
            "three reasons",
        )
    reasons = [row.hold_reason for row in await fleet.rows("SELECT hold_reason FROM mailboxes ORDER BY id")]
    assert reasons == [
        "credential: none is stored; import the mailbox again",
        "credential: the credential is under key 'lost', the keys Secret holds ['first']",
        "bad-credentials: the login is wrong, or the provider wants an app password: give new credentials;"
        " the server said: 535 5.7.8 Authentication credentials invalid",
        None,
    ]


async def test_a_mailbox_alone_in_the_pool_says_so(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.enrol(1)
    async with fleet.worker() as worker:
        await until(lambda: worker.report.account().reasons == {"no recipient": 1}, "no recipient")
        assert worker.report.account().skipped == 3


async def test_a_claim_that_took_too_long_is_handed_back(fleet: Fleet) -> None:
    """Its statement waited for a lock: granted, but too old for MAIL FROM. Both may have waited, or only who asked first."""
    await fleet.start()
    await fleet.enrol(2)
    await fleet.plan(3)
    timing = replace(
        PATIENT, claim_to_mail=2.0, token=30.0
    )  # a rate token of the usual life would be too old as well
    async with fleet.engine.begin() as connection:
        await connection.execute(text("SELECT FROM mailboxes FOR UPDATE"))
        worker = Engine(fleet.settings(timing=timing), "client.example")
        running = asyncio.create_task(worker.run())
        await until(fleet.waits_for_a_lock, "a claim waits")
        await asyncio.sleep(1.1 * timing.claim_to_mail)
    await fleet.mails("failed", 1)
    await fleet.mails("sent", 6)
    worker.stop()
    assert await running == 0
    replies = [row.reply for row in await fleet.rows("SELECT reply FROM mails WHERE state = 'failed'")]
    assert replies
    assert all("before MAIL FROM" in reply for reply in replies)
    await fleet.adds_up()


async def test_a_day_without_its_partitions_is_sent_all_the_same_and_moved_later(fleet: Fleet) -> None:
    """F28: its rows wait in the default partitions, and an upkeep moves them while mails are in flight."""
    await fleet.start()
    await fleet.enrol(6)
    for table in partitions.PARTITIONED:
        await fleet.execute(f"DROP TABLE {partitions.name_of(table, fleet.day)}")
    fleet.server.faults[Step.REPLY] = faults.delay(0.2)
    async with fleet.worker():
        await fleet.mails("sent", 6)

        rescued = 0

        async def kept() -> bool:  # where a lock was not to be had in time, the next upkeep tries again
            nonlocal rescued
            with suppress(DBAPIError):
                done = await partitions.upkeep(fleet.engine.begin, fleet.day, 90)
                rescued += done.rescued
                return not done.failed
            return False

        await until(kept, "an upkeep moves them")
        assert rescued > 0
        await fleet.mails("sent", 18)
    for table in partitions.PARTITIONED:
        assert not await fleet.rows(f"SELECT 1 FROM {table}_default")
    await fleet.adds_up()


async def test_a_shard_of_many_pages_is_read_whole_and_only_its_own(
    fleet: Fleet, worker_database: Database
) -> None:
    """Ids with a gap, two workers, more mailboxes than a page holds."""
    await fleet.start()
    (first,) = await fleet.enrol(1)
    await fleet.execute(
        "INSERT INTO mailboxes (id, user_id, address, smtp_host, smtp_port, smtp_security)"
        " SELECT CASE WHEN n < 3000 THEN n ELSE n * 1000 END, user_id, 'm' || n || '@x.example', 'h', 25, 'tls'"
        " FROM mailboxes, generate_series(2, 5000) n WHERE mailboxes.id = :first",
        first=first,
    )
    seen: list[int] = []
    for number in (1, 2):
        seven = EAGER.model_copy(update={"emails_per_mailbox_per_day": 7})
        portion = Portion(number, 2, Planner(fleet.day, "UTC", seven))
        async for page in roster.everything(worker_database, portion):
            assert all(row.id % 2 == number - 1 and row.quota == 7 for row in page)
            seen += [row.id for row in page]
    assert len(seen) == len(set(seen)) == 5000
    assert {row.quota for row in await fleet.rows("SELECT quota FROM quotas")} == {7}
    await fleet.execute("UPDATE quotas SET spent = 5 WHERE mailbox_id = 2")
    async with worker_database.transaction() as connection:
        rows = await roster.named(connection, Portion(1, 1, Planner(fleet.day, "UTC", EAGER)), [2, 3, 3001])
    assert [(row.id, row.quota) for row in rows] == [(2, 5), (3, 3)], "never below what is spent"
