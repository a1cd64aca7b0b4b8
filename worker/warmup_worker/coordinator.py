"""The operator's part where there is no operator: worker 1 writes the fleet's row, keeps the partitions, flips the count.

Its own environment is the wanted fleet; what another worker's environment says is never a proposal, only a reason not to be
ready. Each round is whole in itself: own the row, observe, act. Two processes of number 1 are harmless: owning is
idempotent, a flip is compare-and-set.
Fails: another fleet's database is refused by its owner's name (``trouble``); an outage is waited out.
"""

import asyncio
import logging
import secrets
from datetime import date

from warmup_core import fleet, partitions
from warmup_core.database import Unreachable
from warmup_core.fleet import DatabaseInUse, FleetRow
from warmup_worker.connection import Database, Rejected
from warmup_worker.lease import Lease
from warmup_worker.settings import WantedFleet

log = logging.getLogger(__name__)

_RETENTION_DAYS = 90


class Coordinator:
    """Brings the fleet's row to what worker 1's environment wants."""

    def __init__(self, database: Database, lease: Lease, wanted: WantedFleet, round_seconds: float) -> None:
        self._database, self._lease, self._wanted = database, lease, wanted
        self._round_seconds = round_seconds
        self._kept: date | None = None
        self.trouble: str | None = None
        """Why the fleet cannot be what it should be; None when all is well."""

    async def run(self) -> None:
        """A round every few seconds, for ever."""
        while True:
            try:
                trouble = await self._round()
            except (Unreachable, Rejected) as error:
                trouble = str(error)
            if trouble and trouble != self.trouble:
                log.warning("%s", trouble)
            self.trouble = trouble
            await asyncio.sleep(self._round_seconds)

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
            except DatabaseInUse as error:
                return str(error)
        orders = self._lease.orders
        if orders is not None and orders.day != self._kept:
            done = await partitions.upkeep(self._database.transaction, orders.day, _RETENTION_DAYS)
            self._kept = orders.day
            if done.made or done.dropped:
                log.info("partitions: made %d, dropped %d", len(done.made), len(done.dropped))
        return await self._resize(row)

    async def _resize(self, row: FleetRow) -> str | None:
        target = self._wanted.worker_count
        if row.worker_count == target:
            return None
        async with self._database.transaction() as connection:
            if await fleet.flip(connection, epoch=row.epoch, target=target):
                log.info("the fleet has %d workers now, it had %d", target, row.worker_count)
                self._lease.hurry()
                return None
            live = await fleet.live_workers(connection)
        missing = [number for number in range(1, target + 1) if number not in live]
        return f"{target} workers are wanted, {row.worker_count} are in use; waiting for worker {missing}"
