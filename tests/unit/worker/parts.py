"""A worker's parts as they really are, with a database that nobody has asked yet: none of them connects before it must."""

import asyncio
from datetime import UTC, datetime

from tests.unit.worker.test_shard import planned
from warmup_core import database
from warmup_worker.clock import DatabaseClock
from warmup_worker.connection import Database
from warmup_worker.consequences import Consequences
from warmup_worker.foresight import Foresight
from warmup_worker.gates import Gates
from warmup_worker.keeper import Keeper
from warmup_worker.lease import Lease
from warmup_worker.limits import Limits
from warmup_worker.metrics import Metrics
from warmup_worker.outcomes import Outcomes
from warmup_worker.starter import Starter
from warmup_worker.timing import Timing


class Parts:
    """Worker 1's shard, its keeper, what carries out reactions, and what starts turns."""

    def __init__(self) -> None:
        timing, metrics, clock = Timing(), Metrics(1), DatabaseClock()
        clock.set(datetime.now(UTC))
        asked = Database(lambda: database.parse_url("postgresql://nobody@127.0.0.1:1/none"), 1.0)
        lease = Lease(asked, 1, timing, clock, "host", "0")
        self.shard = planned()
        self.keeper = Keeper(
            asked, lease, self.shard, clock, timing, 1, asyncio.Event(), Foresight(lambda _: None)
        )
        outcomes = Outcomes(asked, lease, timing, metrics)
        self.consequences = Consequences(
            self.shard, self.keeper, outcomes, clock, metrics, timing.application_wait
        )
        self.gates = Gates(self.shard)
        self.starter = Starter(self.shard, self.keeper, self.gates, Limits(asked, lease, timing, 1))
