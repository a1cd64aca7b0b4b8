"""What a worker says about itself: alive, ready, today's account, one line for the log. The telemetry and the summary read it.

Made from sums that are kept anyway: a report costs the same for ten mailboxes and for a hundred thousand.
"""

from warmup_worker.batches import Claims
from warmup_worker.clock import DatabaseClock, boottime
from warmup_worker.coordinator import Coordinator
from warmup_worker.keeper import Keeper
from warmup_worker.lease import Lease, Orders
from warmup_worker.limits import Limits
from warmup_worker.outcomes import Outcomes
from warmup_worker.pauses import Pauses
from warmup_worker.readiness import Readiness, readiness
from warmup_worker.shard import Shard
from warmup_worker.tally import Account
from warmup_worker.wanted import WantedFleet

_ALIVE_SECONDS = 30.0


class Report:
    """Reads the worker's parts. ``starting`` and ``draining`` are set by the engine as it goes through its life."""

    def __init__(
        self,
        number: int,
        wanted: WantedFleet | None,
        lease: Lease,
        shard: Shard,
        keeper: Keeper,
        claims: Claims,
        outcomes: Outcomes,
        limits: Limits,
        coordinator: Coordinator | None,
        clock: DatabaseClock,
    ) -> None:
        self.number, self._wanted = number, wanted
        self._lease, self._shard, self._keeper = lease, shard, keeper
        self._claims, self._outcomes, self._limits = claims, outcomes, limits
        self._coordinator, self._clock = coordinator, clock
        self.wake_loop_at = boottime()
        """When the wake loop came round last."""
        self.starting: str | None = "Starting."
        """Why the worker is not registered yet."""
        self.draining = False

    @property
    def orders(self) -> Orders | None:
        """What the fleet's row orders."""
        return self._lease.orders

    @property
    def in_flight(self) -> int:
        """Mails claimed and not settled, of this process."""
        return len(self._outcomes.open_mails)

    @property
    def limit(self) -> str | None:
        """The limit of fleet or worker that holds back what is due; None while there are tokens enough."""
        return self._limits.short

    @property
    def unowned(self) -> int | None:
        """Active mailboxes of the fleet without a live owner; None where it is not this worker's part to know."""
        return self._coordinator.unowned if self._coordinator is not None else None

    @property
    def pauses(self) -> Pauses:
        """What servers' replies made pause beyond one mailbox."""
        return self._keeper.pauses

    @property
    def in_the_way(self) -> tuple[str, ...]:
        """What keeps the fleet's full numbers from being sent, as it was found beforehand; a sentence each."""
        return self._keeper.foresight.sentences

    @property
    def now(self) -> float:
        """The database's clock, in seconds since the epoch; 0 before the first heartbeat."""
        return self._clock.now() if self.orders else 0.0

    @property
    def heartbeat_age(self) -> float:
        """Seconds since the last heartbeat arrived."""
        return self._lease.age

    def dead(self) -> str | None:
        """The sentence about a loop that no longer comes round; None while all do. An outage of the database is no death."""
        if self.draining:
            return None
        for name, at in (("wake", self.wake_loop_at), ("heartbeat", self._lease.came_round)):
            if boottime() - at > _ALIVE_SECONDS:
                return f"the {name} loop has not come round for {boottime() - at:.0f} s"
        return None

    def readiness(self) -> Readiness:
        """Whether this worker can do its part now."""
        database = self._lease.trouble or self._outcomes.trouble or self._claims.trouble
        trouble = self.starting or database or self._lease.unreadable or self._lease.dissent
        if trouble is None and self._coordinator is not None:
            trouble = self._coordinator.trouble
        return readiness(
            self.number,
            self.orders,
            self._wanted,
            registered=self._lease.identity is not None,
            replaced=self._lease.replaced.is_set(),
            draining=self.draining,
            loaded=self._keeper.loaded.is_set(),
            trouble=trouble,
        )

    def account(self) -> Account:
        """Today's mails of this worker's mailboxes."""
        return self._shard.account(self.now)

    @property
    def full_number(self) -> int:
        """The fleet's emailsPerMailboxPerDay; 0 before the first heartbeat."""
        return self.orders.settings.emails_per_mailbox_per_day if self.orders else 0

    def summary(self) -> str:
        """The worker in one line."""
        it = self.account()
        paused = " paused" if self.orders is not None and self.orders.paused else ""
        return (
            f"sent={it.sent} failed={it.failed} in_doubt={it.in_doubt} in_flight={self.in_flight} due={it.due}"
            f" behind={it.behind} mailboxes={it.mailboxes} waiting={self._outcomes.waiting} reasons={it.reasons}{paused}"
        )
