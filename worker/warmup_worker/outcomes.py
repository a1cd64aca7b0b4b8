"""Group commit of outcomes: how mails ended, which mailboxes rest, what pauses, written in few statements.

Kept in memory until they are committed, tried again with jitter for as long as it takes. While some could not be written,
nothing is claimed: on the database's return outcomes go first.

Invariant: ``open_mails`` holds exactly the mails whose claim this process knows and whose outcome is not committed yet.
Fails: an outcome that the database will never take stops nobody else: it is told once, counted, and written as ``in_doubt`` in
plain words instead. Refused even so (its day's counters contradict themselves), the mail stays ``intent`` until this process
ends, is in doubt then, and is told a second time.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from warmup_core.database import Unreachable
from warmup_core.types import MailState
from warmup_worker import pausing, settling
from warmup_worker.claiming import Claim
from warmup_worker.clock import boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.gathering import Gathering
from warmup_worker.halving import in_halves
from warmup_worker.lease import Lease
from warmup_worker.metrics import Metrics
from warmup_worker.reactions import Pause
from warmup_worker.settling import Deferral, Outcome
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)

LARGEST = 1000
"""Most rows of one statement."""
_REFUSED = "the database refused what was to be written about it; the worker's log says why"


class Outcomes:
    """Writes how mails ended and which mailboxes rest."""

    def __init__(self, database: Database, lease: Lease, timing: Timing, metrics: Metrics) -> None:
        self._database, self._lease, self._timing, self._metrics = database, lease, timing, metrics
        self.open_mails: set[tuple[date, int]] = set()
        self._pending: dict[tuple[date, int], tuple[Outcome, asyncio.Future[MailState]]] = {}
        self._deferrals: dict[int, Deferral] = {}
        self._pauses: dict[tuple[str, str], Pause] = {}
        self._gathering = Gathering(2 * timing.gather)
        self._idle = asyncio.Event()
        self._idle.set()
        self.caught_up = True
        """False from a writing that failed on, until nothing waits any more."""
        self.trouble: str | None = None
        """Why it failed, as the database said it."""

    def settle(self, outcome: Outcome) -> asyncio.Future[MailState]:
        """Queue an outcome, one a mail; the future brings the state that was committed."""
        future: asyncio.Future[MailState] = asyncio.get_running_loop().create_future()
        self._pending[(outcome.day, outcome.mail_id)] = (outcome, future)
        self._queued()
        return future

    def hand_back(self, claim: Claim, reply: str) -> asyncio.Future[MailState]:
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
        self._gathering.came(self.waiting)
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
            await self._gathering.batch()
            if not await self._flush():
                await asyncio.sleep(random.uniform(0.3, 1.0))  # noqa: S311 - jitter, no secret

    async def _flush(self) -> bool:
        """Write a batch of each kind. False when the database could not be reached; all of it stays queued then."""
        started = boottime()
        try:
            if outcomes := self._of_one_day():
                await in_halves(outcomes, self._write, self._set_aside)
            if deferrals := list(self._deferrals.values())[:LARGEST]:
                await in_halves(deferrals, self._write_deferrals, self._drop)
            if pauses := list(self._pauses.values())[:LARGEST]:
                await in_halves(pauses, self._write_pauses, self._drop_pause)
        except Unreachable as error:
            if self.caught_up:
                log.warning("%d outcomes wait for the database: %s", self.waiting, error)
            self.caught_up, self.trouble = False, str(error)
            return False
        finally:
            if self.waiting:  # not written, came meanwhile, is set aside, or was more than a batch
                self._gathering.came(self.waiting)
        if not self.waiting:
            if not self.caught_up:
                log.info("all outcomes are written")
            self.caught_up, self.trouble = True, None
            self._idle.set()
        self._metrics.batch_seconds.labels("settle").observe(boottime() - started)
        return True

    def _of_one_day(self) -> list[Outcome]:
        """The oldest outcomes that wait, and others of their day: one statement sees one day's partitions."""
        day = next((it.day for it, _ in self._pending.values()), None)
        return [it for it, _ in self._pending.values() if it.day == day][:LARGEST]

    async def _write(self, outcomes: Sequence[Outcome]) -> None:
        assert self._lease.identity is not None
        async with self._database.alone() as connection:
            await settling.settle(connection, self._lease.identity.incarnation, outcomes)
        for outcome in outcomes:
            self._metrics.mails.labels(outcome.state.value).inc()
            if outcome.state is MailState.SENT:
                self._metrics.sent_last_hour.add()
            else:
                self._metrics.failures.labels(outcome.phase).inc()
            self._forget(outcome)
            self.open_mails.discard((outcome.day, outcome.mail_id))

    def _forget(self, outcome: Outcome) -> None:
        _, future = self._pending.pop((outcome.day, outcome.mail_id))
        if not future.done():
            future.set_result(outcome.state)

    def _set_aside(self, outcome: Outcome, error: Rejected) -> None:
        """Doubt instead of what the database will not take; where it takes not even that, the mail stays open."""
        name = f"mail {outcome.mail_id} of {outcome.day}"
        self._metrics.errors.labels("settle").inc()
        if outcome.reply == _REFUSED:
            log.critical("%s stays open until this worker ends: %s", name, error)
            self._forget(outcome)
            return
        log.error("%s cannot be settled as %s and ends in doubt: %s", name, outcome.state, error)
        doubt = replace(
            outcome,
            state=MailState.IN_DOUBT,
            reply=_REFUSED,
            rest_ms=None,
            hold=None,
            dotted=None,
            strike=False,
        )
        key = (outcome.day, outcome.mail_id)
        self._pending[key] = (doubt, self._pending[key][1])

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

    async def close_unknown(self, since: date = date.min) -> None:
        """Settle as failed the open intents of this process that it does not know: claims whose COMMIT stayed unknown.

        They were never sent, since only a returned claim is. ``since``: the first day that is looked at. Raises Unreachable.
        """
        assert self._lease.identity is not None
        known = set(self.open_mails)  # before the reading: what is settled meanwhile must not look unknown
        async with self._database.transaction() as connection:
            found = await settling.open_intents(
                connection, self._lease.identity, self._timing.claim + self._timing.statement, since
            )
        for day, mail_id, mailbox_id in found:
            if (day, mail_id) not in known:
                log.warning("mail %d of %s: its claim's commit was unknown, handed back", mail_id, day)
                reply = "handed back: the claim's commit was unknown"
                self.settle(Outcome(mailbox_id, day, mail_id, MailState.FAILED, "claim", reply, None))
