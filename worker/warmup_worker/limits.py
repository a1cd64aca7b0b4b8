"""The limits a worker keeps: which are in force, the tokens it holds, and how many connections it keeps ready for more.

```
settings -> buckets of fleet and worker: tokens reserved ahead, each good until its ``use_by``, spent one a claim
         -> limits of users and domains: spent inside the claim's statement, nothing is held here
```
Invariants: a token is spent by at most one claim: it leaves the hand before the claim is written, and comes back only when the
database has answered that the claim was not made. The database's clock, not this process, decides whether it is still good.
What was reserved under a limit that fell is dropped with the heartbeat that tells of it, and nothing is reserved under
settings that are no longer the fleet's.
Fails: ``Unreachable`` from a reservation; its tokens are lost, never minted. A crash loses what was in hand.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from warmup_core import limits
from warmup_core.database import Unreachable
from warmup_core.limits import Kind, Limit
from warmup_core.settings import FleetSettings
from warmup_worker import limiting
from warmup_worker.clock import boottime
from warmup_worker.connection import Database
from warmup_worker.lease import Lease, Orders
from warmup_worker.limiting import Bucket, Reservation
from warmup_worker.timing import Timing

_AGAIN_SECONDS = 0.1
"""When the settings have changed: the heartbeat that brings them is on its way."""


def buckets_of(settings: FleetSettings, number: int, timing: Timing) -> list[Bucket]:
    """The buckets that worker ``number`` reserves from."""
    found = [
        (Kind.HOUR, "fleet/hour", settings.per_hour_limit, timing.hour),
        (Kind.MINUTE, "fleet/minute", settings.per_minute_limit, timing.minute),
        (Kind.WORKER, f"worker/{number}", settings.per_worker_per_hour_limit, timing.hour),
    ]
    return [
        Bucket(kind, scope, limits.limit(count, window, use_seconds=timing.token))
        for kind, scope, count, window in found
        if count is not None
    ]


def scoped_of(settings: FleetSettings, timing: Timing) -> dict[Kind, Limit]:
    """The limits that are kept for each user and each domain of senders."""
    made = {}
    if (count := settings.per_domain_per_day_limit) is not None:
        open_share = settings.window_length.total_seconds() / limits.DAY_SECONDS
        made[Kind.DOMAIN] = limits.limit(count, timing.day, open_share=open_share)
    if (count := settings.per_user_per_hour_limit) is not None:
        made[Kind.USER] = limits.limit(count, timing.hour)
    return made


def scopes_of(kinds: Iterable[Kind], user_id: int, address: str) -> tuple[str, ...]:
    """A mailbox's own buckets among these kinds."""
    names = {Kind.USER: str(user_id), Kind.DOMAIN: address.rpartition("@")[2]}
    return tuple(f"{kind}/{names[kind]}" for kind in kinds)


@dataclass(frozen=True)
class Tokens:
    """A ``use_by`` for each claim that may be made now; None where no limit asks for one.

    Where they are fewer than asked for: ``short`` is the limit, ``wait`` the seconds until its next token.
    """

    use_bys: list[datetime | None]
    wait: float = 0.0
    short: Kind | None = None


@dataclass
class _Held:
    """Tokens in hand. ``stale_at``: ``boottime`` at which they are surely not good any more."""

    count: int
    use_by: datetime
    stale_at: float


class Limits:
    """One worker's limits. ``take`` is called by one task at a time."""

    def __init__(self, database: Database, lease: Lease, timing: Timing, number: int) -> None:
        self._database, self._lease, self._timing, self._number = database, lease, timing, number
        self.buckets: list[Bucket] = []
        self.scoped: dict[Kind, Limit] = {}
        self._short: tuple[Kind | None, float] = (None, 0.0)
        self.opens_at = -float("inf")
        """``boottime`` before which no connection is worth opening: no token comes in time."""
        self._obeyed: tuple[str, int] | None = None
        self._counts: dict[str, int | None] = {}
        self._held: list[_Held] = []
        self._spent: deque[tuple[float, int]] = deque()
        self._known: set[str] = set()

    @property
    def short(self) -> Kind | None:
        """The limit that could not give all that was asked for lately; None while there is enough."""
        kind, until = self._short
        return kind if boottime() < until else None

    @property
    def patience(self) -> float:
        """Seconds that a ready connection waits for a token."""
        return 2 * self._timing.token

    def obey(self, orders: Orders) -> None:
        """Take over the limits in force; what was reserved under one that fell is dropped."""
        version = (orders.token, orders.settings_version)
        if version == self._obeyed:
            return
        counts = {name: it for name, it in orders.settings.model_dump().items() if name.endswith("_limit")}
        if any(limits.fell(self._counts.get(name), count) for name, count in counts.items()):
            self._held.clear()
        self._obeyed, self._counts = version, counts
        self.buckets = buckets_of(orders.settings, self._number, self._timing)
        self.scoped = scoped_of(orders.settings, self._timing)
        self._short, self.opens_at = (None, 0.0), -float("inf")

    def room(self, ready: int, workers: int) -> bool:
        """Whether one more connection is worth opening beside ``ready`` ones that have no claim yet."""
        if not self.buckets:
            return True
        rates = [it.limit for it in self.buckets]
        most = limits.share(rates, workers)
        if self.short is None:
            return ready < max(most, min(it.burst for it in rates))
        return ready < most and boottime() >= self.opens_at

    async def take(self, wanted: int, orders: Orders) -> Tokens:
        """Tokens for up to ``wanted`` claims; they count as spent until given back. Raises Unreachable, Rejected."""
        self.obey(orders)
        if not self.buckets:
            return Tokens([None] * wanted)
        reservation = None
        missing = wanted - self._in_hand()
        if missing > 0:
            reservation = await self._reserve(missing, orders.settings_version)
        use_bys: list[datetime | None] = []
        for held in self._held:
            count = min(held.count, wanted - len(use_bys))
            use_bys += [held.use_by] * count
            held.count -= count
        self._spent.append((boottime(), len(use_bys)))
        if len(use_bys) == wanted or reservation is None:
            self._short = (None, 0.0)
            return Tokens(use_bys)
        if not reservation.current:
            self._lease.hurry()
            return Tokens(use_bys, _AGAIN_SECONDS)
        short = next(it.kind for it in self.buckets if it.scope == reservation.short)
        self._short = (short, boottime() + reservation.wait + self._timing.token)
        return Tokens(use_bys, reservation.wait, short)

    def give_back(self, use_bys: Iterable[datetime | None]) -> None:
        """Take tokens back whose claims were surely not made."""
        for use_by in use_bys:
            found = next((it for it in self._held if it.use_by == use_by), None)
            if found is not None:
                found.count += 1

    def stale(self, use_by: datetime | None) -> bool:
        """Whether a token is surely, or most likely, too old by now."""
        now = boottime()
        return use_by is not None and not any(it.use_by == use_by and it.stale_at > now for it in self._held)

    def refused(self, wait: float) -> None:
        """A ready connection was sent away: the next is worth opening shortly before the next token."""
        self.opens_at = boottime() + wait - self._timing.token / 2

    async def know(self, scopes: Iterable[str]) -> None:
        """Make the buckets of users and domains that this process has not met. Raises Unreachable, Rejected."""
        new = set(scopes) - self._known
        if new:
            async with self._database.transaction() as connection:
                await limiting.ensure(connection, new)
            self._known |= new

    def forget(self, scopes: Iterable[str]) -> None:
        """Look again whether these buckets exist."""
        self._known.difference_update(scopes)

    def _in_hand(self) -> int:
        """Tokens that may still be good. One that is spent stays noted until it is stale: it may come back."""
        now = boottime()
        self._held = [it for it in self._held if it.stale_at > now]
        return sum(it.count for it in self._held)

    async def _reserve(self, missing: int, version: int) -> Reservation:
        rates = [it.limit for it in self.buckets]
        started = boottime()
        while self._spent and self._spent[0][0] < started - self._timing.token:
            self._spent.popleft()
        wanted = max(1, limits.reserve_size(rates, missing, sum(count for _, count in self._spent)))
        reservation = await self._ask(wanted, version)
        if reservation is None:
            async with self._database.transaction() as connection:
                await limiting.ensure(connection, [it.scope for it in self.buckets])
            reservation = await self._ask(wanted, version)
        if reservation is None:
            raise Unreachable(
                "LimitsMissing", "the buckets of the rate limits are deleted as soon as they are made"
            )
        if reservation.tokens:
            use_by = reservation.granted_at + timedelta(seconds=self._timing.token)
            self._held.append(_Held(reservation.tokens, use_by, started + self._timing.token))
        return reservation

    async def _ask(self, wanted: int, version: int) -> Reservation | None:
        async with self._database.alone() as connection:
            return await limiting.reserve(connection, self.buckets, wanted, version)
