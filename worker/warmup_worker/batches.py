"""Group commit of claims: many sends share one statement. What ends them is ``outcomes``.

Whoever asks gets a ``Claim`` or a ``NotClaimed``, never an exception. At most one claim statement is in flight. Who finds no
rate token waits for the next one a little, then is refused with the limit's name.
Fails: an error may hide a COMMIT, so everybody in that batch is refused, and what was perhaps written is closed later by
``Outcomes.close_unknown``. While the database takes no claim (its disk is full, a lock is held), it is tried again with growing
pauses, no connection is opened meanwhile, and ``trouble`` says why.
"""

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from warmup_core.backoff import doubled
from warmup_core.database import Unreachable
from warmup_worker import claiming, limiting
from warmup_worker.claiming import Ask, Claim, NotClaimed, Refusal
from warmup_worker.clock import boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.gathering import Gathering
from warmup_worker.halving import in_halves
from warmup_worker.lease import Lease, Orders
from warmup_worker.limits import Limits, Tokens
from warmup_worker.metrics import Metrics
from warmup_worker.outcomes import LARGEST, Outcomes
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 0.5
"""Seconds without a look at who came meanwhile, while no rate token is due."""
_LONGEST_CLOSED = 10.0
"""Seconds between two tries at most, while the database takes no claim."""
_TOLD_SECONDS = 30.0
"""How long a failure is told of when nothing is claimed after it."""


@dataclass(frozen=True)
class _Asked:
    """Somebody who waits for a claim, with a rate token until ``until`` (``boottime``)."""

    ask: Ask
    answer: asyncio.Future[Claim | NotClaimed]
    until: float


class Claims:
    """Asks the database which of the ready connections may send. ``wake`` is set after each batch."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        outcomes: Outcomes,
        limits: Limits,
        timing: Timing,
        metrics: Metrics,
        wake: asyncio.Event,
    ) -> None:
        self._database, self._lease, self._outcomes, self._limits = database, lease, outcomes, limits
        self._timing, self._metrics, self._wake = timing, metrics, wake
        self._pending: dict[int, _Asked] = {}
        self._gathering = Gathering(timing.gather)
        self._stopping = False
        self._trouble, self._failures = "", 0
        self._failed_at = self._again_at = -float("inf")

    @property
    def open(self) -> bool:
        """Whether a connection is worth opening now."""
        return boottime() >= self._again_at

    @property
    def trouble(self) -> str | None:
        """Why the database took no claim lately; None when it did, or when nobody asks any more."""
        lately = boottime() < self._failed_at + _TOLD_SECONDS
        return self._trouble if self._failures and lately else None

    async def ask(self, ask: Ask) -> Claim | NotClaimed:
        """A claim, or why not. One ask a mailbox at a time. Cancelled, the claim is handed back should it be granted."""
        if self._stopping:
            return NotClaimed(ask.mailbox_id, Refusal.STOPPING)
        waiting = self._pending.get(ask.mailbox_id)
        if waiting is not None and not waiting.answer.done():
            raise RuntimeError(f"mailbox {ask.mailbox_id} asks twice")
        answer: asyncio.Future[Claim | NotClaimed] = asyncio.get_running_loop().create_future()
        self._pending[ask.mailbox_id] = _Asked(ask, answer, boottime() + self._limits.patience)
        self._gathering.came(len(self._pending))
        try:
            return await answer
        except asyncio.CancelledError:
            if (
                answer.done() and not answer.cancelled()
            ):  # it was answered, and nobody is left to take the answer
                self._give_up(answer.result())
            raise

    def stop(self) -> None:
        """Claim nothing from now on; whoever still waits is refused. A statement in flight ends normally."""
        self._stopping = True
        while self._pending:
            self._refuse(self._take(), Refusal.STOPPING)

    def _take(self) -> list[_Asked]:
        """As many of those who wait, in order, as one statement claims for; without those that gave up."""
        taken = [self._pending.pop(key) for key in list(self._pending)[:LARGEST]]
        return [one for one in taken if not one.answer.done()]

    async def run(self) -> None:
        """Claim for those who ask, one statement after the other, for ever."""
        while True:
            await self._gathering.batch()
            if taken := self._take():
                pause = await self._serve(taken)
                self._wake.set()
                await asyncio.sleep(pause)
            if self._pending:
                self._gathering.came(len(self._pending))

    async def _serve(self, taken: list[_Asked]) -> float:
        """Claim for as many as there are rate tokens for; returns the seconds until it is worth trying for the rest."""
        orders = self._lease.orders
        if orders is None or not self._lease.trusted or not self._outcomes.caught_up:
            self._refuse(taken, Refusal.DATABASE)
            return 0.0
        try:
            tokens = await self._limits.take(len(taken), orders)
            await self._limits.know(scope for one in taken for scope in one.ask.scopes)
        except (Unreachable, Rejected) as error:
            self._failed(error)
            self._refuse(taken, Refusal.DATABASE)
            return 0.0
        served, short = taken[: len(tokens.use_bys)], taken[len(tokens.use_bys) :]
        if served:
            await self._claim(orders, served, tokens.use_bys)
        return self._keep_waiting(short, tokens) if short else 0.0

    def _keep_waiting(self, short: list[_Asked], tokens: Tokens) -> float:
        """Let those wait on whose patience lasts until the next token is due, and refuse the others."""
        now, waiting = boottime(), dict[int, _Asked]()
        for one in short:
            if self._stopping:
                self._refuse([one], Refusal.STOPPING)
            elif now + tokens.wait < one.until:
                waiting[one.ask.mailbox_id] = one
            else:
                refusal = NotClaimed(one.ask.mailbox_id, Refusal.LIMIT, limit=tokens.short, wait=tokens.wait)
                self._answer(one.answer, refusal)
                self._limits.refused(tokens.wait)
        self._pending = {**waiting, **self._pending}
        return min(tokens.wait, _LONGEST_PAUSE) + random.uniform(0, self._timing.gather)  # noqa: S311 - jitter

    def _refuse(self, refused: Iterable[_Asked], reason: Refusal) -> None:
        for one in refused:
            self._answer(one.answer, NotClaimed(one.ask.mailbox_id, reason))

    async def _claim(self, orders: Orders, taken: list[_Asked], use_bys: list[datetime | None]) -> None:
        """Claim for each of ``taken``, with its own token."""
        futures = {one.ask.mailbox_id: one.answer for one in taken}
        tokens = {one.ask.mailbox_id: use_by for one, use_by in zip(taken, use_bys, strict=True)}

        async def write(asks: Sequence[Ask]) -> None:
            # What is granted first: it would grow old while the others' reasons are read.
            for claim in await self._write(orders, asks, tokens):
                self._answer(futures.pop(claim.mailbox_id), claim)
            if refused := [ask for ask in asks if ask.mailbox_id in futures]:
                for answer in await self._explain(orders, refused, tokens):
                    self._answer(futures.pop(answer.mailbox_id), answer)

        def set_aside(ask: Ask, error: Rejected) -> None:
            log.error("mailbox %d cannot be claimed: %s", ask.mailbox_id, error)
            self._metrics.errors.labels("claim").inc()

        try:
            await in_halves([one.ask for one in taken], write, set_aside)
            self._worked()
        except Unreachable as error:
            self._failed(error)
        for mailbox_id, future in futures.items():
            self._answer(future, NotClaimed(mailbox_id, Refusal.DATABASE))

    def _failed(self, error: Exception) -> None:
        if not self._failures or str(error) != self._trouble:
            log.warning("no claims: %s", error)
        self._trouble, self._failures, self._failed_at = str(error), self._failures + 1, boottime()
        pause = doubled(self._timing.heartbeat, self._failures - 1, _LONGEST_CLOSED)
        self._again_at = self._failed_at + pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    def _worked(self) -> None:
        if self._failures:
            log.info("the database takes claims again")
        self._failures, self._again_at = 0, -float("inf")

    async def _write(
        self, orders: Orders, asks: Sequence[Ask], tokens: Mapping[int, datetime | None]
    ) -> list[Claim]:
        identity = self._lease.identity
        assert identity is not None
        started = boottime()
        async with self._database.direct() as connection:
            claims = await claiming.claim(
                connection,
                identity,
                orders.epoch,
                asks,
                self._timing.claim,
                started,
                use_bys=[tokens[ask.mailbox_id] for ask in asks],
                scoped=self._limits.scoped,
                day_seconds=self._timing.day,
                day=orders.day,
            )
        self._metrics.batch_seconds.labels("claim").observe(boottime() - started)
        self._outcomes.open_mails.update((claim.day, claim.mail_id) for claim in claims)
        return claims

    async def _explain(
        self, orders: Orders, refused: Sequence[Ask], tokens: Mapping[int, datetime | None]
    ) -> list[NotClaimed]:
        """Why these were not granted: by their rows, else a limit of user, domain or provider, else its token's age."""
        identity = self._lease.identity
        assert identity is not None
        late = {ask.mailbox_id for ask in refused if self._limits.stale(tokens[ask.mailbox_id])}
        self._limits.give_back(tokens[ask.mailbox_id] for ask in refused)
        try:
            async with self._database.transaction() as connection:
                reasons = await claiming.explain(connection, identity, orders.epoch, refused, orders.day)
                raced = {it.mailbox_id for it in reasons if it.reason is Refusal.RACED}
                unclear = {ask.mailbox_id: ask.most_a_day for ask in refused if ask.mailbox_id in raced}
                short = await limiting.shortages(
                    connection, unclear, self._limits.scoped, self._timing.day, orders.day
                )
        except (Unreachable, Rejected):
            return [NotClaimed(ask.mailbox_id, Refusal.DATABASE) for ask in refused]
        self._limits.forget(scope for ask in refused if ask.mailbox_id in raced for scope in ask.scopes)

        def closer(it: NotClaimed) -> NotClaimed:
            if it.mailbox_id not in raced:
                return it
            if found := short.get(it.mailbox_id):
                return replace(it, reason=Refusal.LIMIT, limit=found.kind, scope=found.scope, wait=found.wait)
            return replace(it, reason=Refusal.LATE) if it.mailbox_id in late else it

        return [closer(it) for it in reasons]

    def _answer(self, future: asyncio.Future[Claim | NotClaimed], answer: Claim | NotClaimed) -> None:
        if isinstance(answer, NotClaimed):
            self._metrics.refused.labels(answer.label).inc()
        if future.done():
            self._give_up(answer)
        else:
            future.set_result(answer)

    def _give_up(self, answer: Claim | NotClaimed) -> None:
        """Hand a claim back whose asker has gone."""
        if isinstance(answer, Claim):
            self._outcomes.hand_back(answer, "handed back: its send was given up meanwhile")
