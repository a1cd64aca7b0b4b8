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

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from warmup_core import capacity, census, database, fleet, schema, settings, upkeep
from warmup_core.capacity import Capacity
from warmup_core.census import Census
from warmup_core.fleet import FleetRow, Owner
from warmup_core.spec import WarmupFleetSpec
from warmup_core.spec_status import MailboxesStatus
from warmup_core.types import SWEEP_SECONDS, Refused
from warmup_core.upkeep import Upkeeper
from warmup_operator import demand, strain
from warmup_operator.demand import Demand
from warmup_operator.migration import Migration
from warmup_operator.resize import Resize
from warmup_operator.status import Problem, Reason
from warmup_operator.strain import Strain

_log = logging.getLogger(__name__)

_STATEMENT_SECONDS = 20.0
_MIGRATION_SECONDS = 6 * 3600.0
"""For one statement of a migration: however long it takes, but not for ever on a connection that nobody holds any more."""
_PATIENCE = 10.0
"""For a migration and an upkeep, which usually end within it; one that takes longer goes on beside the looks."""
_CENSUS_SECONDS = 300.0


@dataclass(frozen=True)
class Access:
    """``url``: what the workers use; ``owner_url``: what the operator uses, the same where no other is given."""

    url: URL
    owner_url: URL


@dataclass(frozen=True)
class View:
    """What the database says of this fleet at one instant.

    ``expired``: seconds since the lease ran out, by number, -1 for an owner that never had one. ``unowned``: active mailboxes
    whose owner is not live. ``census``: who is enrolled, as it was counted minutes ago at most.
    """

    row: FleetRow
    live: frozenset[int]
    expired: dict[int, float]
    unowned: int
    twice: int
    demand: Demand
    census: Census
    strain: Strain | None = None

    @property
    def silent(self) -> dict[int, float]:
        """Those of ``expired`` that own mailboxes."""
        return {number: out for number, out in self.expired.items() if number <= self.row.worker_count}

    @property
    def capacity(self) -> Capacity:
        """What one worker can send of today's mails."""
        return capacity.of_settings(self.row.settings, self.demand.measured, self.census.largest_host)


class FleetDatabase:
    """The database of one fleet. Not safe for two users at once; a fleet's loop is one."""

    def __init__(self, statement_seconds: float = _STATEMENT_SECONDS, patience: float = _PATIENCE) -> None:
        self._statement_seconds, self._patience = statement_seconds, patience
        self._access: Access | None = None
        self._engines: dict[URL, AsyncEngine] = {}
        self._checked = False
        self._migration = Migration(self._upgrade)
        self._upkeep = Upkeeper(lambda: self._apart(upkeep.STATEMENT_SECONDS))
        self._counted: tuple[tuple[int, int], float, Census] | None = None

    async def close(self) -> None:
        """End the pools."""
        await self._migration.end()
        await self._upkeep.end()
        engines, self._engines, self._access = self._engines, {}, None
        for engine in engines.values():
            await engine.dispose()

    async def observe(
        self, access: Access, owner: Owner, spec: WarmupFleetSpec, generation: int, adopt: str | None = None
    ) -> View:
        """Bring the schema up to date, be the owner, keep the partitions, and look. Raises Problem.

        ``adopt``: the uid of the fleet whose database this one takes over.
        """
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
                row = await self._own(connection, owner, spec, generation, adopt)
            if not self._checked:
                await self._admit_workers(access, row)
                self._checked = True
            await self._upkeep.keep(demand.today(row), spec.database.retention_days, self._patience)
            async with self._engine.connect() as connection:
                live = await fleet.live_workers(connection)
                asked = await demand.read(connection, row)
                everybody = row.worker_count > 0 and live.issuperset(range(1, row.worker_count + 1))
                return View(
                    row=row,
                    live=live,
                    expired=await demand.expired_for(connection, row.worker_count),
                    unowned=0 if everybody else await fleet.unowned(connection),
                    twice=await demand.twice(connection, row.worker_count),
                    demand=asked,
                    census=await self._census(connection, asked.mailboxes),
                    strain=await strain.read(connection),
                )
        except (SQLAlchemyError, *database.FAULTS) as error:
            self._checked = False
            fault = database.explain(error, access.owner_url)
            raise Problem(Reason(fault.reason), fault.message) from None
        except Problem:
            self._checked = False
            raise

    async def _census(self, connection: AsyncConnection, mailboxes: MailboxesStatus) -> Census:
        """Who is enrolled: counted again where mailboxes have come or gone, and now and then for what else has changed."""
        known, now, numbers = self._counted, time.monotonic(), (mailboxes.total, mailboxes.active)
        if known is not None and known[0] == numbers and now < known[1] + _CENSUS_SECONDS:
            return known[2]
        found = await census.read(connection)
        self._counted = (numbers, now, found)
        return found

    async def turn(self, row: FleetRow, step: Resize) -> bool:
        """Make the count and what the row remembers so. False: somebody was faster; observe again. Raises Problem."""
        try:
            async with self._engine.begin() as connection:
                if step.flip_to is not None:
                    return await fleet.flip(
                        connection, epoch=row.epoch, target=step.flip_to, growth=step.growth
                    )
                assert step.growth is not None
                return await fleet.remember(
                    connection, epoch=row.epoch, before=row.growth, growth=step.growth
                )
        except (SQLAlchemyError, *database.FAULTS) as error:
            fault = database.explain(error, self._engine.url)
            raise Problem(Reason(fault.reason), fault.message) from None

    async def delete(self, owner: Owner) -> bool:
        """Mark the fleet deleted, through the last known connection. False: there is none, or it was not ours."""
        if self._access is None:
            return False
        try:
            async with self._engine.begin() as connection:
                return await fleet.delete(connection, owner)
        except (SQLAlchemyError, *database.FAULTS) as error:
            fault = database.explain(error, self._access.owner_url)
            raise Problem(Reason(fault.reason), fault.message) from None

    async def empty(self, owner: Owner) -> bool:
        """End the fleet and purge its database. False: mail may still be in flight. Raises Problem."""
        if self._access is None:
            raise Problem(Reason.UNKNOWN, "the spec and the Secrets that it names do not say where it is")
        await self.delete(owner)
        try:
            async with self._engine.begin() as connection:
                return await fleet.empty(connection, owner, SWEEP_SECONDS)
        except (SQLAlchemyError, *database.FAULTS) as error:
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
                    url, pool_size=1, statement_seconds=self._statement_seconds, keep_compiled=False
                )
        except Refused as refusal:
            await self.close()
            raise Problem(Reason.DATABASE_URL_INVALID, str(refusal)) from None
        self._access = access
        self._checked, self._counted = False, None

    def _apart(self, statement_seconds: float) -> AsyncEngine:
        """An engine for what takes longer than a look."""
        assert self._access is not None
        return database.create_engine(
            self._access.owner_url, pool_size=1, statement_seconds=statement_seconds, keep_compiled=False
        )

    async def _prepare(self, automatic: bool) -> None:
        """See to the schema: once a connection, and again after any fault."""
        async with self._engine.connect() as connection:
            found = await schema.version(connection)
        if found.current:
            await self._migration.end()
            return
        if not automatic and found.known:
            raise Problem(
                Reason.SCHEMA_OUTDATED,
                f"The schema is at {found.found or 'nothing'}, this release needs {found.wanted}, and database.migrations"
                " is Manual. Run `warmup database upgrade` with the owner's URL, or set it to Auto.",
            )
        await self._migration.bring(self._patience)

    async def _upgrade(self) -> None:
        """Bring the schema to this release's. Raises Problem."""
        engine = self._apart(_MIGRATION_SECONDS)
        try:
            before = await schema.upgrade(engine)
        except Refused as refusal:
            raise Problem(Reason.SCHEMA_TOO_NEW, str(refusal)) from None
        except schema.SchemaBusy as busy:
            raise Problem(Reason.SCHEMA_BUSY, str(busy)) from None
        except (SQLAlchemyError, *database.FAULTS) as error:
            fault = database.explain(error, engine.url)
            raise Problem(Reason(fault.reason), fault.message) from None
        finally:
            await engine.dispose()
        _log.info("schema brought from %s to %s", before.found or "nothing", before.wanted)

    async def _own(
        self,
        connection: AsyncConnection,
        owner: Owner,
        spec: WarmupFleetSpec,
        generation: int,
        adopt: str | None,
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
                adopt=adopt,
            )
        except fleet.DatabaseInUse as taken:
            raise Problem(Reason.DATABASE_IN_USE, str(taken)) from None

    async def _admit_workers(self, access: Access, row: FleetRow) -> None:
        """Give the workers' role what it needs, and see that their URL, where it is another, leads to the same place."""
        role = access.url.username
        if role and role != access.owner_url.username:
            async with self._engine.begin() as connection:
                await schema.grant_worker(connection, role)
        try:
            async with self._engines[access.url].begin() as connection:
                token = await connection.scalar(text("SELECT token FROM fleet"))
                if token == row.token:
                    await schema.bound_waits(connection)
        except (SQLAlchemyError, *database.FAULTS) as error:
            fault = database.explain(error, access.url)
            raise Problem(Reason(fault.reason), f"With the workers' URL: {fault.message}") from None
        if token != row.token:
            raise Problem(
                Reason.DATABASE_URLS_DIFFER,
                "database.urlSecretRef and database.ownerUrlSecretRef lead to two databases; both must name the fleet's.",
            )
