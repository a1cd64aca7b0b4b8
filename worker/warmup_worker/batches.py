"""Group commit: many sends share one statement for their claims, and one for their outcomes.

Claims: whoever asks gets a ``Claim`` or a ``NotClaimed``, never an exception. At most one claim statement is in flight. An
error may hide a COMMIT, so everybody in that batch is refused, and what was perhaps written is closed later by
``Outcomes.close_unknown``. Who finds no rate token waits for the next one a little, then is refused with the limit's name.
Outcomes: kept in memory until they are committed, tried again with jitter for as long as it takes. While some could not be
written, nothing is claimed: on the database's return outcomes go first.

Invariant: ``open_mails`` holds exactly the mails whose claim this process knows and whose outcome is not committed yet.
Fails: a single row that the database will never take is set aside loudly and stops nobody else; its mail stays ``intent``
and ends in doubt, which is the truth.
"""

import asyncio
import logging
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from warmup_core.database import Unreachable
from warmup_core.types import MailState
from warmup_worker import claiming, limiting, pausing, settling
from warmup_worker.claiming import Ask, Claim, NotClaimed, Refusal
from warmup_worker.clock import boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.halving import in_halves
from warmup_worker.lease import Identity, Lease, Orders
from warmup_worker.limits import Limits, Tokens
from warmup_worker.metrics import Metrics
from warmup_worker.reactions import Pause
from warmup_worker.settling import Deferral, Outcome
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)

LARGEST = 1000
"""Most rows of one statement."""
_LONGEST_PAUSE = 0.5
"""Seconds without a look at who came meanwhile, while no rate token is due."""


class Outcomes:
    """Writes how mails ended and which mailboxes rest."""

    def __init__(self, database: Database, lease: Lease, timing: Timing, metrics: Metrics) -> None:
        self._database, self._lease, self._timing, self._metrics = database, lease, timing, metrics
        self.open_mails: set[tuple[date, int]] = set()
        self._pending: dict[tuple[date, int], tuple[Outcome, asyncio.Future[None]]] = {}
        self._deferrals: dict[int, Deferral] = {}
        self._pauses: dict[tuple[str, str], Pause] = {}
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

    def pause(self, pause: Pause) -> None:
        """Queue a pause for all workers; the latest of a scope and key counts."""
        self._pauses[(pause.scope, pause.key)] = pause
        self._queued()

    def _queued(self) -> None:
        self._work.set()
        self._idle.clear()

    @property
    def waiting(self) -> int:
        """Outcomes, rests and pauses not committed yet."""
        return len(self._pending) + len(self._deferrals) + len(self._pauses)

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
            while self.waiting:
                outcomes = [outcome for outcome, _ in list(self._pending.values())[:LARGEST]]
                if outcomes:
                    await in_halves(outcomes, self._write, self._set_aside)
                deferrals = list(self._deferrals.values())[:LARGEST]
                if deferrals:
                    await in_halves(deferrals, self._write_deferrals, self._drop)
                pauses = list(self._pauses.values())[:LARGEST]
                if pauses:
                    await in_halves(pauses, self._write_pauses, self._drop_pause)
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

    async def _write_pauses(self, pauses: Sequence[Pause]) -> None:
        async with self._database.transaction() as connection:
            await pausing.write(connection, pauses)
        for pause in pauses:
            if self._pauses.get((pause.scope, pause.key)) is pause:
                del self._pauses[(pause.scope, pause.key)]

    def _drop_pause(self, pause: Pause, error: Rejected) -> None:
        log.error("the pause of %s %s cannot be written: %s", pause.scope, pause.key, error)
        self._metrics.errors.labels("pause").inc()
        del self._pauses[(pause.scope, pause.key)]

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
        self._work = asyncio.Event()
        self._stopping = False

    async def ask(self, ask: Ask) -> Claim | NotClaimed:
        """A claim, or why not. One ask a mailbox at a time. Cancelled, the claim is handed back should it be granted."""
        if self._stopping:
            return NotClaimed(ask.mailbox_id, Refusal.STOPPING)
        waiting = self._pending.get(ask.mailbox_id)
        if waiting is not None and not waiting.answer.done():
            raise RuntimeError(f"mailbox {ask.mailbox_id} asks twice")
        answer: asyncio.Future[Claim | NotClaimed] = asyncio.get_running_loop().create_future()
        self._pending[ask.mailbox_id] = _Asked(ask, answer, boottime() + self._limits.patience)
        self._work.set()
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
        for one in self._take():
            self._answer(one.answer, NotClaimed(one.ask.mailbox_id, Refusal.STOPPING))

    def _take(self) -> list[_Asked]:
        taken = [self._pending.pop(key) for key in list(self._pending)[:LARGEST]]
        return [one for one in taken if not one.answer.done()]

    async def run(self) -> None:
        """Claim for those who ask, one statement after the other, for ever."""
        while True:
            await self._work.wait()
            await asyncio.sleep(self._timing.gather)
            self._work.clear()
            while taken := self._take():
                pause = await self._serve(taken)
                self._wake.set()
                await asyncio.sleep(pause)

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
            log.warning("%d claims were not made: %s", len(taken), error)
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
            for answer in await self._write(orders, asks, tokens):
                self._answer(futures.pop(answer.mailbox_id), answer)

        def set_aside(ask: Ask, error: Rejected) -> None:
            log.error("mailbox %d cannot be claimed: %s", ask.mailbox_id, error)
            self._metrics.errors.labels("claim").inc()

        try:
            await in_halves([one.ask for one in taken], write, set_aside)
        except Unreachable as error:
            log.warning("%d claims were not made: %s", len(futures), error)
        for mailbox_id, future in futures.items():
            self._answer(future, NotClaimed(mailbox_id, Refusal.DATABASE))

    async def _write(
        self, orders: Orders, asks: Sequence[Ask], tokens: Mapping[int, datetime | None]
    ) -> list[Claim | NotClaimed]:
        identity = self._lease.identity
        assert identity is not None
        started = boottime()
        async with self._database.transaction() as connection:
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
        granted = {claim.mailbox_id for claim in claims}
        refused = [ask for ask in asks if ask.mailbox_id not in granted]
        late = {ask.mailbox_id for ask in refused if self._limits.stale(tokens[ask.mailbox_id])}
        self._limits.give_back(tokens[ask.mailbox_id] for ask in refused)
        return [*claims, *(await self._explain(identity, orders.epoch, refused, late) if refused else [])]

    async def _explain(
        self, identity: Identity, epoch: int, refused: Sequence[Ask], late: Collection[int]
    ) -> list[NotClaimed]:
        """Why these were not granted: by their rows, else a limit of user, domain or provider, else its token's age."""
        try:
            async with self._database.transaction() as connection:
                reasons = await claiming.explain(connection, identity, epoch, refused)
                raced = {it.mailbox_id for it in reasons if it.reason is Refusal.RACED}
                unclear = {ask.mailbox_id: ask.most_a_day for ask in refused if ask.mailbox_id in raced}
                short = await limiting.shortages(connection, unclear, self._limits.scoped, self._timing.day)
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
