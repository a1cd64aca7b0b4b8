"""Closes intents that nobody will settle: those of dead workers, and our own whose commit was unknown.

The first end in doubt, the second as failed, for only a claim that came back is sent (``settling``, ``outcomes``). Every worker
sweeps, each at its own moment, so no one of them is needed.
Fails: an outage of the database is told once and waited out.
"""

import asyncio
import logging
import random
from datetime import date, timedelta

from warmup_core.database import Unreachable
from warmup_worker.clock import boottime
from warmup_worker.connection import Database, Rejected
from warmup_worker.lease import Lease
from warmup_worker.metrics import Metrics
from warmup_worker.outcomes import Outcomes
from warmup_worker.settling import sweep
from warmup_worker.timing import Timing

log = logging.getLogger(__name__)

_SWEPT, _SWEEP_ALL_SECONDS = timedelta(days=2), 3600.0
"""How far back a sweep looks for open intents, and how often one looks at every day, which plans over all partitions."""


class Sweeper:
    """Sweeps again and again."""

    def __init__(
        self, database: Database, lease: Lease, outcomes: Outcomes, timing: Timing, metrics: Metrics
    ) -> None:
        self._database, self._lease, self._outcomes = database, lease, outcomes
        self._timing, self._metrics = timing, metrics

    async def run(self) -> None:
        """A sweep every while, for ever."""
        trouble: str | None = None
        whole_at = -float("inf")
        while True:
            await asyncio.sleep(self._timing.sweep_every * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            orders, whole = self._lease.orders, boottime() - whole_at > _SWEEP_ALL_SECONDS
            since = date.min if orders is None or whole else orders.day - _SWEPT
            try:
                async with self._database.reading() as connection:
                    swept = await sweep(connection, self._timing.sweep, since)
                await self._outcomes.close_unknown(since)
                whole_at = boottime() if whole else whole_at
            except (Unreachable, Rejected) as error:
                if str(error) != trouble:
                    log.warning("no sweep: %s", error)
                trouble = str(error)
                continue
            trouble = None
            if swept:
                self._metrics.swept.inc(swept)
                log.warning("swept: %d mails of dead workers are in doubt", swept)
