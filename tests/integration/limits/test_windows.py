"""Three workers claim as fast as they may: no rolling window of the ledger ever holds more than the limit, and little is lost."""

from datetime import timedelta

import pytest

from tests.integration.limits.claimants import SHORT, claimants, hammer, limited
from tests.integration.limits.test_tokens import change
from tests.integration.limits.windows import claimed, fullest
from tests.integration.worker.fleet import Fleet
from warmup_core.limits import limit
from warmup_worker.claiming import Refusal


@pytest.mark.parametrize("count", [6, 80])
async def test_no_minute_of_the_fleet_holds_more_than_the_limit(fleet: Fleet, count: int) -> None:
    """field-009, its minute made 2 s: 6 of them, three workers, ten mailboxes each. And a limit with a burst to reserve ahead."""
    await fleet.start(limited(per_minute_limit=count), workers=3)
    ids = await fleet.enrol(30)
    await fleet.plan(2000)
    async with claimants(fleet, 3) as workers:
        await hammer(fleet, workers, ids, 7.0)
    instants = await claimed(fleet)
    assert fullest(instants, SHORT.minute) <= count
    span = (instants[-1] - instants[0]).total_seconds()
    planned = limit(count, SHORT.minute, use_seconds=SHORT.token).per_second * span
    assert len(instants) >= 0.6 * planned  # as the machine allows; the simulations say what is lost by rule
    assert {row.number for row in await fleet.rows("SELECT DISTINCT number FROM mails")} == {1, 2, 3}
    reasons = {(it.reason, it.limit) for worker in workers for it in worker.refusals}
    assert (Refusal.LIMIT, "minute") in reasons
    assert reasons <= {(Refusal.LIMIT, "minute"), (Refusal.LATE, None)}


async def test_of_a_minute_and_an_hour_both_hold(fleet: Fleet) -> None:
    await fleet.start(limited(per_minute_limit=40, per_hour_limit=60), workers=2)
    ids = await fleet.enrol(20)
    await fleet.plan(2000)
    async with claimants(fleet, 2) as workers:
        await hammer(fleet, workers, ids, 9.0)
    instants = await claimed(fleet)
    assert fullest(instants, SHORT.minute) <= 40
    assert 30 <= fullest(instants, SHORT.hour) <= 60


async def test_a_worker_keeps_its_own_limit_whatever_the_others_do(fleet: Fleet) -> None:
    await fleet.start(limited(per_worker_per_hour_limit=9), workers=3)
    ids = await fleet.enrol(12)
    await fleet.plan(2000)
    async with claimants(fleet, 3) as workers:
        await hammer(fleet, workers, ids, 8.0)
    for number in (1, 2, 3):
        instants = await claimed(fleet, "l.number = :n", n=number)
        assert 6 <= fullest(instants, SHORT.hour) <= 9


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
    async with claimants(fleet, 2) as workers:
        await hammer(fleet, workers, ids, 7.0)
    for scope in scopes:
        assert 5 <= fullest(await claimed(fleet, scope), window) <= 8
    for worker in workers:  # each took part: who comes first to a token is nobody's promise
        assert {it.limit for it in worker.refusals if it.limit} == {setting.split("_")[1]}


async def test_a_mailbox_keeps_its_providers_limit_in_every_rolling_day(fleet: Fleet) -> None:
    await fleet.start(limited(per_mailbox_per_day_limits={"127.0.0.1": 5}), workers=2)
    ids = await fleet.enrol(4)
    await fleet.plan(2000)
    async with claimants(fleet, 2) as workers:
        await hammer(fleet, workers, ids, 9.0)
    for mailbox in ids:
        instants = await claimed(fleet, "l.mailbox_id = :m", m=mailbox)
        assert fullest(instants, SHORT.day) == 5
        assert len(instants) >= 10
    assert {it.limit for worker in workers for it in worker.refusals if it.limit} == {"provider"}


async def test_a_limit_lowered_while_workers_run_holds_within_five_seconds(fleet: Fleet) -> None:
    """The real heartbeat is 2 s; here all constants are a tenth, so it is half a second."""
    await fleet.start(limited(per_minute_limit=120), workers=3)
    ids = await fleet.enrol(30)
    await fleet.plan(2000)
    async with claimants(fleet, 3) as workers:
        await hammer(fleet, workers, ids, 3.0)
        await change(fleet, per_minute_limit=10)
        (row,) = await fleet.rows("SELECT clock_timestamp() AS at")
        await hammer(fleet, workers, ids, 7.0)
    instants = await claimed(fleet)
    assert fullest([it for it in instants if it < row.at], SHORT.minute) > 20
    after = [it for it in instants if it >= row.at + timedelta(seconds=0.5)]
    assert 5 <= fullest(after, SHORT.minute) <= 10


async def test_a_limit_taken_away_sets_the_workers_free(fleet: Fleet) -> None:
    await fleet.start(limited(per_minute_limit=4), workers=1)
    ids = await fleet.enrol(10)
    await fleet.plan(2000)
    async with claimants(fleet, 1) as workers:
        await hammer(fleet, workers, ids, 1.0)
        before = len(await claimed(fleet))
        await fleet.execute(
            "UPDATE fleet SET settings_version = settings_version + 1,"
            " settings = settings || '{\"per_minute_limit\": null}'"
        )
        await hammer(fleet, workers, ids, 2.0)
    assert before <= 4
    assert len(await claimed(fleet)) > before + 10
