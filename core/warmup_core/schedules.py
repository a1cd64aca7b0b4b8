"""The two ways in which a worker starts its mails, behind one interface: ``Continuous`` and ``Interval``. Pure.

The engine asks a schedule two things and never which it is: when a mailbox wakes (``wake``), and, whenever something happened
or the instant it was told has come, what to start now and when to look again (``decide``). It keeps the ``State`` that the
last answer carried and hands it back; a new worker begins with ``State()``, and a changed schedule takes over the old one's.

::

    Continuous   a mailbox wakes at its place in its window; every free slot takes the most urgent at once
    Interval     a mailbox wakes as soon as it may; at each tick a run takes up to ``batch`` of them

                     tick               some are due          group over
             IDLE ---------> STARTING ---------------> SENDING ---------> RESTING
              ^                |  ^                                        |   |
              +----------------+  +------- batch delay over, batch not ----+   |
              | nothing is due                                                 |
              +-------------------------- batch delay over, batch over --------+

Invariants: no more mails in flight than ``concurrent``; an Interval starts at most ``batch`` mails a tick, and a tick that
comes while a run goes is dropped. Limits are not known here: the engine spends their tokens at the claim, returns what they
refuse to the mailboxes that wait, and passes the instant at which it may ask again as ``held_until``.
Fails: nothing; settings that make no sense raise ValueError when the schedule is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from warmup_core import pacing
from warmup_core.pacing import UNHINDERED, Pace, Wake, Window

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING: Final = timedelta()


@dataclass(frozen=True, slots=True)
class Owed:
    """What one mailbox owes in its window, and how far it is; the arguments of ``pacing.wake``."""

    plan: Window
    quota: int
    spent: int
    not_before: datetime
    seed: str


class Due(NamedTuple):
    """A mailbox that may be claimed now. Tuples sort by urgency: earliest deadline first."""

    deadline: datetime
    at: datetime
    mailbox: int


@dataclass(frozen=True)
class Start:
    """Claim and send for ``mailbox`` at ``at``, which is now or, staggered, a little later."""

    mailbox: int
    at: datetime


class Phase(StrEnum):
    """Where an Interval stands in its run."""

    IDLE = "idle"
    STARTING = "starting"
    SENDING = "sending"
    RESTING = "resting"


@dataclass(frozen=True)
class State:
    """What a schedule remembers between two questions.

    ``until``: the next tick while IDLE, the end of the batch delay while RESTING. ``left``: mails that the run may still start.
    ``tick``: the one that began the run. ``drawn``: staggers drawn so far.
    """

    phase: Phase = Phase.IDLE
    until: datetime | None = None
    tick: datetime | None = None
    left: int = 0
    drawn: int = 0


class Reason(StrEnum):
    """Why a schedule answers as it does."""

    STARTED = "started"
    NOTHING_DUE = "nothing due"
    SLOTS_FULL = "every slot taken"
    HELD = "held by a limit"
    BEFORE_TICK = "before the next tick"
    GROUP_IN_FLIGHT = "group in flight"
    BATCH_DELAY = "batch delay"


@dataclass(frozen=True)
class Decision:
    """What to start, and when to ask again at the latest; None: when a mail ends. Ends of mails are always told."""

    starts: tuple[Start, ...]
    look_again: datetime | None
    state: State
    reason: Reason


class Schedule(Protocol):
    """What the engine asks of a schedule."""

    def wake(self, now: datetime, owed: Owed, since: datetime | None = None) -> Wake:
        """When this mailbox is due; see ``pacing.wake``."""

    def deadline(self, owed: Owed) -> datetime:
        """How urgent its next mail is; see ``pacing.deadline``."""

    def appetite(self, now: datetime, in_flight: int, state: State) -> int:
        """How many mailboxes ``decide`` would start now: the engine need not put more than these in order."""

    def decide(
        self,
        now: datetime,
        due: Sequence[Due],
        next_due: datetime | None,
        in_flight: int,
        state: State,
        held_until: datetime | None = None,
    ) -> Decision:
        """What to start now. ``due``: by urgency, at least ``appetite`` of them where there are so many.

        ``next_due``: when the next mailbox wakes that is not due yet. ``in_flight`` counts announced starts too.
        """


@dataclass(frozen=True)
class Continuous:
    """Each mailbox at its own instant, the most urgent first when there are more than slots."""

    concurrent: int
    pace: Pace = UNHINDERED

    def __post_init__(self) -> None:
        if self.concurrent < 1:
            raise ValueError(f"a worker needs at least one slot, not {self.concurrent}")

    def wake(self, now: datetime, owed: Owed, since: datetime | None = None) -> Wake:
        return pacing.wake(
            now, owed.plan, owed.quota, owed.spent, owed.not_before, owed.seed, self.pace, since
        )

    def deadline(self, owed: Owed) -> datetime:
        return pacing.deadline(owed.plan, owed.quota, owed.spent, self.pace)

    def appetite(self, now: datetime, in_flight: int, state: State) -> int:
        return max(0, self.concurrent - in_flight)

    def decide(
        self,
        now: datetime,
        due: Sequence[Due],
        next_due: datetime | None,
        in_flight: int,
        state: State,
        held_until: datetime | None = None,
    ) -> Decision:
        free = self.appetite(now, in_flight, state)
        if not free:
            return Decision((), None, State(), Reason.SLOTS_FULL)
        if held_until is not None and now < held_until:
            return Decision((), held_until, State(), Reason.HELD)
        starts = tuple(Start(wanting.mailbox, now) for wanting in due[:free])
        look_again = next_due if len(starts) < free else None
        return Decision(starts, look_again, State(), Reason.STARTED if starts else Reason.NOTHING_DUE)


@dataclass(frozen=True)
class Interval:
    """A run every ``every``: up to ``batch`` mails in groups of ``concurrent``, a pause after each group.

    Ticks are whole intervals since 1970, UTC, moved by (worker - 1) / workers of one, so that workers take turns. ``seed``
    draws the staggers. A group ends with its slowest mail: one that waits ten minutes for its reply holds the run up.
    """

    every: timedelta
    batch: int
    concurrent: int
    batch_delay: timedelta = _NOTHING
    stagger_min: timedelta = _NOTHING
    stagger_max: timedelta = _NOTHING
    worker: int = 1
    workers: int = 1
    seed: str = ""
    pace: Pace = UNHINDERED

    def __post_init__(self) -> None:
        if self.every <= _NOTHING or self.batch < 1 or self.concurrent < 1:
            raise ValueError(
                f"an interval needs a length, a batch and a slot: every {self.every}, batch {self.batch},"
                f" concurrent {self.concurrent}"
            )
        if not _NOTHING <= self.stagger_min <= self.stagger_max or self.batch_delay < _NOTHING:
            raise ValueError(
                f"stagger goes from its min to its max, and no pause is negative: min {self.stagger_min},"
                f" max {self.stagger_max}, batch delay {self.batch_delay}"
            )

    def wake(self, now: datetime, owed: Owed, since: datetime | None = None) -> Wake:
        return pacing.ready(now, owed.plan, owed.quota, owed.spent, owed.not_before)

    def deadline(self, owed: Owed) -> datetime:
        return pacing.deadline(owed.plan, owed.quota, owed.spent, self.pace)

    def tick(self, after: datetime) -> datetime:
        """The first tick at or after this instant."""
        offset = self.every * ((self.worker - 1) % self.workers) / self.workers
        return after + (_EPOCH + offset - after) % self.every

    def appetite(self, now: datetime, in_flight: int, state: State) -> int:
        state = self._advance(now, in_flight, state)
        return self._group(in_flight, state) if state.phase is Phase.STARTING else 0

    def decide(
        self,
        now: datetime,
        due: Sequence[Due],
        next_due: datetime | None,
        in_flight: int,
        state: State,
        held_until: datetime | None = None,
    ) -> Decision:
        state = self._advance(now, in_flight, state)
        match state.phase:
            case Phase.IDLE:
                return Decision((), state.until, state, Reason.BEFORE_TICK)
            case Phase.SENDING:
                return Decision((), None, state, Reason.GROUP_IN_FLIGHT)
            case Phase.RESTING:
                return Decision((), state.until, state, Reason.BATCH_DELAY)
            case Phase.STARTING:
                if held_until is not None and now < held_until:
                    return Decision((), held_until, state, Reason.HELD)
                return self._start(now, due, in_flight, state)

    def _start(self, now: datetime, due: Sequence[Due], in_flight: int, state: State) -> Decision:
        room = self._group(in_flight, state)
        if not room:
            return Decision((), None, state, Reason.SLOTS_FULL)
        if not due:
            state = self._rest(now, state)
            return Decision((), state.until, state, Reason.NOTHING_DUE)
        starts = tuple(
            Start(wanting.mailbox, now + self._stagger(state.drawn + n))
            for n, wanting in enumerate(due[:room])
        )
        left = state.left - len(starts) if len(starts) == room else 0
        sending = replace(state, phase=Phase.SENDING, until=None, left=left, drawn=state.drawn + len(starts))
        return Decision(starts, None, sending, Reason.STARTED)

    def _advance(self, now: datetime, in_flight: int, state: State) -> State:
        """The state as it is by ``now``."""
        if state.phase is Phase.SENDING and not in_flight:
            state = replace(state, phase=Phase.RESTING, until=now + self.batch_delay)
        if state.phase is Phase.RESTING and (state.until is None or now >= state.until):
            state = replace(state, phase=Phase.STARTING, until=None) if state.left else self._rest(now, state)
        if state.phase is Phase.IDLE:
            until = state.until or self.tick(now)
            if now < until:
                return replace(state, until=until)
            state = replace(state, phase=Phase.STARTING, until=None, tick=until, left=self.batch)
        return state

    def _rest(self, now: datetime, state: State) -> State:
        """Idle until the next tick that is neither past nor the one that began this run."""
        after = now if state.tick is None else max(now, state.tick + timedelta.resolution)
        return replace(state, phase=Phase.IDLE, until=self.tick(after), left=0)

    def _group(self, in_flight: int, state: State) -> int:
        return max(0, min(self.concurrent - in_flight, state.left))

    def _stagger(self, draw: int) -> timedelta:
        return self.stagger_min + (self.stagger_max - self.stagger_min) * pacing.jitter(self.seed, draw)
