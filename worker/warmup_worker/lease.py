"""The worker's lease on its number: one incarnation a process, a heartbeat every two seconds, a release at the end.

```
register (once) ---> live: beat, beat, ... ---> release          a beat that finds no row ---> replaced: drain and exit
```
An incarnation comes from a sequence, so the newest process of a number always has the highest. It is taken once in a
process's life: a replaced process never registers again, else two of them would take turns for ever (what a supervisor starts
in its place stands back for a while: ``newcomer``). The lease guards
nothing but the sweep (how soon a dead worker's open intents are put in doubt); a claim is fenced by the incarnation itself.
Each beat brings back what the worker obeys: the database's clock, the day, epoch, count, pause and settings. It takes along
what the worker measured of its sends, by which the fleet is sized; what the process before it measured stands until then.
Invariant: token, version and settings are always of one reading, so no limit of old settings passes for one of the new.
Fails: while Postgres is away beats are tried again every interval with jitter; ``trusted`` turns false after three missed
ones and the engine claims nothing then. Nor does it under settings that this release cannot read (a later one wrote them):
the old ones stay in hand, so that what is claimed is sent and settled, and ``unreadable`` says why no more is.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import connections, fleet
from warmup_core.capacity import Measured
from warmup_core.database import Unreachable
from warmup_core.fleet import FleetRow, Owner, SettingsUnreadable
from warmup_core.settings import FleetSettings
from warmup_worker import newcomer
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)

_EAGER = 0.25
"""The part of the usual interval after which a worker without mailboxes beats again."""


@dataclass(frozen=True)
class Identity:
    """Who claims: this worker's number and this process's incarnation."""

    number: int
    incarnation: int


@dataclass(frozen=True)
class Orders:
    """What the fleet's row orders, as the last heartbeat read it, with the settings in force then."""

    owner: Owner
    token: str
    epoch: int
    worker_count: int
    paused: bool
    deleted: bool
    day: date
    zone: str
    settings_version: int
    settings: FleetSettings


_REGISTER = text("""
INSERT INTO workers AS w (number, incarnation, lease_until, started_at, host, version, wanted_count)
VALUES (:number, nextval('incarnations'), clock_timestamp() + make_interval(secs => :lease), clock_timestamp(), :host, :version,
    CAST(:wanted_count AS integer))
ON CONFLICT (number) DO UPDATE SET incarnation = excluded.incarnation, lease_until = excluded.lease_until,
    started_at = excluded.started_at, host = excluded.host, version = excluded.version, wanted_count = excluded.wanted_count
WHERE w.incarnation < excluded.incarnation
RETURNING incarnation
""")

_BEAT = text("""
UPDATE workers w SET lease_until = clock_timestamp() + make_interval(secs => :lease),
    send_seconds = coalesce(CAST(:send_seconds AS float8), w.send_seconds),
    sends_per_second = coalesce(CAST(:sends_per_second AS float8), w.sends_per_second)
FROM (SELECT) AS always LEFT JOIN fleet f ON true
WHERE w.number = :number AND w.incarnation = :incarnation
RETURNING f.id AS fleet, f.epoch, f.worker_count, f.paused, f.deleted, f.settings_version, f.token, fleet_zone() AS zone,
    fleet_day() AS day, clock_timestamp() AS at, f.growing_since IS NOT NULL AS growing,
    (SELECT greatest(count(*), max(o.wanted_count)) FROM workers o WHERE o.lease_until > clock_timestamp()) AS processes,
    (SELECT string_agg(format('%s at worker %s on %s', o.wanted_count, o.number, o.host), ', ' ORDER BY o.number)
     FROM workers o WHERE o.wanted_count <> w.wanted_count AND o.lease_until > clock_timestamp()) AS dissent
""")

_RELEASE = text(
    "UPDATE workers SET lease_until = clock_timestamp() WHERE number = :number AND incarnation = :incarnation"
)


class Lease:
    """One process's hold on its number. ``replaced`` is set once, for good, when a newer process took the number."""

    def __init__(
        self,
        database: Database,
        number: int,
        timing: Timing,
        clock: DatabaseClock,
        host: str,
        version: str,
        measured: Callable[[int], Measured | None] = lambda slots: None,
        wanted_count: int | None = None,
    ) -> None:
        self._database, self._timing, self._clock = database, timing, clock
        self._measured = measured
        self._host, self._version = host, version
        self._number, self._wanted_count = number, wanted_count
        self._newcomer = newcomer.Newcomer(number, timing)
        self.identity: Identity | None = None
        self.orders: Orders | None = None
        self.replaced = asyncio.Event()
        self.beaten = asyncio.Event()
        """Set by each beat; whoever follows the beats clears it."""
        self._hurry = asyncio.Event()
        self._last_beat = -float("inf")
        self.came_round = boottime()
        self.trouble: str | None = None
        self.dissent: str | None = None
        """Live workers whose environment asks for another count than this one's, in words; None while all agree."""
        self.unreadable: str | None = None
        """Why the fleet's settings are not the ones in hand; None while they are."""

    @property
    def age(self) -> float:
        """Seconds since the last beat that arrived; infinite before the first."""
        return boottime() - self._last_beat

    @property
    def trusted(self) -> bool:
        """Whether the last beat is young enough to claim under, and its settings are the fleet's."""
        young = self.age < 3 * self._timing.heartbeat
        return young and self.unreadable is None and not self.replaced.is_set()

    async def register(self) -> str | None:
        """Take an incarnation, if the number is free to take. Called until it succeeds, and never after it did. Returns what
        stands in the way. Raises Unreachable."""
        if self.identity is not None:
            raise RuntimeError("a process registers once in its life")
        async with self._database.transaction(urgent=True) as connection:
            holder = await newcomer.holder(connection, self._number)
            if crowded := self._newcomer.crowded(holder, boottime()):
                return crowded
            incarnation = await connection.scalar(
                _REGISTER,
                {
                    "number": self._number,
                    "lease": self._timing.lease,
                    "host": self._host,
                    "version": self._version,
                    "wanted_count": self._wanted_count,
                },
            )
        if incarnation is None:
            self.replaced.set()
        else:
            self.identity = Identity(self._number, incarnation)
        return None

    def hurry(self) -> None:
        """Beat now: somebody learned that the orders have changed."""
        self._hurry.set()

    async def run(self) -> None:
        """Beat until replaced. An outage is waited out; anything else ends the worker."""
        while not self.replaced.is_set():
            try:
                await self._beat()
                if self.trouble:
                    log.info("the database answers again")
                self.trouble = None
            except (Unreachable, Rejected) as error:
                if str(error) != self.trouble:
                    log.warning("no heartbeat: %s", error)
                self.trouble = str(error)
            self.came_round = boottime()
            await self._pause()

    async def _pause(self) -> None:
        interval = self._timing.heartbeat * random.uniform(0.9, 1.0)  # noqa: S311 - jitter, no secret
        if self.orders is None or self.orders.worker_count < self._number:
            # It is about to be given mailboxes, which wait until it knows; one that sends learns from a refused claim.
            interval *= _EAGER
        try:
            async with asyncio.timeout(interval):
                await self._hurry.wait()
            await asyncio.sleep(self._timing.heartbeat / 20)  # many may hurry at once: one beat serves them
        except TimeoutError:
            pass
        self._hurry.clear()

    async def _beat(self) -> None:
        assert self.identity is not None
        slots = self.orders.settings.max_concurrent_sends if self.orders else 0
        measured = self._measured(slots) if slots else None
        async with self._database.transaction(urgent=True) as connection:
            row = (
                await connection.execute(
                    _BEAT,
                    {
                        "number": self.identity.number,
                        "incarnation": self.identity.incarnation,
                        "lease": self._timing.lease,
                        "send_seconds": measured.send.total_seconds() if measured else None,
                        "sends_per_second": measured.per_second if measured else None,
                    },
                )
            ).first()
            if row is None:
                self.replaced.set()
                return
            read = await self._settings(connection, row.token, row.settings_version)
        self._clock.set(row.at)
        self._last_beat = boottime()
        self._hear(row.dissent)
        if read is not None:
            processes = max(row.worker_count, row.processes, self._number)
            self._database.hold(
                connections.of_worker(read.settings.max_connections, processes, growing=row.growing)
            )
        self.orders = (
            None
            if row.fleet is None or read is None
            else Orders(
                owner=read.owner,
                token=read.token,
                epoch=row.epoch,
                worker_count=row.worker_count,
                paused=row.paused,
                deleted=row.deleted,
                day=row.day,
                zone=row.zone,
                settings_version=read.settings_version,
                settings=read.settings,
            )
        )
        self.beaten.set()

    def _hear(self, others: str | None) -> None:
        """Of workers that were given another count: both sides say so, since either may be the wrong one."""
        dissent = None
        if others is not None:
            dissent = (
                f"WARMUP_WORKER_COUNT is {self._wanted_count} here, at worker {self._number} on {self._host}, and {others}. "
                "Give every worker the same; until then worker 1's counts, and no mailbox has two owners."
            )
        if dissent is not None and dissent != self.dissent:
            log.error("%s", dissent)
        self.dissent = dissent

    async def _settings(
        self, connection: AsyncConnection, token: str | None, version: int | None
    ) -> Orders | FleetRow | None:
        """What holds the fleet's settings: the orders in hand while their version stands, else the row read anew; None while
        there is no fleet. A fleet that was made since the heartbeat looked for one is the next heartbeat's, which sees all of
        its row.
        """
        known, unreadable = self.orders, None
        found: Orders | FleetRow | None = known
        if token is None:
            found = None
        elif known is None or (known.token, known.settings_version) != (token, version):
            try:
                found = await fleet.read(connection)
            except SettingsUnreadable as error:
                unreadable = str(error)
        if unreadable is not None and unreadable != self.unreadable:
            log.error("nothing is claimed: %s", unreadable)
        self.unreadable = unreadable
        return found

    async def release(self) -> None:
        """Give the lease back, so that others need not wait for it to run out. Raises Unreachable."""
        if self.identity is None or self.replaced.is_set():
            return
        async with self._database.transaction() as connection:
            await connection.execute(
                _RELEASE, {"number": self.identity.number, "incarnation": self.identity.incarnation}
            )
