"""Workers without mail servers: each claims as fast as it may over a connection of its own, and settles at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.integration.worker.fleet import EAGER, PATIENT, Fleet, as_database
from tests.waiting import broken, cancelled, minding, until
from warmup_core import providers
from warmup_core.settings import FleetSettings
from warmup_core.types import MailState
from warmup_worker.batches import Claims
from warmup_worker.claiming import Ask, Claim, NotClaimed, Refusal
from warmup_worker.clock import DatabaseClock
from warmup_worker.lease import Lease
from warmup_worker.limits import Limits, scopes_of
from warmup_worker.metrics import Metrics
from warmup_worker.outcomes import Outcomes
from warmup_worker.settling import Outcome
from warmup_worker.timing import Timing

SHORT = replace(PATIENT, token=0.4, minute=2.0, hour=6.0, day=4.0)
"""The windows of the limits made small, and the life of a token with them."""

UNLIMITED = EAGER.model_copy(
    update={
        "emails_per_mailbox_per_day": 2000,
        "per_minute_limit": None,
        "per_hour_limit": None,
        "per_mailbox_per_day_limits": {},
    }
)


def limited(**limits: object) -> FleetSettings:
    """Settings with these limits and no others."""
    return UNLIMITED.model_copy(update=limits)


class Claimant:
    """One worker's claims. ``hammer`` asks for its mailboxes without a pause, for ever."""

    def __init__(self, fleet: Fleet, number: int, workers: int, timing: Timing = SHORT) -> None:
        self.number, self.workers = number, workers
        self.database = as_database(fleet.url)
        self.lease = Lease(self.database, number, timing, DatabaseClock(), "host", "version")
        metrics = Metrics(number)
        self.limits = Limits(self.database, self.lease, timing, number)
        self.outcomes = Outcomes(self.database, self.lease, timing, metrics)
        self.claims = Claims(
            self.database, self.lease, self.outcomes, self.limits, timing, metrics, asyncio.Event()
        )
        self.refusals: list[NotClaimed] = []
        self._mailboxes: dict[int, Any] = {}

    async def ask(self, fleet: Fleet, mailbox_id: int, recipient_id: int) -> Claim | NotClaimed:
        """One claim, with what limits it, settled as sent when granted. Asked again where the last heartbeat was old: it says
        nothing of limits."""
        orders = self.lease.orders
        assert orders is not None
        if mailbox_id not in self._mailboxes:
            for row in await fleet.rows("SELECT id, user_id, address, smtp_host FROM mailboxes"):
                self._mailboxes[row.id] = row
        row = self._mailboxes[mailbox_id]
        allowed = providers.mailbox_limit(row.smtp_host, orders.settings.per_mailbox_per_day_limits)
        scopes = scopes_of(self.limits.scoped, row.user_id, row.address)
        most = allowed.mails if allowed else None
        ask = Ask(mailbox_id, recipient_id, 0, most, scopes)
        while isinstance(answer := await self.claims.ask(ask), NotClaimed):
            if answer.reason is not Refusal.DATABASE:
                break
            await asyncio.sleep(0.05)
        if isinstance(answer, Claim):
            await self.outcomes.settle(
                Outcome(mailbox_id, answer.day, answer.mail_id, MailState.SENT, "dot", "250 ok", 0)
            )
        else:
            self.refusals.append(answer)
        return answer

    async def granted(self, fleet: Fleet, mailbox_id: int, recipient_id: int) -> Claim:
        """The first claim that is granted: a token may go stale on a slow machine, and the next one is as good."""
        while True:
            answer = await self.ask(fleet, mailbox_id, recipient_id)
            if isinstance(answer, Claim):
                return answer
            assert answer.reason in {Refusal.LIMIT, Refusal.LATE}, answer
            await asyncio.sleep(answer.wait)

    async def hammer(self, fleet: Fleet, ids: Sequence[int]) -> None:
        """Claim for each of this worker's mailboxes again and again."""

        async def one(mailbox_id: int, recipient_id: int) -> None:
            while True:
                answer = await self.ask(fleet, mailbox_id, recipient_id)
                if isinstance(answer, NotClaimed):
                    await asyncio.sleep(min(answer.wait, 0.2) or 0.05)

        mine = [it for it in ids if it % self.workers == self.number - 1]
        async with asyncio.TaskGroup() as group:
            for mailbox_id in mine:
                group.create_task(one(mailbox_id, next(it for it in ids if it != mailbox_id)))


@asynccontextmanager
async def claimants(fleet: Fleet, count: int, timing: Timing = SHORT) -> AsyncIterator[list[Claimant]]:
    """Workers 1 to ``count``, registered, with their heartbeats and batches running."""
    made = [Claimant(fleet, number, count, timing) for number in range(1, count + 1)]
    parts: list[asyncio.Task[None]] = []
    try:
        for it in made:
            await it.lease.register()
            parts += [
                asyncio.create_task(part) for part in (it.lease.run(), it.outcomes.run(), it.claims.run())
            ]
            await until(lambda it=it: it.lease.orders, "the first heartbeat")  # type: ignore[misc]
            assert it.lease.orders is not None
            it.limits.obey(it.lease.orders)
        with minding(lambda: broken(*parts)):
            yield made
    finally:
        try:
            await cancelled(*parts)
        finally:
            for it in made:
                await it.database.close()


async def hammer(
    fleet: Fleet,
    workers: Sequence[Claimant],
    ids: Sequence[int],
    seconds: float,
    enough: Callable[[], Awaitable[bool]],
) -> None:
    """All of them at once, for this long at least, and on until there is ``enough`` for the test to judge.

    A limit holds at any speed; how much comes through beside it in so many seconds is the machine's affair.
    """
    tasks = [asyncio.create_task(it.hammer(fleet, ids)) for it in workers]
    try:
        with minding(lambda: broken(*tasks)):
            await asyncio.sleep(seconds)
            await until(enough, "enough claims to judge")
    finally:
        await cancelled(*tasks)
