"""A provider's limit a day holds in every rolling 24 hours, not from midnight to midnight."""

from dataclasses import dataclass

from tests.integration.limits.claimants import Claimant, claimants, limited
from tests.integration.worker.fleet import Fleet
from warmup_worker.claiming import Claim, NotClaimed, Refusal
from warmup_worker.timing import Timing

DAYS = Timing(heartbeat=0.2)
"""Real windows: a day is a day."""


@dataclass(frozen=True)
class Sent:
    """Mails of one mailbox that were claimed earlier: ``count`` of them, the first ``hours`` ago, a minute apart."""

    count: int
    hours: float
    state: str = "sent"


async def ledger(fleet: Fleet, mailbox: int, *sent: Sent) -> None:
    """Write earlier claims into the ledger and the quotas of their days, as claims and outcomes would have."""
    for it in sent:
        await fleet.execute(
            "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at, settled_at)"
            " SELECT (at AT TIME ZONE fleet_zone())::date, nextval('mail_ids'), :m, 0, n, :state, 1, 1, 1, at, at"
            " FROM (SELECT n, clock_timestamp() - make_interval(secs => :hours * 3600 - n * 60) AS at"
            "       FROM generate_series(0, :count - 1) n) AS earlier",
            m=mailbox,
            state=it.state,
            hours=it.hours,
            count=it.count,
        )
    await fleet.execute(
        "INSERT INTO quotas (day, mailbox_id, quota, spent, sent, failed)"
        " SELECT day, mailbox_id, 2000, count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'sent'),"
        "  count(*) FILTER (WHERE state = 'failed') FROM mails WHERE mailbox_id = :m GROUP BY 1, 2"
        " ON CONFLICT (day, mailbox_id) DO UPDATE SET spent = excluded.spent, sent = excluded.sent, failed = excluded.failed",
        m=mailbox,
    )


async def ask(fleet: Fleet, it: Claimant, ids: list[int]) -> Claim | NotClaimed:
    return await it.ask(fleet, ids[0], ids[1])


async def test_yesterday_evenings_mails_hold_back_this_mornings(fleet: Fleet) -> None:
    """field-046: 20 a day, 20 sent from 16 hours ago on: nothing more until the first of them is a day old."""
    await fleet.start(limited(per_mailbox_per_day_limits={"127.0.0.1": 20}))
    ids = await fleet.enrol(2)
    await fleet.plan(2000)
    await ledger(fleet, ids[0], Sent(20, hours=16))
    async with claimants(fleet, 1, DAYS) as (it,):
        refused = await ask(fleet, it, ids)
        assert isinstance(refused, NotClaimed)
        assert (refused.reason, refused.limit) == (Refusal.LIMIT, "provider")
        assert 8 * 3600 - 60 < refused.wait <= 8 * 3600


async def test_what_is_older_than_a_day_counts_no_more(fleet: Fleet) -> None:
    await fleet.start(limited(per_mailbox_per_day_limits={"127.0.0.1": 20}))
    ids = await fleet.enrol(2)
    await fleet.plan(2000)
    await ledger(fleet, ids[0], Sent(15, hours=30), Sent(19, hours=10))
    async with claimants(fleet, 1, DAYS) as (it,):
        assert isinstance(await ask(fleet, it, ids), Claim)
        assert isinstance(await ask(fleet, it, ids), NotClaimed)


async def test_a_mail_that_failed_counts_at_the_provider_all_the_same(fleet: Fleet) -> None:
    await fleet.start(limited(per_mailbox_per_day_limits={"127.0.0.1": 3}))
    ids = await fleet.enrol(2)
    await fleet.plan(2000)
    await ledger(fleet, ids[0], Sent(2, hours=20), Sent(1, hours=2, state="failed"))
    async with claimants(fleet, 1, DAYS) as (it,):
        refused = await ask(fleet, it, ids)
        assert isinstance(refused, NotClaimed)
        assert refused.limit == "provider"
