"""A fleet on a simulated clock: a heap of events, mailboxes, workers and rolling limits. The schedule is the real one.

Nothing here computes what it is asked to find: a mail is one entry in ``Fleet.claims``, written when its event came up. It
plays the engine as simply as it can be: it wakes mailboxes, asks the schedule, claims, waits ``send``, settles.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import count
from typing import NamedTuple

from warmup_core.limits import Limit, grant
from warmup_core.pacing import UNHINDERED, Pace, Window, jitter
from warmup_core.schedules import Offer, Owed, Reason, Schedule, State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RollingLimit:
    """At most ``mails`` claims in any ``period``, counted one by one; a claim leaves after exactly one period."""

    def __init__(self, mails: int, period: timedelta) -> None:
        self.period = period
        self._mails = mails
        self._last: deque[datetime] = deque(maxlen=mails)

    def opens(self, now: datetime) -> datetime:
        """The first instant from ``now`` on at which one more claim is allowed."""
        if len(self._last) < self._mails:
            return now
        free = self._last[0] + self.period
        return free if free > now else now

    def count(self, now: datetime) -> None:
        self._last.append(now)


class RateLimit:
    """A limit as the workers keep it: the real arithmetic on the simulated clock, a token at a time."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._tat = 0

    def opens(self, now: datetime) -> datetime:
        """The first instant from ``now`` on at which the next token is there."""
        answer = grant(self._tat, _microseconds(now), 1, self._limit)
        return now if answer.tokens else now + timedelta(microseconds=answer.due_us - _microseconds(now))

    def count(self, now: datetime) -> None:
        self._tat = grant(self._tat, _microseconds(now), 1, self._limit).tat_us


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


class Mailbox:
    """One mailbox and what it has left to do in its window. Cooldowns are drawn between the two given."""

    def __init__(
        self,
        id_: int,
        plan: Window,
        quota: int,
        cooldown: tuple[timedelta, timedelta] = (timedelta(), timedelta()),
        seed: str = "",
        pace: Pace = UNHINDERED,
    ) -> None:
        self.id, self.plan, self.quota, self.cooldown, self.pace = id_, plan, quota, cooldown, pace
        self.seed = f"{seed}{id_}"
        self.spent = 0
        self.not_before = self.due_at = plan.opens - timedelta(days=1)

    def owed(self) -> Owed:
        return Owed(self.plan, self.quota, self.spent, self.not_before, self.seed, self.pace)

    def claim(self, now: datetime) -> None:
        self.spent += 1
        shortest, longest = self.cooldown
        drawn = (
            (longest - shortest) * jitter(f"cooldown {self.seed}", self.spent)
            if longest > shortest
            else timedelta()
        )
        self.not_before = now + shortest + drawn


class Due(NamedTuple):
    """A mailbox that may be claimed now. Tuples sort by urgency: earliest deadline first."""

    deadline: datetime
    at: datetime
    mailbox: int


AnyLimit = RollingLimit | RateLimit


class Claim(NamedTuple):
    """One mail: when it was claimed, for which mailbox, by which worker, and since when it was due."""

    at: datetime
    mailbox: int
    worker: int
    due: datetime


class Worker:
    """One worker's memory: its mailboxes asleep and due, its mails in flight, its schedule and what that remembers."""

    def __init__(
        self,
        number: int,
        schedule: Schedule,
        mailboxes: Sequence[Mailbox],
        limits: Sequence[AnyLimit] = (),
    ) -> None:
        self.number = number
        self.schedule = schedule
        self.mailboxes = {mailbox.id: mailbox for mailbox in mailboxes}
        self.limits = tuple(limits)
        self.state = State()
        self.since: datetime | None = None
        self.asleep: list[tuple[datetime, int]] = []
        self.due: list[Due] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.held_until: datetime | None = None
        self.looks_at: datetime | None = None
        self.reasons: list[tuple[datetime, Reason]] = []
        """Each turn of the schedule's reason, and when it came."""


class _Event(Enum):
    LOOK = "look"
    CLAIM = "claim"
    SETTLE = "settle"


class Fleet:
    """Workers under common limits. ``claims`` and ``refusals`` (by a limit) are what happened."""

    def __init__(self, workers: Sequence[Worker], send: timedelta, limits: Sequence[AnyLimit] = ()) -> None:
        self.workers = workers
        self.send = send
        self.claims: list[Claim] = []
        self.refusals: list[datetime] = []
        self._limits = {worker.number: (*limits, *worker.limits) for worker in workers}
        self._events: list[tuple[datetime, int, _Event, Worker, Mailbox | None]] = []
        self._order = count()

    def run(self, start: datetime, end: datetime) -> None:
        """Let the workers begin at ``start`` and stop the clock at ``end``, or when nothing is left to happen."""
        for worker in self.workers:
            worker.since = start
            for owned in worker.mailboxes.values():
                self._sleep(start, worker, owned)
            self._look(start, worker)
        while self._events and self._events[0][0] < end:
            now, _, event, worker, mailbox = heapq.heappop(self._events)
            if mailbox is None:
                if worker.looks_at == now:
                    self._look(now, worker)
            elif event is _Event.CLAIM:
                self._claim(now, worker, mailbox)
            else:
                self._settle(now, worker, mailbox)

    def _at(self, when: datetime, event: _Event, worker: Worker, mailbox: Mailbox | None = None) -> None:
        heapq.heappush(self._events, (when, next(self._order), event, worker, mailbox))

    def _sleep(self, now: datetime, worker: Worker, mailbox: Mailbox) -> None:
        found = worker.schedule.wake(now, mailbox.owed(), worker.since)
        if found.at is not None:
            mailbox.due_at = found.at
            heapq.heappush(worker.asleep, (found.at, mailbox.id))

    def _look(self, now: datetime, worker: Worker) -> None:
        """Ask the schedule, do what it says, and come back when it says."""
        held = worker.held_until is not None and now < worker.held_until
        wanted = 0 if held else worker.schedule.appetite(now, worker.in_flight, worker.state)
        offered = self._most_urgent(now, worker, wanted) if wanted else []
        next_due = worker.asleep[0][0] if worker.asleep else None
        offer = Offer(len(offered), next_due, held, worker.held_until if held else None)
        answer = worker.schedule.decide(now, offer, worker.in_flight, worker.state)
        worker.state, worker.looks_at = answer.state, answer.look_again
        if not worker.reasons or worker.reasons[-1][1] is not answer.reason:
            worker.reasons.append((now, answer.reason))
        for unused in offered[len(answer.starts) :]:
            heapq.heappush(worker.due, unused)
        if answer.starts:
            worker.in_flight += len(answer.starts)
            worker.most_in_flight = max(worker.most_in_flight, worker.in_flight)
        for due, at in zip(offered, answer.starts, strict=False):
            self._at(at, _Event.CLAIM, worker, worker.mailboxes[due.mailbox])
        if answer.look_again is not None:
            self._at(answer.look_again, _Event.LOOK, worker)

    def _most_urgent(self, now: datetime, worker: Worker, wanted: int) -> list[Due]:
        while worker.asleep and worker.asleep[0][0] <= now:
            at, id_ = heapq.heappop(worker.asleep)
            heapq.heappush(worker.due, Due(worker.mailboxes[id_].owed().deadline, at, id_))
        return [heapq.heappop(worker.due) for _ in range(min(wanted, len(worker.due)))]

    def _claim(self, now: datetime, worker: Worker, mailbox: Mailbox) -> None:
        limits = self._limits[worker.number]
        opens = now
        for limit in limits:
            opens = max(opens, limit.opens(now))
        if opens > now:
            self.refusals.append(now)
            worker.held_until = opens
            heapq.heappush(worker.asleep, (now, mailbox.id))
            self._end(now, worker)
        elif now >= mailbox.plan.closes:
            self._end(now, worker)
        else:
            for limit in limits:
                limit.count(now)
            mailbox.claim(now)
            self.claims.append(Claim(now, mailbox.id, worker.number, mailbox.due_at))
            self._at(now + self.send, _Event.SETTLE, worker, mailbox)

    def _settle(self, now: datetime, worker: Worker, mailbox: Mailbox) -> None:
        self._sleep(now, worker, mailbox)
        self._end(now, worker)

    def _end(self, now: datetime, worker: Worker) -> None:
        worker.in_flight -= 1
        self._look(now, worker)


def most_in_any(period: timedelta, claims: Sequence[datetime]) -> int:
    """The most claims in any rolling period, counted anew from the claims themselves."""
    most = oldest = 0
    ordered = sorted(claims)
    for newest, at in enumerate(ordered):
        while at - ordered[oldest] >= period:
            oldest += 1
        most = max(most, newest - oldest + 1)
    return most
