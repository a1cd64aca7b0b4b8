"""One fleet's database as the operator holds it: a small pool, the schema, ownership, upkeep, and faults in words.

Owns the engines of one fleet (disposed when its URL changes) and none of its data: SQL stands in ``demand``
and ``warmup_core``.
Invariants: nothing is written before the database is known to be this fleet's or nobody's; the schema and the partitions stand
before a worker is asked for; each step is one transaction.
Fails: ``Problem`` with a reason fit for a condition; the next look starts from the beginning, so it mends itself.
"""

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from warmup_core import database, fleet, partitions, schema, settings
from warmup_core.fleet import FleetRow, Owner
from warmup_core.spec import WarmupFleetSpec
from warmup_core.types import Refused
from warmup_operator import demand
from warmup_operator.demand import Demand
from warmup_operator.status import Problem, Reason

_log = logging.getLogger(__name__)

_STATEMENT_SECONDS = 20.0
_UPKEEP_SECONDS = 3600.0


@dataclass(frozen=True)
class Access:
    """``url``: what the workers use; ``owner_url``: what the operator uses, the same where no other is given."""

    url: URL
    owner_url: URL


@dataclass(frozen=True)
class View:
    """What the database says of this fleet at one instant. ``silent``: seconds since the heartbeat of numbers not live."""

    row: FleetRow
    live: frozenset[int]
    silent: dict[int, float]
    demand: Demand


class FleetDatabase:
    """The database of one fleet. Not safe for two users at once; a fleet's loop is one."""

    def __init__(self) -> None:
        self._access: Access | None = None
        self._engines: dict[URL, AsyncEngine] = {}
        self._checked = False
        self._upkept: tuple[date, float] | None = None

    async def close(self) -> None:
        """End the pools."""
        engines, self._engines, self._access = self._engines, {}, None
        for engine in engines.values():
            await engine.dispose()

    async def observe(self, access: Access, owner: Owner, spec: WarmupFleetSpec, generation: int) -> View:
        """Bring the schema up to date, be the owner, keep the partitions, and look. Raises Problem."""
        await self.use(access)
        try:
            if not self._checked:
                await self._prepare(spec.database.migrations == "Auto")
            async with self._engine.begin() as connection:
                if not await demand.zone_is_known(connection, spec.time_zone):
                    raise Problem(
                        Reason.TIME_ZONE_UNKNOWN,
                        f"spec.timeZone {spec.time_zone!r} is not known; write a name such as Europe/Berlin or UTC.",
                    )
                row = await self._own(connection, owner, spec, generation)
            if not self._checked:
                await self._admit_workers(access, row)
                self._checked = True
            await self._keep_partitions(row, spec.database.retention_days)
            async with self._engine.connect() as connection:
                return View(
                    row=row,
                    live=await fleet.live_workers(connection),
                    silent=await demand.silent_for(connection, row.worker_count),
                    demand=await demand.read(connection, row),
                )
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            self._checked = False
            fault = database.explain(error, access.owner_url)
            raise Problem(Reason(fault.reason), fault.message) from None
        except Problem:
            self._checked = False
            raise

    async def flip(self, epoch: int, target: int) -> bool:
        """Make ``target`` the count. False: somebody was faster; observe again. Raises Problem."""
        try:
            async with self._engine.begin() as connection:
                return await fleet.flip(connection, epoch=epoch, target=target)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            fault = database.explain(error, self._engine.url)
            raise Problem(Reason(fault.reason), fault.message) from None

    async def delete(self, owner: Owner) -> bool:
        """Mark the fleet deleted, through the last known connection. False: there is none, or it was not ours."""
        if self._access is None:
            return False
        try:
            async with self._engine.begin() as connection:
                return await fleet.delete(connection, owner)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            fault = database.explain(error, self._access.owner_url)
            raise Problem(Reason(fault.reason), fault.message) from None

    @property
    def _engine(self) -> AsyncEngine:
        assert self._access is not None
        return self._engines[self._access.owner_url]

    async def use(self, access: Access) -> None:
        """Make engines for these URLs; a changed URL ends the old pools. Connects only when needed. Raises Problem."""
        if access == self._access:
            return
        await self.close()
        try:
            for url in {access.owner_url, access.url}:
                self._engines[url] = database.create_engine(
                    url, pool_size=1, statement_seconds=_STATEMENT_SECONDS
                )
        except Refused as refusal:
            await self.close()
            raise Problem(Reason.DATABASE_URL_INVALID, str(refusal)) from None
        self._access = access
        self._checked, self._upkept = False, None

    async def _prepare(self, automatic: bool) -> None:
        """See to the schema: once a connection, and again after any fault."""
        async with self._engine.connect() as connection:
            found = await schema.version(connection)
        if found.current:
            return
        if not automatic and found.known:
            raise Problem(
                Reason.SCHEMA_OUTDATED,
                f"The schema is at {found.found or 'nothing'}, this release needs {found.wanted}, and database.migrations"
                " is Manual. Run `warmup database upgrade` with the owner's URL, or set it to Auto.",
            )
        try:
            before = await schema.upgrade(self._engine)
        except Refused as refusal:
            raise Problem(Reason.SCHEMA_TOO_NEW, str(refusal)) from None
        except schema.SchemaBusy as busy:
            raise Problem(Reason.SCHEMA_BUSY, str(busy)) from None
        _log.info("schema brought from %s to %s", before.found or "nothing", before.wanted)

    async def _own(
        self, connection: AsyncConnection, owner: Owner, spec: WarmupFleetSpec, generation: int
    ) -> FleetRow:
        try:
            return await fleet.own(
                connection,
                owner,
                generation=generation,
                token=secrets.token_hex(6),
                settings=settings.from_spec(spec),
                time_zone=spec.time_zone,
                paused=spec.paused,
            )
        except fleet.DatabaseInUse as taken:
            raise Problem(Reason.DATABASE_IN_USE, str(taken)) from None

    async def _admit_workers(self, access: Access, row: FleetRow) -> None:
        """Where the workers have a URL of their own: give its role what it needs, and see that it leads to the same place."""
        if access.url == access.owner_url:
            return
        role = access.url.username
        if role and role != access.owner_url.username:
            async with self._engine.begin() as connection:
                await schema.grant_worker(connection, role)
        try:
            async with self._engines[access.url].connect() as connection:
                token = await connection.scalar(text("SELECT token FROM fleet"))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            fault = database.explain(error, access.url)
            raise Problem(Reason(fault.reason), f"With the workers' URL: {fault.message}") from None
        if token != row.token:
            raise Problem(
                Reason.DATABASE_URLS_DIFFER,
                "database.urlSecretRef and database.ownerUrlSecretRef lead to two databases; both must name the fleet's.",
            )

    async def _keep_partitions(self, row: FleetRow, retention_days: int) -> None:
        """Each hour and when the day turns. Late is harmless: rows wait in the default partition, so it only warns."""
        today, now = demand.today(row), time.monotonic()
        if self._upkept and self._upkept[0] == today and now < self._upkept[1] + _UPKEEP_SECONDS:
            return
        try:
            done = await partitions.upkeep(self._engine.begin, today, retention_days)
        except SQLAlchemyError as error:
            _log.warning("partitions not kept: %s", database.explain(error, self._engine.url))
            return
        self._upkept = (today, now)
        if done.made or done.dropped:
            _log.info(
                "partitions made: %s; dropped: %s; rows moved: %d", done.made, done.dropped, done.rescued
            )
