"""The worker from start to end: register, follow the heartbeats, wake mailboxes when due, drain.

```
start: telemetry -> schema known? -> register -> [heartbeat, keeper, claims, outcomes, upkeep, coordinator of worker 1], wake loop
turn:  due and a free slot -> sender.take (connect, claim, send, settle)
end:   SIGTERM, replaced, a part died -> claim nothing -> hand back what is not dotted -> await replies -> settle -> release
```
Invariants: at most ``max_concurrent_sends`` turns hold a slot, at most half of them at one host. Nothing is started while the
last heartbeat is old, outcomes wait for the database, the fleet is paused, or no rate token would come in time. A part that
ends for any reason but an order ends the worker, loudly and drained: never a zombie.
Fails: exit code 1 with the reason in the log; 3 when replaced by a newer process of the same number.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Coroutine
from functools import partial

from warmup_core import __version__, limits, schema
from warmup_core.database import Unreachable
from warmup_worker.batches import Claims, Outcomes
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.connection import HEARTBEAT, Database, Rejected
from warmup_worker.coordinator import Coordinator
from warmup_worker.gates import Gates
from warmup_worker.keeper import Keeper
from warmup_worker.lease import Lease
from warmup_worker.limits import Limits
from warmup_worker.metrics import Metrics
from warmup_worker.report import Report
from warmup_worker.sender import Sender, Turn
from warmup_worker.settings import WorkerSettings
from warmup_worker.settling import sweep
from warmup_worker.shard import Mailbox, Shard
from warmup_worker.telemetry import Telemetry
from warmup_worker.trust import trusted_authorities

log = logging.getLogger(__name__)

DRAINED, FAILED, REPLACED = 0, 1, 3
_ROUND_SECONDS = 1.0
"""The longest the wake loop sleeps: it also notices orders that no event tells."""
_LARGEST_ROUND = 1000
"""Mailboxes begun or set aside before others have their turn on the event loop."""
_SUMMARY_SECONDS = 60.0


class Engine:
    """One worker process. ``run`` is called once; ``stop`` may be called any number of times."""

    def __init__(self, settings: WorkerSettings, local_hostname: str | None = None) -> None:
        timing = settings.timing
        self._settings, self._timing = settings, timing
        self._database = Database(settings.current_url, timing.statement)
        self._heartbeats = Database(settings.current_url, timing.statement, HEARTBEAT)
        self._clock = DatabaseClock()
        self._wake, self._stop = asyncio.Event(), asyncio.Event()
        self.metrics = Metrics(settings.number)
        host = socket.gethostname()
        self.lease = Lease(self._heartbeats, settings.number, timing, self._clock, host, __version__)
        self.shard = Shard(boottime)
        self._outcomes = Outcomes(self._database, self.lease, timing, self.metrics)
        self._limits = Limits(self._database, self.lease, timing, settings.number)
        self._gates = Gates(self.shard)
        self._claims = Claims(
            self._database, self.lease, self._outcomes, self._limits, timing, self.metrics, self._wake
        )
        self._keeper = Keeper(
            self._database, self.lease, self.shard, self._clock, timing, settings.number, self._wake
        )
        self._sender = Sender(
            lease=self.lease,
            shard=self.shard,
            keeper=self._keeper,
            claims=self._claims,
            limits=self._limits,
            gates=self._gates,
            outcomes=self._outcomes,
            clock=self._clock,
            timing=timing,
            metrics=self.metrics,
            keys=settings.keys,
            authorities=trusted_authorities(settings.ca_file),
            templates=settings.templates,
            local_hostname=local_hostname or host,
        )
        self._coordinator = (
            Coordinator(self._database, self.lease, settings.wanted, timing.heartbeat)
            if settings.wanted is not None and settings.number == 1
            else None
        )
        self.report = Report(
            settings.number,
            settings.wanted,
            self.lease,
            self.shard,
            self._keeper,
            self._outcomes,
            self._limits,
            self._coordinator,
            self._clock,
        )
        self.telemetry = Telemetry(
            self.report, self.metrics, settings.telemetry_host, settings.telemetry_port
        )
        self._turns: set[Turn] = set()
        self._slots_taken = 0
        self._parts: dict[str, asyncio.Task[None]] = {}

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
            for part in self._parts.values():
                part.cancel()
            await asyncio.gather(*self._parts.values(), return_exceptions=True)
            await self.telemetry.close()
            await self._database.close()
            await self._heartbeats.close()
            log.info("ended with exit code %d", code)

    async def _register(self) -> bool:
        """Wait for a schema that this release knows and take an incarnation. False when stopped or replaced before."""
        while not self._stop.is_set() and not self.lease.replaced.is_set():
            self.report.wake_loop_at = self.lease.came_round = boottime()
            try:
                trouble = await self._schema_trouble()
                if trouble is None:
                    await self.lease.register()
            except (Unreachable, Rejected) as error:
                trouble = str(error)
            if self.lease.identity is not None:
                self.report.starting = None
                log.info(
                    "worker %d registered, incarnation %d",
                    self._settings.number,
                    self.lease.identity.incarnation,
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
        self._start("upkeep", self._upkeep())
        self._start("summary", self._summarize())
        if self._coordinator is not None:
            self._start("coordinator", self._coordinator.run())
        self._start("wake loop", self._wake_loop())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait([stopped, *self._parts.values()], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self.lease.replaced.is_set():
            log.error("replaced: a newer process runs as worker %d; draining", self._settings.number)
            return REPLACED
        for name, part in self._parts.items():
            if part.done():
                error = None if part.cancelled() else part.exception()
                log.critical("the %s ended unexpectedly; draining", name, exc_info=error)
                return FAILED
        return DRAINED

    def _start(self, name: str, part: Coroutine[None, None, None]) -> None:
        self._parts[name] = asyncio.create_task(part, name=name)

    async def _wake_loop(self) -> None:
        """Start a turn for each mailbox that is due, while slots are free."""
        while True:
            self.report.wake_loop_at = boottime()
            self._wake.clear()
            pause = self._start_due()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _start_due(self) -> float:
        """Start what can be started now; returns the seconds until there may be more."""
        orders = self.lease.orders
        if (
            orders is None
            or orders.paused
            or orders.deleted
            or self._settings.number > orders.worker_count
            or not self.lease.trusted
            or not self._outcomes.caught_up
        ):
            return _ROUND_SECONDS
        slots, now = orders.settings.max_concurrent_sends, self._clock.now()
        share = limits.host_share(slots)
        self._limits.obey(orders)
        self._gates.open_due(now, share)
        ready = sum(turn.claim is None for turn in self._turns)
        for _ in range(_LARGEST_ROUND):
            if self._slots_taken >= slots:
                return _ROUND_SECONDS
            if not self._limits.room(ready, orders.worker_count):
                wait = self._limits.opens_at - boottime()
                return (
                    min(_ROUND_SECONDS, wait) if wait > 0 else _ROUND_SECONDS
                )  # each batch of claims wakes the loop
            mailbox = self.shard.begin(now)
            if mailbox is None:
                next_wakes = [
                    it for it in (self.shard.next_wake(), self._gates.next_opening()) if it is not None
                ]
                until = min(next_wakes, default=now + _ROUND_SECONDS) - self._clock.now()
                return min(_ROUND_SECONDS, max(0.001, until))
            held = self._keeper.pauses.holding(mailbox, now, orders.worker_count)
            if held is not None:
                self.shard.pause(mailbox, held.gate, held.rule, held.at)
            elif self._gates.admit(mailbox, share):
                self._begin(mailbox)
                ready += 1
        return 0.0

    def _begin(self, mailbox: Mailbox) -> None:
        turn = Turn(mailbox, self._slot(mailbox.smtp_host))
        turn.task = asyncio.create_task(self._sender.take(turn))
        turn.task.add_done_callback(partial(self._ended, turn))
        self._turns.add(turn)

    def _slot(self, host: str) -> "_Slot":
        self._slots_taken += 1
        return _Slot(partial(self._give_back, host))

    def _give_back(self, host: str) -> None:
        self._slots_taken -= 1
        self._gates.leave(host)
        self._wake.set()

    def _ended(self, turn: Turn, task: asyncio.Task[None]) -> None:
        self._turns.discard(turn)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.metrics.errors.labels("turn").inc()
            log.critical("the turn of mailbox %d broke", turn.mailbox.id, exc_info=error)

    async def _upkeep(self) -> None:
        """Sweep what dead workers left, and close claims of our own whose commit was unknown."""
        trouble: str | None = None
        while True:
            await asyncio.sleep(self._timing.sweep_every * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            try:
                async with self._database.reading() as connection:
                    swept = await sweep(connection, self._timing.sweep)
                await self._outcomes.close_unknown()
            except (Unreachable, Rejected) as error:
                if str(error) != trouble:
                    log.warning("no sweep: %s", error)
                trouble = str(error)
                continue
            trouble = None
            if swept:
                self.metrics.swept.inc(swept)
                log.warning("swept: %d mails of dead workers are in doubt", swept)

    async def _summarize(self) -> None:
        while True:
            await asyncio.sleep(_SUMMARY_SECONDS)
            log.info("%s", self.report.summary())

    async def _drain(self, end: float) -> bool:
        """Hand back what is not dotted, await replies, write outcomes, release the lease. Whether all is written."""
        self.report.draining = True
        self._claims.stop()
        self._parts["wake loop"].cancel()
        if self._parts["outcomes"].done():
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
        written = asyncio.create_task(self._outcomes.written())
        await asyncio.wait(
            [written, self._parts["outcomes"]],
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

    async def _await_turns(self, until: float) -> None:
        tasks = [turn.task for turn in self._turns]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, until - boottime()))


class _Slot:
    """Gives a slot back when called first, nothing after."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def __call__(self) -> None:
        if self._give_back is not None:
            self._give_back()
            self._give_back = None
