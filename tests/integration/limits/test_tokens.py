"""A token is good until its ``use_by`` by the database's clock; no wait, freeze or crash makes it good for longer or for two."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import text

from tests.integration.limits.claimants import SHORT, claimants, limited
from tests.integration.worker.fleet import Fleet
from tests.waiting import until
from warmup_worker import claiming
from warmup_worker.claiming import Ask, Claim
from warmup_worker.clock import boottime
from warmup_worker.connection import Database
from warmup_worker.lease import Identity

LASTING = replace(SHORT, token=20.0)
"""Tokens that no slow machine lets go stale: what becomes of them is then said by the worker alone."""


async def now(fleet: Fleet) -> datetime:
    (row,) = await fleet.rows("SELECT clock_timestamp() AS at")
    at: datetime = row.at
    return at


async def claim(database: Database, me: Identity, ask: Ask, use_by: datetime | None) -> list[Claim]:
    async with database.transaction(120.0) as connection:
        return await claiming.claim(connection, me, 1, [ask], 60.0, boottime(), use_bys=[use_by])


@asynccontextmanager
async def locked(fleet: Fleet, statement: str) -> AsyncIterator[None]:
    """Hold the locks of a statement."""
    async with fleet.engine.begin() as connection:
        await connection.execute(text(statement))
        yield


async def test_a_token_is_good_until_its_use_by_and_not_after(
    fleet: Fleet, worker_database: Database
) -> None:
    await fleet.start()
    one, two = await fleet.enrol(2)
    await fleet.plan(2)
    me = await fleet.register()
    assert await claim(worker_database, me, Ask(one, two, 0), await now(fleet)) == []
    later = await now(fleet) + timedelta(seconds=120)
    (granted,) = await claim(worker_database, me, Ask(one, two, 0), later)
    assert granted.claimed_at <= later


async def test_a_claim_that_waits_for_a_lock_past_its_use_by_is_not_made(
    fleet: Fleet, worker_database: Database
) -> None:
    """The statement began in time; what counts is the instant that the ledger shows."""
    await fleet.start()
    one, two = await fleet.enrol(2)
    await fleet.plan(2)
    me = await fleet.register()
    for seconds in (1, 5, 20):  # until it waits in time, whatever the machine does meanwhile
        use_by = await now(fleet) + timedelta(seconds=seconds)
        async with locked(fleet, f"SELECT FROM mailboxes WHERE id = {one} FOR UPDATE"):
            waiting = asyncio.create_task(claim(worker_database, me, Ask(one, two, 0), use_by))
            await until(fleet.waits_for_a_lock, "the claim waits for the lock")
            in_time = await now(fleet) < use_by
            await until(lambda use_by=use_by: later_than(fleet, use_by), "the token is too old")  # type: ignore[misc]
        assert await waiting == []
        if in_time:
            break
    assert in_time
    assert await fleet.states() == {}
    assert len(await claim(worker_database, me, Ask(one, two, 0), None)) == 1


async def later_than(fleet: Fleet, instant: datetime) -> bool:
    return await now(fleet) > instant


async def test_what_a_worker_holds_beyond_its_claims_goes_stale_and_is_never_given_twice(
    fleet: Fleet,
) -> None:
    """A process that is gone with tokens in hand: its bucket stays as it left it."""
    await fleet.start(limited(per_minute_limit=4), workers=1)
    ids = await fleet.enrol(3)
    await fleet.plan(2000)
    async with claimants(fleet, 1) as (first,):
        assert first.lease.orders is not None
        held = await first.limits.take(3, first.lease.orders)
        assert len(held.use_bys) == 1  # a burst of 1: the rest waits
        await first.granted(fleet, ids[0], ids[1])
        (before,) = await fleet.rows("SELECT tat FROM rate_limits WHERE scope = 'fleet/minute'")
    async with claimants(fleet, 1) as (second,):
        await second.granted(fleet, ids[1], ids[0])
        (after,) = await fleet.rows("SELECT tat FROM rate_limits WHERE scope = 'fleet/minute'")
    step = second.limits.buckets[0].limit.step_us / 1e6
    assert (after.tat - before.tat).total_seconds() >= step - 1e-6
    (gap,) = await fleet.rows("SELECT max(claimed_at) - min(claimed_at) AS between FROM mails")
    assert gap.between.total_seconds() >= step - SHORT.token


async def test_a_refused_claim_gives_its_token_back_and_a_lost_one_does_not(fleet: Fleet) -> None:
    await fleet.start(limited(per_minute_limit=200), workers=1)
    ids = await fleet.enrol(2)
    await fleet.plan(2000)
    async with claimants(fleet, 1, LASTING) as (it,):
        orders = it.lease.orders
        assert orders is not None
        tokens = await it.limits.take(3, orders)
        assert len(tokens.use_bys) == 3
        it.limits.give_back(tokens.use_bys[:2])
        (before,) = await fleet.rows("SELECT tat FROM rate_limits")
        again = await it.limits.take(2, orders)
        (after,) = await fleet.rows("SELECT tat FROM rate_limits")
        assert again.use_bys == tokens.use_bys[:2]
        assert before.tat == after.tat, "nothing was reserved for them"
        await fleet.execute("UPDATE mailboxes SET active = false WHERE id = :m", m=ids[0])
        refused = await it.ask(fleet, ids[0], ids[1])
        assert not isinstance(refused, Claim)
        (row,) = await fleet.rows("SELECT tat FROM rate_limits")
        await it.limits.take(1, orders)
        assert (await fleet.rows("SELECT tat FROM rate_limits"))[0].tat == row.tat


async def test_tokens_of_a_limit_that_fell_are_dropped(fleet: Fleet) -> None:
    await fleet.start(limited(per_minute_limit=200), workers=1)
    async with claimants(fleet, 1, LASTING) as (it,):
        orders = it.lease.orders
        assert orders is not None
        it.limits.give_back((await it.limits.take(5, orders)).use_bys)
        await change(fleet, per_minute_limit=100)
        await until(
            lambda: it.lease.orders and it.lease.orders.settings.per_minute_limit == 100, "the new limit"
        )
        (before,) = await fleet.rows("SELECT tat FROM rate_limits")

        async def taken() -> bool:
            assert it.lease.orders is not None
            return bool((await it.limits.take(1, it.lease.orders)).use_bys)

        await until(taken, "a token under the new limit")
        (after,) = await fleet.rows("SELECT tat FROM rate_limits")
        assert after.tat > before.tat, "a new one was reserved"


async def change(fleet: Fleet, **limits: int) -> None:
    """What the operator does when the manifest changes."""
    for name, count in limits.items():
        await fleet.execute(
            "UPDATE fleet SET settings_version = settings_version + 1,"
            " settings = settings || jsonb_build_object(CAST(:name AS text), CAST(:count AS integer))",
            name=name,
            count=count,
        )


async def test_a_worker_that_has_not_heard_of_new_settings_reserves_nothing(fleet: Fleet) -> None:
    await fleet.start(limited(per_minute_limit=200), workers=1)
    async with claimants(fleet, 1) as (it,):
        orders = it.lease.orders
        assert orders is not None
        await change(fleet, per_minute_limit=100)
        assert (await it.limits.take(5, orders)).use_bys == []
