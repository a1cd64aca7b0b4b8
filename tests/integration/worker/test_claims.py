"""A claim: one open intent a mailbox, the quota never passed, only the newest process of a number, a reason for each no."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from tests.integration.worker.fleet import EAGER, Fleet
from tests.waiting import until
from warmup_core.types import MailState
from warmup_worker import claiming, settling
from warmup_worker.claiming import Ask, Claim, Refusal
from warmup_worker.clock import boottime
from warmup_worker.connection import Database
from warmup_worker.lease import Identity
from warmup_worker.settling import Outcome

EPOCH = 1


async def claim(
    database: Database, me: Identity, asks: Sequence[Ask], epoch: int = EPOCH, claim_seconds: float = 60.0
) -> list[Claim]:
    async with database.transaction() as connection:
        return await claiming.claim(connection, me, epoch, asks, claim_seconds, boottime())


async def why_not(database: Database, me: Identity, ask: Ask, epoch: int = EPOCH) -> Refusal:
    assert await claim(database, me, [ask], epoch) == []
    async with database.transaction() as connection:
        day = await connection.scalar(text("SELECT fleet_day()"))
        return (await claiming.explain(connection, me, epoch, [ask], day))[0].reason


def asks_of(ids: Sequence[int], cooldown_ms: int = 0) -> list[Ask]:
    return [Ask(one, other, cooldown_ms) for one, other in zip(ids, [*ids[1:], ids[0]], strict=True)]


async def end(database: Database, me: Identity, claims: Sequence[Claim]) -> None:
    """Settle claims as sent; their mailboxes may claim again at once."""
    outcomes = [
        Outcome(it.mailbox_id, it.day, it.mail_id, MailState.SENT, "dot", "250 ok", rest_ms=0)
        for it in claims
    ]
    async with database.transaction() as connection:
        await settling.settle(connection, me.incarnation, outcomes)


async def test_a_claim_spends_the_quota_and_writes_its_intent(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    ids = await fleet.enrol(2)
    await fleet.plan(2)
    me = await fleet.register()
    (granted,) = await claim(worker_database, me, [Ask(ids[0], ids[1], 5000)], claim_seconds=60)
    assert (granted.mailbox_id, granted.k, granted.recipient, granted.day) == (
        ids[0],
        0,
        "box1@domain1.example",
        fleet.day,
    )
    (row,) = await fleet.rows(
        "SELECT m.in_flight, q.spent, l.state, l.claimed_at, l.number, l.incarnation, l.epoch,"
        " extract(epoch FROM m.not_before - l.claimed_at) AS rest"
        " FROM mailboxes m JOIN quotas q ON q.mailbox_id = m.id JOIN mails l ON l.mailbox_id = m.id"
    )
    assert (row.in_flight, row.spent, row.state) == (granted.mail_id, 1, "intent")
    assert (row.number, row.incarnation, row.epoch) == (me.number, me.incarnation, EPOCH)
    assert (row.claimed_at, row.rest) == (granted.claimed_at, 65)


async def test_many_claimers_of_the_same_mailboxes_never_hold_one_twice_nor_pass_the_quota(
    fleet: Fleet, worker_database: Database
) -> None:
    """Two connections claim the same mailboxes in opposite orders, again and again, while a third settles what is open."""
    await fleet.start()
    ids = await fleet.enrol(12)
    await fleet.plan(4)
    me = await fleet.register()
    granted: list[Claim] = []
    done = asyncio.Event()

    async def claimer(order: Sequence[int]) -> None:
        while not done.is_set():
            granted.extend(
                await claim(worker_database, me, asks_of(order), claim_seconds=0)
            )  # no rest guards

    async def ender() -> None:
        settled = 0
        while settled < 4 * len(ids):
            await asyncio.sleep(0)
            fresh = granted[settled:]
            await end(worker_database, me, fresh)
            settled += len(fresh)
        done.set()

    async with asyncio.timeout(300):
        await asyncio.gather(claimer(ids), claimer(ids[::-1]), ender())
    assert await claim(worker_database, me, asks_of(ids)) == []
    keys = [(one.day, one.mail_id) for one in granted]
    assert len(set(keys)) == len(keys) == 48
    assert sorted((one.mailbox_id, one.k) for one in granted) == [(one, k) for one in ids for k in range(4)]
    assert {(row.quota, row.spent, row.sent) for row in await fleet.rows("SELECT * FROM quotas")} == {
        (4, 4, 4)
    }


async def test_a_claim_that_waited_for_another_sees_its_mailbox_taken(
    fleet: Fleet, worker_database: Database
) -> None:
    """READ COMMITTED: the second claimer blocks on the row, and must look at it again with the first one's changes."""
    await fleet.start()
    ids = await fleet.enrol(2)
    await fleet.plan(5)
    me = await fleet.register()
    ask = [Ask(ids[0], ids[1], 0)]
    async with worker_database.transaction() as first:
        assert len(await claiming.claim(first, me, EPOCH, ask, 0, boottime())) == 1
        second = asyncio.create_task(claim(worker_database, me, ask))
        await until(fleet.waits_for_a_lock, "the second waits")
    assert await second == []
    assert [
        row.spent for row in await fleet.rows("SELECT spent FROM quotas WHERE mailbox_id = :m", m=ids[0])
    ] == [1]
    assert (await fleet.states()) == {"intent": 1}


async def test_the_last_of_a_quota_is_granted_once_even_when_the_mailbox_is_freed_in_between(
    fleet: Fleet, worker_database: Database
) -> None:
    """The second claimer wakes to a free mailbox whose quota the first one has used up meanwhile."""
    await fleet.start()
    ids = await fleet.enrol(2)
    await fleet.plan(1)
    me = await fleet.register()
    ask = [Ask(ids[0], ids[1], 0)]
    async with worker_database.transaction() as first:
        (granted,) = await claiming.claim(first, me, EPOCH, ask, 60, boottime())
        second = asyncio.create_task(claim(worker_database, me, ask))
        await until(fleet.waits_for_a_lock, "the second waits")

        await first.execute(text("UPDATE mailboxes SET in_flight = NULL, not_before = '-infinity'"))
        await first.execute(text("UPDATE mails SET state = 'sent', settled_at = clock_timestamp()"))
    assert granted.k == 0
    assert await second == []


async def test_the_newest_process_of_a_number_claims_at_once_and_the_older_is_refused(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    ids = await fleet.enrol(4)
    await fleet.plan(3)
    older = await fleet.register()
    assert len(await claim(worker_database, older, asks_of(ids)[:1])) == 1
    newer = await fleet.register()
    assert newer.incarnation > older.incarnation
    assert await why_not(worker_database, older, asks_of(ids)[1]) is Refusal.REPLACED
    # What the older one has in flight the newer waits for; everything else is free at once.
    assert await why_not(worker_database, newer, asks_of(ids)[0]) is Refusal.IN_FLIGHT
    assert len(await claim(worker_database, newer, asks_of(ids)[1:])) == 3


async def test_after_a_resize_the_old_owner_is_refused_and_the_new_one_waits_only_for_what_is_in_flight(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start(workers=1)
    ids = await fleet.enrol(4)
    await fleet.plan(3)
    first, second = await fleet.register(1), await fleet.register(2)
    moving = [one for one in ids if one % 2 == 1]  # worker 2 of 2 owns the odd ids
    asks = {ask.mailbox_id: ask for ask in asks_of(ids)}
    begun = await claim(worker_database, first, [asks[moving[0]]])
    assert len(begun) == 1
    await fleet.execute("UPDATE fleet SET epoch = 2, worker_count = 2")
    assert await why_not(worker_database, first, asks[moving[1]], epoch=1) is Refusal.EPOCH
    assert await why_not(worker_database, first, asks[moving[1]], epoch=2) is Refusal.NOT_MINE
    assert await why_not(worker_database, second, asks[moving[0]], epoch=2) is Refusal.IN_FLIGHT
    assert len(await claim(worker_database, second, [asks[moving[1]]], epoch=2)) == 1
    await end(worker_database, first, begun)  # no epoch is asked: what it began it may end
    assert len(await claim(worker_database, second, [asks[moving[0]]], epoch=2)) == 1


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE fleet SET paused = true", Refusal.PAUSED),
        ("UPDATE fleet SET deleted = true", Refusal.NO_FLEET),
        ("UPDATE fleet SET epoch = epoch + 1", Refusal.EPOCH),
        ("UPDATE fleet SET worker_count = 0", Refusal.NOT_MINE),
        ("DELETE FROM workers", Refusal.REPLACED),
        ("UPDATE mailboxes SET active = false WHERE id = 1", Refusal.INACTIVE),
        ("UPDATE mailboxes SET in_flight = 7 WHERE id = 1", Refusal.IN_FLIGHT),
        ("UPDATE mailboxes SET not_before = now() + interval '1 hour' WHERE id = 1", Refusal.COOLDOWN),
        ("DELETE FROM quotas", Refusal.UNPLANNED),
        ("UPDATE quotas SET spent = quota", Refusal.QUOTA),
        ("UPDATE mailboxes SET active = false WHERE id = 2", Refusal.RECIPIENT),
    ],
)
async def test_each_refusal_has_its_reason_and_leaves_nothing_behind(
    fleet: Fleet, worker_database: Database, statement: str, reason: Refusal
) -> None:
    await fleet.start()
    assert await fleet.enrol(2) == [1, 2]
    await fleet.plan(3)
    me = await fleet.register()
    await fleet.execute(statement)
    assert await why_not(worker_database, me, Ask(1, 2, 0)) is reason
    assert await fleet.states() == {}


async def test_nobody_writes_to_himself(fleet: Fleet, worker_database: Database) -> None:
    await fleet.start()
    await fleet.enrol(2)
    await fleet.plan(3)
    assert await why_not(worker_database, await fleet.register(), Ask(1, 1, 0)) is Refusal.RECIPIENT


async def test_yesterdays_quota_does_not_serve_today(fleet: Fleet, worker_database: Database) -> None:
    await fleet.start(EAGER)
    await fleet.enrol(2)
    await fleet.execute(
        "INSERT INTO quotas (day, mailbox_id, quota) SELECT fleet_day() - 1, id, 9 FROM mailboxes"
    )
    assert await why_not(worker_database, await fleet.register(), Ask(1, 2, 0)) is Refusal.UNPLANNED
