"""Three workers claim as fast as they may: no rolling window of the ledger ever holds more than the limit, and little is lost."""

from datetime import datetime, timedelta

import pytest

from tests.integration.limits.claimants import SHORT, claimants, hammer, limited
from tests.integration.limits.test_tokens import change
from tests.integration.limits.windows import claimed, fullest, some
from tests.integration.worker.fleet import Fleet
from warmup_core.limits import limit
from warmup_worker.claiming import Refusal


@pytest.mark.parametrize("count", [6, 80])
async def test_no_minute_of_the_fleet_holds_more_than_the_limit(fleet: Fleet, count: int) -> None:
    """field-009, its minute made 2 s: 6 of them, three workers, ten mailboxes each. And a limit with a burst to reserve ahead."""
    await fleet.start(limited(per_minute_limit=count), workers=3)
    ids = await fleet.enrol(30)
    await fleet.plan(2000)
    planned = limit(count, SHORT.minute, use_seconds=SHORT.token).per_second

    async def enough() -> bool:
        """All three take part, and for five seconds little is lost; the simulations say how little by rule."""
        numbers = await fleet.rows("SELECT DISTINCT number FROM mails")
        return len(numbers) == 3 and some(await claimed(fleet), 5.0, 0.6 * 5.0 * planned)

    async with claimants(fleet, 3) as workers:
        await hammer(fleet, workers, ids, 7.0, enough)
    assert fullest(await claimed(fleet), SHORT.minute) <= count
    reasons = {(it.reason, it.limit) for worker in workers for it in worker.refusals}
    assert (Refusal.LIMIT, "minute") in reasons
    assert reasons <= {(Refusal.LIMIT, "minute"), (Refusal.LATE, None)}


async def test_of_a_minute_and_an_hour_both_hold(fleet: Fleet) -> None:
    await fleet.start(limited(per_minute_limit=40, per_hour_limit=60), workers=2)
    ids = await fleet.enrol(20)
    await fleet.plan(2000)

    async def enough() -> bool:
        return some(await claimed(fleet), SHORT.hour, 30)

    async with claimants(fleet, 2) as workers:
        await hammer(fleet, workers, ids, 9.0, enough)
    instants = await claimed(fleet)
    assert fullest(instants, SHORT.minute) <= 40
    assert fullest(instants, SHORT.hour) <= 60


async def test_a_worker_keeps_its_own_limit_whatever_the_others_do(fleet: Fleet) -> None:
    await fleet.start(limited(per_worker_per_hour_limit=9), workers=3)
    ids = await fleet.enrol(12)
    await fleet.plan(2000)

    async def each() -> list[int]:
        of_each = [await claimed(fleet, "l.number = :n", n=number) for number in (1, 2, 3)]
        return [fullest(it, SHORT.hour) for it in of_each]

    async def enough() -> bool:
        return min(await each()) >= 6

    async with claimants(fleet, 3) as workers:
        await hammer(fleet, workers, ids, 8.0, enough)
    assert max(await each()) <= 9


@pytest.mark.parametrize(
    ("setting", "window", "scopes"),
    [
        ("per_user_per_hour_limit", SHORT.hour, [f"m.user_id = {n}" for n in (1, 2, 3)]),
        ("per_domain_per_day_limit", SHORT.day, [f"m.address LIKE '%@domain{n}.example'" for n in (0, 1, 2)]),
    ],
)
async def test_users_and_domains_keep_their_limits_across_workers(
    fleet: Fleet, setting: str, window: float, scopes: list[str]
) -> None:
    """The mailboxes of each lie at both workers."""
    await fleet.start(limited(**{setting: 8}), workers=2)
    ids = await fleet.enrol(24, users=3)
    await fleet.plan(2000)

    async def enough() -> bool:
        """Of every scope, and each worker took part: who comes first to a token is nobody's promise."""
        return all([some(await claimed(fleet, it), window, 5) for it in scopes]) and all(
            it.refusals for it in workers
        )

    async with claimants(fleet, 2) as workers:
        await hammer(fleet, workers, ids, 7.0, enough)
    for scope in scopes:
        assert fullest(await claimed(fleet, scope), window) <= 8
    limits = {it.limit for worker in workers for it in worker.refusals if it.limit}
    assert limits == {setting.split("_")[1]}


async def test_a_mailbox_keeps_its_providers_limit_in_every_rolling_day(fleet: Fleet) -> None:
    await fleet.start(limited(per_mailbox_per_day_limits={"127.0.0.1": 5}), workers=2)
    ids = await fleet.enrol(4)
    await fleet.plan(2000)

    async def each() -> list[list[datetime]]:
        return [await claimed(fleet, "l.mailbox_id = :m", m=mailbox) for mailbox in ids]

    async def enough() -> bool:
        return all(len(it) >= 10 and some(it, SHORT.day, 5) for it in await each())

    async with claimants(fleet, 2) as workers:
        await hammer(fleet, workers, ids, 9.0, enough)
    assert max(fullest(it, SHORT.day) for it in await each()) <= 5
    assert {it.limit for worker in workers for it in worker.refusals if it.limit} == {"provider"}


async def test_a_limit_lowered_while_workers_run_holds_within_five_seconds(fleet: Fleet) -> None:
    """The real heartbeat is 2 s; here all constants are a tenth, so it is half a second: no token of before lives longer, and
    none is granted under the old limit."""
    await fleet.start(limited(per_minute_limit=120), workers=3)
    ids = await fleet.enrol(30)
    await fleet.plan(2000)

    async def many() -> bool:
        return some(await claimed(fleet), SHORT.minute, 21)

    async def after(at: datetime) -> list[datetime]:
        return [it for it in await claimed(fleet) if it >= at + timedelta(seconds=0.5)]

    async with claimants(fleet, 3) as workers:
        await hammer(fleet, workers, ids, 3.0, many)
        await change(fleet, per_minute_limit=10)
        (row,) = await fleet.rows("SELECT clock_timestamp() AS at")

        async def few() -> bool:
            return some(await after(row.at), SHORT.minute, 5)

        await hammer(fleet, workers, ids, 7.0, few)
    assert fullest(await after(row.at), SHORT.minute) <= 10


async def test_a_limit_taken_away_sets_the_workers_free(fleet: Fleet) -> None:
    await fleet.start(limited(per_minute_limit=4), workers=1)
    ids = await fleet.enrol(10)
    await fleet.plan(2000)
    async with claimants(fleet, 1) as workers:

        async def some_came() -> bool:
            return bool(await claimed(fleet))

        await hammer(fleet, workers, ids, 1.0, some_came)
        before = await claimed(fleet)
        assert fullest(before, SHORT.minute) <= 4
        await fleet.execute(
            "UPDATE fleet SET settings_version = settings_version + 1,"
            " settings = settings || '{\"per_minute_limit\": null}'"
        )

        async def freed() -> bool:
            return some((await claimed(fleet))[len(before) :], SHORT.minute, 11)

        await hammer(fleet, workers, ids, 0.0, freed)
