"""Group commit: many sends share one statement for their claims, and one for their outcomes.

Claims: whoever asks gets a ``Claim`` or a ``NotClaimed``, never an exception. At most one claim statement is in flight. An
error may hide a COMMIT, so everybody in that batch is refused, and what was perhaps written is closed later by
``Outcomes.close_unknown``.
Outcomes: kept in memory until they are committed, tried again with jitter for as long as it takes. While some could not be
written, nothing is claimed: on the database's return outcomes go first.

Invariant: ``open_mails`` holds exactly the mails whose claim this process knows and whose outcome is not committed yet.
Fails: a single row that the database will never take is set aside loudly and stops nobody else; its mail stays ``intent``
and ends in doubt, which is the truth.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import TypeVar

from warmup_core.database import Unreachable
from warmup_core.types import MailState
from warmup_worker import claiming, settling
from warmup_worker.claiming import Ask, Claim, NotClaimed, Refusal
from warmup_worker.clock import boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.lease import Lease
from warmup_worker.metrics import Metrics
from warmup_worker.settling import Deferral, Outcome
from warmup_worker.timing import Timing

T = TypeVar("T")
log = logging.getLogger(__name__)

LARGEST = 1000
"""Most rows of one statement."""


async def in_halves(
    rows: Sequence[T],
    write: Callable[[Sequence[T]], Awaitable[None]],
    set_aside: Callable[[T, Rejected], None],
) -> None:
    """Write rows together; on ``Rejected`` halve until the one that the database will not take stands alone."""
    try:
        await write(rows)
    except Rejected as error:
        if len(rows) == 1:
            set_aside(rows[0], error)
            return
        middle = len(rows) // 2
        await in_halves(rows[:middle], write, set_aside)
        await in_halves(rows[middle:], write, set_aside)


class Outcomes:
    """Writes how mails ended and which mailboxes rest."""

    def __init__(self, database: Database, lease: Lease, timing: Timing, metrics: Metrics) -> None:
        self._database, self._lease, self._timing, self._metrics = database, lease, timing, metrics
        self.open_mails: set[tuple[date, int]] = set()
        self._pending: dict[tuple[date, int], tuple[Outcome, asyncio.Future[None]]] = {}
        self._deferrals: dict[int, Deferral] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.caught_up = True
        """Whether the last writing succeeded."""

    def settle(self, outcome: Outcome) -> asyncio.Future[None]:
        """Queue an outcome, one a mail; the future ends when it is committed (or set aside)."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending[(outcome.day, outcome.mail_id)] = (outcome, future)
        self._queued()
        return future

    def hand_back(self, claim: Claim, reply: str) -> asyncio.Future[None]:
        """Settle a claim that nothing was sent under: quota back, the mailbox rests for its cooldown."""
        return self.settle(
            Outcome(
                claim.mailbox_id,
                claim.day,
                claim.mail_id,
                MailState.FAILED,
                "claim",
                reply,
                claim.cooldown_ms,
            )
        )

    def defer(self, deferral: Deferral) -> None:
        """Queue a rest; the latest of a mailbox counts."""
        self._deferrals[deferral.mailbox_id] = deferral
        self._queued()

    def _queued(self) -> None:
        self._work.set()
        self._idle.clear()

    @property
    def waiting(self) -> int:
        """Outcomes and rests not committed yet."""
        return len(self._pending) + len(self._deferrals)

    async def written(self) -> None:
        """Return when nothing waits any more."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write what is queued, for ever. An outage is waited out."""
        while True:
            await self._work.wait()
            await asyncio.sleep(self._timing.gather)
            if not await self._flush():
                await asyncio.sleep(random.uniform(0.3, 1.0))  # noqa: S311 - jitter, no secret

    async def _flush(self) -> bool:
        """Write everything queued now. False when the database could not be reached; all of it stays queued then."""
        self._work.clear()
        started = boottime()
        try:
            while self._pending or self._deferrals:
                outcomes = [outcome for outcome, _ in list(self._pending.values())[:LARGEST]]
                if outcomes:
                    await in_halves(outcomes, self._write, self._set_aside)
                deferrals = list(self._deferrals.values())[:LARGEST]
                if deferrals:
                    await in_halves(deferrals, self._write_deferrals, self._drop)
        except Unreachable as error:
            if self.caught_up:
                log.warning("%d outcomes wait for the database: %s", self.waiting, error)
            self.caught_up = False
            self._work.set()
            return False
        if not self.caught_up:
            log.info("all outcomes are written")
        self.caught_up = True
        self._idle.set()
        self._metrics.batch_seconds.labels("settle").observe(boottime() - started)
        return True

    async def _write(self, outcomes: Sequence[Outcome]) -> None:
        assert self._lease.identity is not None
        async with self._database.transaction() as connection:
            await settling.settle(connection, self._lease.identity.incarnation, outcomes)
        for outcome in outcomes:
            self._metrics.mails.labels(outcome.state.value).inc()
            if outcome.state is not MailState.SENT:
                self._metrics.failures.labels(outcome.phase).inc()
            self._forget(outcome)
            self.open_mails.discard((outcome.day, outcome.mail_id))

    def _forget(self, outcome: Outcome) -> None:
        _, future = self._pending.pop((outcome.day, outcome.mail_id))
        if not future.done():
            future.set_result(None)

    def _set_aside(self, outcome: Outcome, error: Rejected) -> None:
        log.error(
            "mail %s of %s cannot be settled as %s: %s", outcome.mail_id, outcome.day, outcome.state, error
        )
        self._metrics.errors.labels("settle").inc()
        self._forget(outcome)

    async def _write_deferrals(self, deferrals: Sequence[Deferral]) -> None:
        assert self._lease.identity is not None
        async with self._database.transaction() as connection:
            await settling.defer(connection, self._lease.identity, deferrals)
        for deferral in deferrals:
            if self._deferrals.get(deferral.mailbox_id) is deferral:
                del self._deferrals[deferral.mailbox_id]

    def _drop(self, deferral: Deferral, error: Rejected) -> None:
        log.error("mailbox %d cannot be deferred: %s", deferral.mailbox_id, error)
        self._metrics.errors.labels("defer").inc()
        del self._deferrals[deferral.mailbox_id]

    async def close_unknown(self) -> None:
        """Settle as failed the open intents of this process that it does not know: claims whose COMMIT stayed unknown.

        They were never sent, since only a returned claim is. Raises Unreachable.
        """
        assert self._lease.identity is not None
        known = set(self.open_mails)  # before the reading: what is settled meanwhile must not look unknown
        async with self._database.transaction() as connection:
            found = await settling.open_intents(
                connection, self._lease.identity, self._timing.claim + self._timing.statement
            )
        for day, mail_id, mailbox_id in found:
            if (day, mail_id) not in known:
                log.warning("mail %d of %s: its claim's commit was unknown, handed back", mail_id, day)
                reply = "handed back: the claim's commit was unknown"
                self.settle(Outcome(mailbox_id, day, mail_id, MailState.FAILED, "claim", reply, None))


class Claims:
    """Asks the database which of the ready connections may send."""

    def __init__(
        self, database: Database, lease: Lease, outcomes: Outcomes, timing: Timing, metrics: Metrics
    ) -> None:
        self._database, self._lease, self._outcomes = database, lease, outcomes
        self._timing, self._metrics = timing, metrics
        self._pending: dict[int, tuple[Ask, asyncio.Future[Claim | NotClaimed]]] = {}
        self._work = asyncio.Event()
        self._stopping = False

    async def ask(self, ask: Ask) -> Claim | NotClaimed:
        """A claim, or why not. One ask a mailbox at a time. Cancelled, the claim is handed back should it be granted."""
        if self._stopping:
            return NotClaimed(ask.mailbox_id, Refusal.STOPPING)
        if ask.mailbox_id in self._pending:
            raise RuntimeError(f"mailbox {ask.mailbox_id} asks twice")
        future: asyncio.Future[Claim | NotClaimed] = asyncio.get_running_loop().create_future()
        self._pending[ask.mailbox_id] = (ask, future)
        self._work.set()
        return await future

    def stop(self) -> None:
        """Claim nothing from now on; whoever still waits is refused. A statement in flight ends normally."""
        self._stopping = True
        for ask, future in self._take():
            self._answer(future, NotClaimed(ask.mailbox_id, Refusal.STOPPING))

    def _take(self) -> list[tuple[Ask, asyncio.Future[Claim | NotClaimed]]]:
        taken = [self._pending.pop(key) for key in list(self._pending)[:LARGEST]]
        return [(ask, future) for ask, future in taken if not future.done()]

    async def run(self) -> None:
        """Claim for those who ask, one statement after the other, for ever."""
        while True:
            await self._work.wait()
            await asyncio.sleep(self._timing.gather)
            self._work.clear()
            while taken := self._take():
                await self._claim(taken)

    async def _claim(self, taken: list[tuple[Ask, asyncio.Future[Claim | NotClaimed]]]) -> None:
        futures = {ask.mailbox_id: future for ask, future in taken}
        orders = self._lease.orders
        if orders is None or not self._lease.trusted or not self._outcomes.caught_up:
            for mailbox_id, future in futures.items():
                self._answer(future, NotClaimed(mailbox_id, Refusal.DATABASE))
            return

        async def write(asks: Sequence[Ask]) -> None:
            for answer in await self._write(orders.epoch, asks):
                self._answer(futures.pop(answer.mailbox_id), answer)

        def set_aside(ask: Ask, error: Rejected) -> None:
            log.error("mailbox %d cannot be claimed: %s", ask.mailbox_id, error)
            self._metrics.errors.labels("claim").inc()

        try:
            await in_halves([ask for ask, _ in taken], write, set_aside)
        except Unreachable as error:
            log.warning("%d claims were not made: %s", len(futures), error)
        for mailbox_id, future in futures.items():
            self._answer(future, NotClaimed(mailbox_id, Refusal.DATABASE))

    async def _write(self, epoch: int, asks: Sequence[Ask]) -> list[Claim | NotClaimed]:
        identity = self._lease.identity
        assert identity is not None
        started = boottime()
        async with self._database.transaction() as connection:
            claims = await claiming.claim(connection, identity, epoch, asks, self._timing.claim, started)
        self._metrics.batch_seconds.labels("claim").observe(boottime() - started)
        self._outcomes.open_mails.update((claim.day, claim.mail_id) for claim in claims)
        granted = {claim.mailbox_id for claim in claims}
        refused = [ask for ask in asks if ask.mailbox_id not in granted]
        reasons: list[NotClaimed] = []
        if refused:
            try:
                async with self._database.transaction() as connection:
                    reasons = await claiming.explain(connection, identity, epoch, refused)
            except (Unreachable, Rejected):
                reasons = [NotClaimed(ask.mailbox_id, Refusal.DATABASE) for ask in refused]
        return [*claims, *reasons]

    def _answer(self, future: asyncio.Future[Claim | NotClaimed], answer: Claim | NotClaimed) -> None:
        if isinstance(answer, NotClaimed):
            self._metrics.refused.labels(answer.reason.name.lower()).inc()
        if not future.done():
            future.set_result(answer)
        elif isinstance(answer, Claim):
            self._outcomes.hand_back(answer, "handed back: its send was given up meanwhile")
