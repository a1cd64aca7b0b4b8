"""The worker's lease on its number: one incarnation a process, a heartbeat every two seconds, a release at the end.

```
register (once) ---> live: beat, beat, ... ---> release          a beat that finds no row ---> replaced: drain and exit
```
An incarnation comes from a sequence, so the newest process of a number always has the highest. It is taken once in a
process's life: a replaced process never registers again, else two of them would take turns for ever. The lease guards
nothing but the sweep (how soon a dead worker's open intents are put in doubt); a claim is fenced by the incarnation itself.
Each beat brings back what the worker obeys: the database's clock, the day, epoch, count, pause and settings.
Fails: while Postgres is away beats are tried again every interval with jitter; ``trusted`` turns false after three missed
ones and the engine claims nothing then.
"""

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import date

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_core import fleet
from warmup_core.database import Unreachable
from warmup_core.fleet import Owner
from warmup_core.settings import FleetSettings
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)


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
INSERT INTO workers AS w (number, incarnation, lease_until, started_at, host, version)
VALUES (:number, nextval('incarnations'), clock_timestamp() + make_interval(secs => :lease), clock_timestamp(), :host, :version)
ON CONFLICT (number) DO UPDATE SET incarnation = excluded.incarnation, lease_until = excluded.lease_until,
    started_at = excluded.started_at, host = excluded.host, version = excluded.version
WHERE w.incarnation < excluded.incarnation
RETURNING incarnation
""")

_BEAT = text("""
UPDATE workers w SET lease_until = clock_timestamp() + make_interval(secs => :lease)
FROM (SELECT) AS always LEFT JOIN fleet f ON true
WHERE w.number = :number AND w.incarnation = :incarnation
RETURNING f.id AS fleet, f.epoch, f.worker_count, f.paused, f.deleted, f.settings_version, f.token, fleet_zone() AS zone,
    fleet_day() AS day, clock_timestamp() AS at
""")

_RELEASE = text(
    "UPDATE workers SET lease_until = clock_timestamp() WHERE number = :number AND incarnation = :incarnation"
)


class Lease:
    """One process's hold on its number. ``replaced`` is set once, for good, when a newer process took the number."""

    def __init__(
        self, database: Database, number: int, timing: Timing, clock: DatabaseClock, host: str, version: str
    ) -> None:
        self._database, self._timing, self._clock = database, timing, clock
        self._host, self._version = host, version
        self._number = number
        self.identity: Identity | None = None
        self.orders: Orders | None = None
        self.replaced = asyncio.Event()
        self.beaten = asyncio.Event()
        """Set by each beat; whoever follows the beats clears it."""
        self._hurry = asyncio.Event()
        self._last_beat = -float("inf")
        self.came_round = boottime()
        self.trouble: str | None = None
        self._unreadable: str | None = None
        """What is wrong with the fleet's settings, as it was logged."""

    @property
    def age(self) -> float:
        """Seconds since the last beat that arrived; infinite before the first."""
        return boottime() - self._last_beat

    @property
    def trusted(self) -> bool:
        """Whether the last beat is young enough to claim under."""
        return self.age < 3 * self._timing.heartbeat and not self.replaced.is_set()

    async def register(self) -> None:
        """Take an incarnation. Called until it succeeds, and never after it did. Raises Unreachable."""
        if self.identity is not None:
            raise RuntimeError("a process registers once in its life")
        async with self._database.transaction() as connection:
            incarnation = await connection.scalar(
                _REGISTER,
                {
                    "number": self._number,
                    "lease": self._timing.lease,
                    "host": self._host,
                    "version": self._version,
                },
            )
        if incarnation is None:
            self.replaced.set()
        else:
            self.identity = Identity(self._number, incarnation)

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
        try:
            async with asyncio.timeout(interval):
                await self._hurry.wait()
            await asyncio.sleep(self._timing.heartbeat / 20)  # many may hurry at once: one beat serves them
        except TimeoutError:
            pass
        self._hurry.clear()

    async def _beat(self) -> None:
        assert self.identity is not None
        async with self._database.transaction() as connection:
            row = (
                await connection.execute(
                    _BEAT,
                    {
                        "number": self.identity.number,
                        "incarnation": self.identity.incarnation,
                        "lease": self._timing.lease,
                    },
                )
            ).first()
            if row is None:
                self.replaced.set()
                return
            settings = await self._settings(connection, row.token, row.settings_version)
        self._clock.set(row.at)
        self._last_beat = boottime()
        self.orders = (
            None
            if row.fleet is None or settings is None
            else Orders(
                owner=settings[0],
                token=row.token,
                epoch=row.epoch,
                worker_count=row.worker_count,
                paused=row.paused,
                deleted=row.deleted,
                day=row.day,
                zone=row.zone,
                settings_version=row.settings_version,
                settings=settings[1],
            )
        )
        self.beaten.set()

    async def _settings(
        self, connection: AsyncConnection, token: str | None, version: int | None
    ) -> tuple[Owner, FleetSettings] | None:
        """Owner and settings: those in hand while their version stands, else read anew; None while there is no fleet."""
        known = self.orders
        if known is not None and (known.token, known.settings_version) == (token, version):
            return known.owner, known.settings
        try:
            row = await fleet.read(connection)
        except ValidationError as error:
            if str(error) != self._unreadable:
                log.error("the fleet's settings cannot be read, the last good ones stay: %s", error)
            self._unreadable = str(error)
            return (known.owner, known.settings) if known else None
        self._unreadable = None
        return (row.owner, row.settings) if row else None

    async def release(self) -> None:
        """Give the lease back, so that others need not wait for it to run out. Raises Unreachable."""
        if self.identity is None or self.replaced.is_set():
            return
        async with self._database.transaction() as connection:
            await connection.execute(
                _RELEASE, {"number": self.identity.number, "incarnation": self.identity.incarnation}
            )
