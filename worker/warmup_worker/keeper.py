"""Keeps the shard in memory in step with the tables: after each heartbeat what changed, now and then everything.

A new epoch, day, zone or settings version makes the whole portion be read (and its quotas planned) again; what another
worker owns now is dropped before. Otherwise each beat brings the mailboxes that a person or an import changed in the last
minute (the overlap forgives transactions that committed late) and those to be looked at again. Rows that were deleted are
found by the slow full reading.
The pool of recipients is the same for every worker and takes the database half a second for 100,000 mailboxes. So it is read
again only where a mailbox has changed, not for a resize, a new setting or a new day, which reach all workers at once. A worker
that is about to be given mailboxes has read it before; one that has some when it starts reads it beside them. While changes go
on, a reading is followed by a rest of thirty times what it took, ten seconds at the least: a newcomer waits so long for its
first mail.
Fails: an outage leaves memory as it is; the next beat tries again.
"""

import asyncio
import gc
import itertools
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

from warmup_core import schedules
from warmup_core.database import Unreachable
from warmup_worker import pausing, roster
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.foresight import Foresight
from warmup_worker.lease import Lease, Orders
from warmup_worker.pauses import Pauses
from warmup_worker.pool import Headcount, Pool
from warmup_worker.roster import Change, MailboxRow, Portion
from warmup_worker.shard import Shard
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)

_OVERLAP, _LONG_OVERLAP = timedelta(seconds=5), timedelta(seconds=60)
_LONG_EVERY = 20.0
"""Seconds between two looks at the last minute: after a large import that look is not cheap."""
_POOL_SECONDS, _POOL_TIMES = 10.0, 30.0
"""How long after a reading of the pool an import that goes on for a while may make it be read again: seconds at the least, and
times what that reading took, so that all workers together ask the database for it no more than it can bear."""


T = TypeVar("T")


def rest_of_the_pool(took: float) -> float:
    """Seconds for which a pool that took so many to read is not read again while changes go on. Pure."""
    return max(_POOL_SECONDS, _POOL_TIMES * took)


async def _slices(items: Sequence[T], length: int = 1000) -> AsyncIterator[Sequence[T]]:
    """What concerns many mailboxes, in pieces of some milliseconds; in between heartbeats and sends have their turn."""
    for start in range(0, len(items), length):
        yield items[start : start + length]
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Scope:
    """What a whole reading depends on."""

    token: str
    epoch: int
    worker_count: int
    day: date
    zone: str
    settings_version: int

    @classmethod
    def of(cls, orders: Orders) -> "Scope":
        """The scope that these orders make."""
        return cls(
            orders.token,
            orders.epoch,
            orders.worker_count,
            orders.day,
            orders.zone,
            orders.settings_version,
        )


@dataclass(frozen=True)
class _Reading:
    """What the pool in memory is of. ``change``: when any mailbox had changed last."""

    day: date
    zone: str
    change: datetime | None
    fingerprint: tuple[int, int | None]


class Keeper:
    """Owns what comes into the shard, the pauses and the pool. ``loaded`` is set once the first whole reading is done."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        shard: Shard,
        clock: DatabaseClock,
        timing: Timing,
        number: int,
        wake: asyncio.Event,
        foresight: Foresight,
    ) -> None:
        self.foresight = foresight
        self._database, self._lease, self._shard, self._clock = database, lease, shard, clock
        self._timing, self._number, self._wake = timing, number, wake
        self.pauses = Pauses()
        self.pool = Pool()
        self.loaded = asyncio.Event()
        self._scope: Scope | None = None
        self._portion: Portion | None = None
        """What the last whole reading was of."""
        self._seen_until: datetime | None = None
        self._read_at = self._pool_read_at = self._long_look_at = -float("inf")
        self._pool_rests = rest_of_the_pool(0.0)
        self._pool_of: _Reading | None = None
        self._trouble: str | None = None
        self._paused_until: datetime | None = None

    async def run(self) -> None:
        """Follow the heartbeats, for ever."""
        while True:
            await self._lease.beaten.wait()
            self._lease.beaten.clear()
            try:
                await self._follow(self._lease.orders)
                self._trouble = None
            except (Unreachable, Rejected) as error:
                if str(error) != self._trouble:
                    log.warning("the shard could not be read: %s", error)
                self._trouble = str(error)
            self._wake.set()

    async def _follow(self, orders: Orders | None) -> None:
        if orders is None or self._number > orders.worker_count or orders.deleted:
            self._scope = None
            await self._drop(self._shard.mailboxes)
            if orders is not None and not orders.deleted:
                await self._keep_pool(orders, patient=True)
            return
        scope = Scope.of(orders)
        whole = scope != self._scope or boottime() - self._read_at > self._timing.reread_every
        self._choose_schedule(orders)
        await self._read_pauses(whole)
        if whole:
            await self._read_everything(orders, scope)
        else:
            await self._read_changes(orders)

    def _choose_schedule(self, orders: Orders) -> None:
        """Let the mails be spread as the settings ask for; the reading that follows a change places every mailbox anew."""
        seed = f"{orders.token}/{self._number}"
        chosen = schedules.choose(orders.settings, self._number, orders.worker_count, seed)
        if chosen != self._shard.schedule:
            self._shard.schedule = chosen

    async def _read_pauses(self, whole: bool) -> None:
        at = self._clock.instant()
        since = None if whole or self._paused_until is None else self._paused_until - _OVERLAP
        async with self._database.reading() as connection:
            rows = await pausing.read(connection, since)
        now = self._clock.now()
        opened = self.pauses.take_in(rows, now, whole=since is None)
        self._paused_until = at
        if opened:
            self._shard.resume(opened)

    async def _read_everything(self, orders: Orders, scope: Scope) -> None:
        new = scope != self._scope
        if new:
            gc.collect()  # before there is much to go through: what is garbage when the rest is frozen stays for good
        async for some in _slices(list(self._shard.mailboxes)):
            self._shard.keep_owned(self._number, orders.worker_count, some)
        started, since = boottime(), self._clock.instant()
        self._shard.day = orders.day
        async with self._pool_beside(orders, thorough=not new) as headcount:
            planner = self.foresight.planner(orders, headcount)
            self._portion = portion = Portion(self._number, orders.worker_count, planner)
            gone = set(self._shard.mailboxes)
            async for page in roster.everything(self._database, portion):
                if gone:
                    gone.difference_update(row.id for row in page)
                await self._put(page, anew=new)
                if new:
                    gc.freeze()  # what was read stays: looking for garbage in it again and again is in vain
        await self._drop(gone)
        self._scope, self._read_at, self._seen_until = scope, started, since
        self.loaded.set()
        if new:
            log.info(
                "worker %d of %d, epoch %d, day %s: %d mailboxes, read in %.2f s",
                self._number,
                portion.count,
                scope.epoch,
                scope.day,
                len(self._shard.mailboxes),
                boottime() - started,
                extra={
                    "epoch": scope.epoch,
                    "workers": portion.count,
                    "mailboxes": len(self._shard.mailboxes),
                },
            )

    @asynccontextmanager
    async def _pool_beside(self, orders: Orders, *, thorough: bool) -> AsyncIterator[Headcount]:
        """The fleet's headcount at once, and the pool at the end of the block at the latest. The first time it is read beside
        the mailboxes: the database works on it while this process takes pages in."""
        if self._pool_of is not None:
            await self._keep_pool(orders, thorough=thorough)
            yield self.pool.headcount
            return
        async with self._database.reading() as connection:
            headcount = await roster.headcount(connection)
        reading = asyncio.create_task(self._keep_pool(orders))
        try:
            yield headcount
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read_changes(self, orders: Orders) -> None:
        portion = self._portion
        assert portion is not None
        assert self._seen_until is not None
        now = self._clock.instant()
        long = boottime() - self._long_look_at > _LONG_EVERY
        since = self._seen_until - (_LONG_OVERLAP if long else _OVERLAP)
        async with self._database.reading() as connection:
            changes = await roster.changed(connection, portion, since)
        unknown: set[int] = set()
        async for few in _slices(changes):
            unknown.update(it.id for it in itertools.starmap(Change, few) if not self._shard.knows(it))
        wanted = sorted(unknown | self._shard.look_again)
        for start in range(0, len(wanted), roster.PAGE):
            some = wanted[start : start + roster.PAGE]
            async with self._database.reading() as connection:
                rows = await roster.named(connection, portion, some)
            await self._drop(set(some) - {row.id for row in rows})
            await self._put(rows)
        self._seen_until = now
        if long:
            self._long_look_at = boottime()
        await self._keep_pool(orders, patient=True)

    async def _put(self, rows: Sequence[MailboxRow], *, anew: bool = False) -> None:
        """Take rows in a few at a time, so that sends in flight do not wait for a large shard."""
        async for some in _slices(rows, 200):
            self._shard.put(some, self._clock.now(), anew=anew)
            self._wake.set()

    async def _drop(self, ids: Iterable[int]) -> None:
        """Forget mailboxes, a few at a time as well."""
        async for some in _slices(list(ids)):
            self._shard.drop(some)

    async def _keep_pool(self, orders: Orders, *, thorough: bool = False, patient: bool = False) -> None:
        """Read the pool where it is not the one in memory: a mailbox has changed, or a new day leaves out who had left.

        ``thorough``: deleted rows and transactions that committed late are changes, too, which the newest change does not tell.
        ``patient``: an import that goes on for a while is not followed mailbox by mailbox.
        """
        if patient and boottime() - self._pool_read_at <= self._pool_rests:
            return
        async with self._database.reading() as connection:
            known, change = self._pool_of, await roster.last_change(connection)
            if (
                known is not None
                and known.change == change
                and (self.pool.whole or (known.day, known.zone) == (orders.day, orders.zone))
                and (not thorough or known.fingerprint == await roster.fingerprint(connection))
            ):
                return
            # The fingerprint before the pool: what comes in between makes it be read once more.
            found = _Reading(orders.day, orders.zone, change, await roster.fingerprint(connection))
            began = boottime()
            members = await roster.pool(connection)
        self.pool = await asyncio.to_thread(Pool, members)
        self._pool_of, self._pool_read_at = found, boottime()
        self._pool_rests = rest_of_the_pool(self._pool_read_at - began)
