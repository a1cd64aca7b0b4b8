"""The operator's part where there is no operator: worker 1 writes the fleet's row, keeps the partitions, flips the count.

Its own environment is the wanted fleet; what another worker's environment says is never a proposal, only a reason not to be
ready (see ``lease``). Each round is whole in itself: own the row, observe, act. Two processes of number 1 are harmless: owning is
idempotent, a flip is compare-and-set. Who is missing is told, with how many mailboxes wait for it.
Fails: another fleet's database is refused by its owner's name, and settings of a later release by what is wrong with them
(``trouble``); an outage is waited out.
"""

import asyncio
import logging
import secrets

from warmup_core import fleet, upkeep
from warmup_core.database import Unreachable
from warmup_core.fleet import DatabaseInUse, FleetRow, SettingsUnreadable
from warmup_core.upkeep import Upkeeper
from warmup_worker.clock import boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.lease import Lease
from warmup_worker.timing import Timing
from warmup_worker.wanted import WantedFleet

log = logging.getLogger(__name__)

_RETENTION_DAYS = 90


class Coordinator:
    """Brings the fleet's row to what worker 1's environment wants."""

    def __init__(self, database: Database, lease: Lease, wanted: WantedFleet, timing: Timing) -> None:
        self._database, self._lease, self._wanted = database, lease, wanted
        self._timing = timing
        self._begun = boottime()
        self._upkeep = Upkeeper(lambda: database.apart(upkeep.STATEMENT_SECONDS))
        self.unowned = 0
        """Active mailboxes whose owner is not live, by the database."""
        self._missing: list[int] = []
        self.trouble: str | None = None
        """Why the fleet cannot be what it should be; None when all is well."""

    async def run(self) -> None:
        """A round every few seconds, for ever."""
        try:
            while True:
                try:
                    trouble = await self._round()
                except (Unreachable, Rejected) as error:
                    trouble = str(error)
                if trouble and trouble != self.trouble:
                    log.warning("%s", trouble)
                self.trouble = trouble
                await asyncio.sleep(self._timing.heartbeat)
        finally:
            await self._upkeep.end()

    async def _round(self) -> str | None:
        """Own the row, keep the partitions, then flip if the workers for it are live. Returns what is missing."""
        async with self._database.transaction() as connection:
            try:
                row = await fleet.own(
                    connection,
                    fleet.PROCESSES,
                    generation=0,
                    token=secrets.token_hex(4),
                    settings=self._wanted.settings,
                    time_zone=self._wanted.time_zone,
                    paused=False,
                )
            except (DatabaseInUse, SettingsUnreadable) as error:
                return str(error)
        orders = self._lease.orders
        if orders is not None:
            await self._upkeep.keep(orders.day, _RETENTION_DAYS, self._timing.statement)
        return await self._resize(row)

    async def _resize(self, row: FleetRow) -> str | None:
        """Flip when it is due, and see who is missing.

        From 0 no mailbox loses its owner by a flip, so a fleet that has waited for a lease's length begins with who is there.
        """
        target = self._wanted.worker_count
        begin_anyhow = row.worker_count == 0 and boottime() - self._begun > self._timing.lease
        async with self._database.transaction() as connection:
            flipped = row.worker_count != target and await fleet.flip(
                connection, epoch=row.epoch, target=target, all_live=not begin_anyhow
            )
            live = await fleet.live_workers(connection)
            count = target if flipped else row.worker_count
            everybody = live.issuperset(range(1, count + 1))
            unowned = 0 if everybody else await fleet.unowned(connection)
        if flipped:
            log.info("the fleet has %d workers now, it had %d", target, row.worker_count)
            self._lease.hurry()
        self._tell(unowned, [number for number in range(1, count + 1) if number not in live])
        if count == target:
            return None
        missing = [number for number in range(1, target + 1) if number not in live]
        return f"{target} workers are wanted, {count} are in use; waiting for worker {missing}"

    def _tell(self, unowned: int, missing: list[int]) -> None:
        if unowned and missing != self._missing:
            log.error("worker %s not live: %d mailboxes have no live owner and wait", missing, unowned)
        if self._missing and not missing:
            log.info("every mailbox has a live owner again")
        self.unowned, self._missing = unowned, missing
