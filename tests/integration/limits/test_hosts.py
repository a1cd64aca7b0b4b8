"""A mail host has a share of the slots, and whoever waits for it blocks nobody behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.integration.limits.claimants import limited
from tests.integration.worker.fleet import Fleet, password_of
from tests.submission.accounts import derived
from tests.submission.faults import Exchange, Step
from tests.submission.server import Submission
from tests.waiting import until


@asynccontextmanager
async def hosts(fleet: Fleet, count: int) -> AsyncIterator[list[Submission]]:
    """Servers on addresses of their own, trusted by the fleet's workers."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                Submission(
                    derived(password_of),
                    host=f"127.0.0.{number}",
                    names=(f"127.0.0.{number}",),
                    authority=fleet.server.authority,
                )
            )
            for number in range(2, count + 2)
        ]


async def test_a_tarpit_among_ten_hosts_does_not_take_every_slot(fleet: Fleet) -> None:
    """field-008. The tarpit's mailboxes are many, come first, and hold their slots for as long as the others need."""
    inside = most = 0
    let_go = asyncio.Event()

    async def swallow(exchange: Exchange) -> str | None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            await let_go.wait()
            await exchange.drop()
        finally:
            inside -= 1
        return None

    await fleet.start(limited(emails_per_mailbox_per_day=2, max_concurrent_sends=6))
    async with hosts(fleet, 10) as servers:
        tarpit, *healthy = servers
        tarpit.faults[Step.CONNECT] = swallow
        await fleet.enrol(40, smtp_host=tarpit.host, smtp_port=tarpit.port)
        for server in healthy:
            await fleet.enrol(2, smtp_host=server.host, smtp_port=server.port)
        async with fleet.worker() as worker:
            await until(
                lambda: worker.report.account().reasons.get("limit: host", 0) >= 30, "the rest set aside"
            )
            await fleet.mails("sent", 36)
            await until(lambda: worker.report.account().met == 18, "counted in memory")
            assert worker.report.account().sent == 36
            assert most == 3
            # As slots of the tarpit come free again, those set aside have their turn.
            let_go.set()
            await until(lambda: len(tarpit.journal.of("connect")) > 3, "the next at the tarpit")
            await until(
                lambda: worker.report.account().reasons.get("limit: host", 0) < 37, "fewer are set aside"
            )


async def test_a_single_host_still_gets_its_whole_quota_through_its_share(fleet: Fleet) -> None:
    await fleet.start(limited(emails_per_mailbox_per_day=2, max_concurrent_sends=1))
    await fleet.enrol(6)
    async with fleet.worker() as worker:
        await fleet.mails("sent", 12)
        await until(lambda: worker.report.account().reasons == {"quota met": 6}, "all met")
    await fleet.adds_up()
