"""The parts of one worker, each made once and joined to those it needs. Nothing is started here: ``engine`` gives them life.

Invariants: a part is handed what it needs and looks for nothing; clock, lease, shard and metrics are the same ones for all.
Only number 1 of a fleet without an operator has a coordinator.
Fails: ``Refused`` where the file of certificate authorities cannot be used. The database is not asked here.
"""

import asyncio
import socket

from warmup_core import __version__
from warmup_core.replies import Scope
from warmup_worker.batches import Claims
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.connection import Database
from warmup_worker.consequences import Consequences
from warmup_worker.coordinator import Coordinator
from warmup_worker.foresight import Foresight
from warmup_worker.gates import Gates
from warmup_worker.keeper import Keeper
from warmup_worker.lease import Lease
from warmup_worker.limits import Limits
from warmup_worker.logins import Logins
from warmup_worker.metrics import Metrics
from warmup_worker.one_mailbox import OneMailbox
from warmup_worker.outcomes import Outcomes
from warmup_worker.report import Report
from warmup_worker.sender import Sender
from warmup_worker.settings import WorkerSettings
from warmup_worker.shard import Shard
from warmup_worker.starter import Starter
from warmup_worker.sweeper import Sweeper
from warmup_worker.telemetry import Telemetry
from warmup_worker.throughput import Throughput
from warmup_worker.tokens import TokenSource
from warmup_worker.trust import trusted_authorities


class Parts:
    """What a worker is made of."""

    def __init__(self, settings: WorkerSettings, local_hostname: str | None = None) -> None:
        timing = settings.timing
        self.database = Database(settings.current_url, timing.statement)
        self.clock = DatabaseClock()
        self.wake = asyncio.Event()
        """Wakes the wake loop: whoever sets it may have made a mailbox ready to begin."""
        self.metrics = Metrics(settings.number)
        host = socket.gethostname()
        throughput = Throughput()
        wanted_count = settings.wanted.worker_count if settings.wanted is not None else None
        self.lease = Lease(
            self.database,
            settings.number,
            timing,
            self.clock,
            host,
            __version__,
            throughput.measured,
            wanted_count,
        )
        self.shard = Shard(boottime)
        self.outcomes = Outcomes(self.database, self.lease, timing, self.metrics)
        self.limits = Limits(self.database, self.lease, timing, settings.number)
        self.gates = Gates(self.shard)
        self.claims = Claims(
            self.database, self.lease, self.outcomes, self.limits, timing, self.metrics, self.wake
        )
        self.keeper = Keeper(
            self.database,
            self.lease,
            self.shard,
            self.clock,
            timing,
            settings.number,
            self.wake,
            Foresight(throughput.measured),
        )
        authorities = trusted_authorities(settings.ca_file)
        self.tokens = TokenSource(
            self.database,
            authorities,
            timing,
            keys=settings.keys,
            applications=settings.applications,
            waits=lambda name: self.keeper.pauses.stops(Scope.APPLICATION, name, self.clock.now()),
            outcomes=self.metrics.token_refreshes,
        )
        self.sweeper = Sweeper(self.database, self.lease, self.outcomes, timing, self.metrics)
        self.starter = Starter(self.shard, self.keeper, self.gates, self.limits)
        self.sender = Sender(
            lease=self.lease,
            shard=self.shard,
            keeper=self.keeper,
            claims=self.claims,
            limits=self.limits,
            gates=self.gates,
            outcomes=self.outcomes,
            consequences=Consequences(
                self.shard, self.keeper, self.outcomes, self.clock, self.metrics, timing.application_wait
            ),
            clock=self.clock,
            metrics=self.metrics,
            throughput=throughput,
            logins=Logins(
                settings.keys, self.tokens, authorities, timing, local_hostname or host, self.metrics.timed
            ),
            templates=settings.templates,
        )
        self.coordinator = (
            Coordinator(self.database, self.lease, settings.wanted, timing)
            if settings.wanted is not None and settings.number == 1
            else None
        )
        self.report = Report(
            settings.number,
            settings.wanted,
            self.lease,
            self.shard,
            self.keeper,
            self.claims,
            self.outcomes,
            self.limits,
            self.coordinator,
            self.clock,
        )
        self.telemetry = Telemetry(
            self.report,
            self.metrics,
            OneMailbox(self.report, self.shard, self.database),
            settings.telemetry_host,
            settings.telemetry_port,
        )
