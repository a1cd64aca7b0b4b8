"""Which mailboxes start their turns now: gathers those that are due, lets the schedule decide, says when to look again.

Here limits, pauses and hosts' shares meet the schedule, which knows none of them: what they hold back is set aside or held, and
only what may start is offered. Which schedule it is makes no difference here.
Invariants: a mailbox that is offered counts at its host; one that the schedule does not start is given back.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from warmup_core import limits
from warmup_core.schedules import Offer, Schedule, State
from warmup_worker.clock import boottime
from warmup_worker.gates import Gates
from warmup_worker.keeper import Keeper
from warmup_worker.lease import Orders
from warmup_worker.limits import Limits
from warmup_worker.mailbox import Mailbox
from warmup_worker.shard import Shard

ROUND_SECONDS: Final = 1.0
"""The longest time until the next look: orders come that no event tells of."""
_MOMENT_SECONDS: Final = 10.0
"""So short an inability changes no mailbox's place: who was due meanwhile is late by no more than this."""
_LARGEST_ROUND: Final = 1000
"""Mailboxes looked at before others have their turn on the event loop."""
_STARTS: Final = 16
"""Turns begun in a look: thousands begun together would all wait for each other, and for the same claim."""


@dataclass(frozen=True)
class Look:
    """The mailboxes to start, each with its instant, and the seconds until the next look."""

    starts: list[tuple[Mailbox, float]]
    pause: float


class Starter:
    """Keeps the state of one worker's schedule. Instants are the database's, in seconds since the epoch."""

    def __init__(self, shard: Shard, keeper: Keeper, gates: Gates, held: Limits) -> None:
        self._shard, self._keeper, self._gates, self._limits = shard, keeper, gates, held
        self._schedule: Schedule | None = None
        self._state = State()
        self._unable_since: float | None = -math.inf  # a worker that starts was never able

    def unable(self) -> None:
        """Nothing may be started now: no orders, a pause, the database away."""
        if self._unable_since is None:
            self._unable_since = boottime()

    def look(self, now: float, orders: Orders, in_flight: int, unclaimed: int) -> Look:
        """What to start. ``in_flight``: slots taken, ``unclaimed`` of them by mailboxes that have no claim yet."""
        schedule = self._shard.schedule
        if schedule is None:
            return Look([], ROUND_SECONDS)
        if self._unable_since is not None:
            if boottime() - self._unable_since > _MOMENT_SECONDS:
                self._shard.able_again(now)
            self._unable_since = None
        if self._shard.come_back(now, _LARGEST_ROUND):
            return Look([], 0.0)
        if schedule is not self._schedule:
            self._schedule, self._state = schedule, schedule.take_over(self._state)
        share = limits.host_share(orders.settings.max_concurrent_sends)
        self._limits.obey(orders)
        self._gates.obey(self._limits.scoped, now)
        self._gates.open_due(now, share)
        at = _instant(now)
        wanted = schedule.appetite(at, in_flight, self._state)
        ready, offer = self._gather(wanted, now, orders, share, unclaimed)
        decision = schedule.decide(at, offer, in_flight, self._state)
        self._state = decision.state
        for mailbox in ready[len(decision.starts) :]:
            self._gates.leave(mailbox.enrolment.smtp_host)
            self._shard.put_back(mailbox, now)
        pause = ROUND_SECONDS  # the end of a mail is told
        if decision.look_again is not None:
            pause = min(pause, max(0.001, decision.look_again.timestamp() - now))
        starts = [(box, start.timestamp()) for box, start in zip(ready, decision.starts, strict=False)]
        return Look(starts, pause)

    def _gather(
        self, wanted: int, now: float, orders: Orders, share: int, unclaimed: int
    ) -> tuple[list[Mailbox], Offer]:
        """Up to ``wanted`` of those that are due, the most urgent first; whoever a pause or a gate holds is set aside."""
        ready: list[Mailbox] = []
        for _ in range(_LARGEST_ROUND):
            if len(ready) == wanted:
                break
            if len(ready) == _STARTS:
                return ready, _held(ready, now)
            if not self._limits.room(unclaimed + len(ready), orders.worker_count):
                wait = self._limits.opens_at - boottime()  # each batch of claims is told too
                return ready, _held(ready, now + (wait if wait > 0 else ROUND_SECONDS))
            mailbox = self._shard.begin(now)
            if mailbox is None:
                if self._shard.unfinished(now):
                    return ready, _held(ready, now)
                break
            pause = self._keeper.pauses.holding(mailbox, now, orders.worker_count)
            if pause is not None:
                self._shard.pause(mailbox, pause.gate, pause.rule, pause.at)
            elif self._gates.admit(mailbox, share):
                ready.append(mailbox)
        else:
            return ready, _held(ready, now)
        wakes = [it for it in (self._shard.next_wake(), self._gates.next_opening()) if it is not None]
        if len(ready) < wanted and self._gates.hosts_full:
            return ready, _held(ready, min(wakes, default=now + ROUND_SECONDS))
        return ready, Offer(len(ready), _instant(min(wakes)) if wakes else None)


def _held(ready: list[Mailbox], until: float) -> Offer:
    """More are due than are ready, and none of those starts before ``until``."""
    return Offer(len(ready), held=True, held_until=_instant(until))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
