"""The worker from start to end: register, follow the heartbeats, wake mailboxes when due, drain. ``assembly`` makes its parts.

```
start: telemetry -> schema known? -> register -> [heartbeat, keeper, claims, outcomes, sweeper, worker 1's coordinator], wake loop
turn:  due, and the schedule starts it -> sender.take (connect, claim, send, settle)
end:   SIGTERM, replaced, a part died -> claim nothing -> hand back what is not dotted -> await replies -> settle -> release
```
Invariants: at most ``max_concurrent_sends`` turns hold a slot, at most half of them at one host. Nothing is started while the
last heartbeat is old, outcomes wait for the database, the fleet is paused, or no rate token would come in time. A part that
ends for any reason but an order ends the worker, loudly and drained: never a zombie.
Fails: exit code 1 with the reason in the log; 3 when replaced by a newer process of the same number.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine
from functools import partial

from warmup_core import schema
from warmup_core.database import Unreachable
from warmup_worker.assembly import Parts
from warmup_worker.clock import boottime
from warmup_worker.connection import Rejected
from warmup_worker.mailbox import Mailbox
from warmup_worker.sender import Slot, Turn
from warmup_worker.settings import WorkerSettings
from warmup_worker.starter import ROUND_SECONDS

log = logging.getLogger(__name__)

DRAINED, FAILED, REPLACED = 0, 1, 3
_BREATH_SECONDS = 0.01
"""The least time between two rounds of the wake loop: so no more turns begin than the event loop keeps up with."""
_SUMMARY_SECONDS = 60.0


class Engine:
    """One worker process. ``run`` is called once; ``stop`` may be called any number of times."""

    def __init__(self, settings: WorkerSettings, local_hostname: str | None = None) -> None:
        self._settings, self._timing = settings, settings.timing
        parts = Parts(settings, local_hostname)
        self.lease, self.shard, self.metrics = parts.lease, parts.shard, parts.metrics
        self.report, self.telemetry = parts.report, parts.telemetry
        self._database, self._clock, self._wake = parts.database, parts.clock, parts.wake
        self._keeper, self._claims, self._outcomes = parts.keeper, parts.claims, parts.outcomes
        self._starter, self._sender, self._gates = parts.starter, parts.sender, parts.gates
        self._tokens, self._sweeper, self._coordinator = parts.tokens, parts.sweeper, parts.coordinator
        self._stop = asyncio.Event()
        self._turns: set[Turn] = set()
        self._slots_taken = 0
        self._running: dict[str, asyncio.Task[None]] = {}

    def stop(self) -> None:
        """Begin to drain. Again: nothing more happens."""
        if not self._stop.is_set():
            log.info("asked to end: draining for at most %.0f s", self._settings.grace_seconds)
        self._stop.set()

    async def run(self) -> int:
        """Live until stopped; returns the exit code."""
        await self.telemetry.start()
        code = FAILED
        try:
            if not await self._register():
                code = REPLACED if self.lease.replaced.is_set() else DRAINED
                return code
            ordered = await self._work()
            code = ordered if await self._drain(boottime() + self._settings.grace_seconds) else FAILED
            return code
        finally:
            for part in self._running.values():
                part.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await self.telemetry.close()
            await self._tokens.close()
            await self._database.close()
            log.info("ended with exit code %d", code)

    async def _register(self) -> bool:
        """Wait for a schema that this release knows and take an incarnation. False when stopped or replaced before."""
        while not self._stop.is_set() and not self.lease.replaced.is_set():
            self.report.wake_loop_at = self.lease.came_round = boottime()
            try:
                trouble = await self._schema_trouble()
                if trouble is None:
                    if self._settings.wanted is not None:  # else the operator has seen to it
                        await self._database.bound_waits()
                    trouble = await self.lease.register()
            except (Unreachable, Rejected) as error:
                trouble = str(error)
            if self.lease.identity is not None:
                self.report.starting = None
                incarnation = self.lease.identity.incarnation
                log.info(
                    "worker %d registered, incarnation %d",
                    self._settings.number,
                    incarnation,
                    extra={"incarnation": incarnation},
                )
                return True
            if trouble != self.report.starting:
                log.warning("not ready: %s", trouble)
            self.report.starting = trouble
            try:
                async with asyncio.timeout(self._timing.heartbeat * random.uniform(0.8, 1.2)):  # noqa: S311
                    await self._stop.wait()
            except TimeoutError:
                continue
        return False

    async def _schema_trouble(self) -> str | None:
        async with self._database.reading() as connection:
            found = await schema.version(connection)
        if found.current:
            return None
        if found.found is None:
            return "The database holds no schema yet; `warmup database upgrade` makes it."
        if not found.known:
            return f"The database's schema is {found.found}, this release knows {found.wanted}: it needs the newer release."
        return f"The database's schema is {found.found}, this release needs {found.wanted}; `warmup database upgrade` brings it."

    async def _work(self) -> int:
        """Run the parts until one ends, or an order to end comes."""
        self._start("heartbeat", self.lease.run())
        self._start("keeper", self._keeper.run())
        self._start("outcomes", self._outcomes.run())
        self._start("claims", self._claims.run())
        self._start("sweeper", self._sweeper.run())
        self._start("summary", self._summarize())
        if self._coordinator is not None:
            self._start("coordinator", self._coordinator.run())
        self._start("wake loop", self._wake_loop())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait([stopped, *self._running.values()], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self.lease.replaced.is_set():
            log.error("replaced: a newer process runs as worker %d; draining", self._settings.number)
            return REPLACED
        for name, part in self._running.items():
            if part.done():
                error = None if part.cancelled() else part.exception()
                log.critical("the %s ended unexpectedly; draining", name, exc_info=error)
                return FAILED
        return DRAINED

    def _start(self, name: str, part: Coroutine[None, None, None]) -> None:
        self._running[name] = asyncio.create_task(part, name=name)

    async def _wake_loop(self) -> None:
        """Start a turn for each mailbox that is due, while slots are free."""
        while True:
            self.report.wake_loop_at = boottime()
            self._wake.clear()
            pause = self._start_due()
            await asyncio.sleep(_BREATH_SECONDS)
            if pause > _BREATH_SECONDS:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause - _BREATH_SECONDS):
                        await self._wake.wait()

    def _start_due(self) -> float:
        """Start what is to start now; returns the seconds until there may be more."""
        orders = self.lease.orders
        if (
            orders is None
            or orders.paused
            or orders.deleted
            or self._settings.number > orders.worker_count
            or not self.lease.trusted
            or not self._outcomes.caught_up
            or not self._claims.open
            or not len(self._keeper.pool)  # nobody to write to: while it is read for the first time
        ):
            self._starter.unable()
            return ROUND_SECONDS
        unclaimed = len(self._sender.unclaimed)
        look = self._starter.look(self._clock.now(), orders, self._slots_taken, unclaimed)
        for mailbox, at in look.starts:
            self._begin(mailbox, at)
        return look.pause

    def _begin(self, mailbox: Mailbox, at: float) -> None:
        turn = Turn(mailbox, self._slot(mailbox.enrolment.smtp_host), at)
        self._sender.unclaimed.add(turn)
        turn.task = asyncio.create_task(self._sender.take(turn))
        turn.task.add_done_callback(partial(self._ended, turn))
        self._turns.add(turn)

    def _slot(self, host: str) -> Slot:
        self._slots_taken += 1
        return Slot(partial(self._give_back, host))

    def _give_back(self, host: str) -> None:
        self._slots_taken -= 1
        self._gates.leave(host)
        self._wake.set()

    def _ended(self, turn: Turn, task: asyncio.Task[None]) -> None:
        self._turns.discard(turn)
        self._sender.unclaimed.discard(turn)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.metrics.errors.labels("turn").inc()
            log.critical("the turn of mailbox %d broke", turn.mailbox.id, exc_info=error)

    async def _summarize(self) -> None:
        while True:
            await asyncio.sleep(_SUMMARY_SECONDS)
            log.info("%s", self.report.summary())

    async def _drain(self, end: float) -> bool:
        """Hand back what is not dotted, await replies, write outcomes, release the lease. Whether all is written."""
        self.report.draining = True
        self._claims.stop()
        self._running["wake loop"].cancel()
        if self._running["outcomes"].done():
            self._start("outcomes", self._outcomes.run())
        await self._await_turns(min(boottime() + self._timing.hand_back, end - self._timing.margin))
        for turn in list(self._turns):
            if not turn.dotted and turn.settled is None:
                turn.task.cancel()
        await self._await_turns(end - self._timing.margin)
        for turn in list(self._turns):
            if turn.settled is None:
                turn.task.cancel()
        await self._await_turns(min(boottime() + 1.0, end))  # a cancelled turn queues its outcome at once
        written = asyncio.create_task(self._written())
        await asyncio.wait(
            [written, self._running["outcomes"]],
            timeout=max(0.1, end - boottime() - 1.0),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not written.done():
            written.cancel()
            log.error("%d outcomes could not be written; their mails end in doubt", self._outcomes.waiting)
            return False
        try:
            await self.lease.release()
        except (Unreachable, Rejected) as error:
            log.warning("the lease was not released, it runs out by itself: %s", error)
        log.info("drained: %s", self.report.summary())
        return True

    async def _written(self) -> None:
        """Return when neither an outcome nor a token waits for the database any more."""
        await self._tokens.finish()
        await self._outcomes.written()

    async def _await_turns(self, until: float) -> None:
        tasks = [turn.task for turn in self._turns]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, until - boottime()))
