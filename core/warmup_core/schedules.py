"""The two ways in which a worker starts its mails, behind one interface: ``Continuous`` and ``Interval``. Pure.

``choose`` makes the one that the fleet's settings ask for; the engine never asks which it is. It asks two things: when a mailbox
wakes (``wake``), and, whenever something happened or the instant it was told has come, how many of those that are due start
now and when to look again (``decide``). It keeps the ``State`` that the last answer carried and hands it back; a new worker
begins with ``State()``, and a changed schedule says what it takes over from the old one's.

::

    Continuous   a mailbox wakes at its place in its window; every free slot takes the most urgent at once
    Interval     a mailbox wakes as soon as it may; at each tick a run takes up to ``batch`` of them

                     tick               group full        group over
             IDLE ---------> STARTING ---------------> SENDING ---------> RESTING
              ^                |  ^                                        |   |
              +----------------+  +------- batch delay over, batch not ----+   |
              | nothing is due                                                 |
              +-------------------------- batch delay over, batch over --------+

Invariants: no more mails in flight than ``concurrent``; an Interval starts at most ``batch`` mails a tick, and a tick that
comes while a run goes is dropped. Limits are not known here: the engine offers no more than they let through now and says
that the others are ``held``, so that a run is not over because of them.
Fails: nothing; settings that make no sense raise ValueError when the schedule is made.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from warmup_core import pacing
from warmup_core.pacing import UNHINDERED, Moment, Pace, Rhythm, Wake, Window
from warmup_core.settings import FleetSettings

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
    pace: Pace = UNHINDERED

    @property
    def deadline(self) -> datetime:
        """How urgent its next mail is; see ``pacing.deadline``."""
        return pacing.deadline(self.plan, self.quota, self.spent, self.pace)


@dataclass(frozen=True)
class Offer:
    """What there is to start. Which mailboxes they are the engine knows: the most urgent first.

    ``due``: how many may be claimed now, counted up to ``appetite``. ``next_due``: when the next wakes that is not due yet.
    ``held``: more are due than are offered, and none of those may start before ``held_until`` (None: before a mail ends).
    """

    due: int
    next_due: datetime | None = None
    held: bool = False
    held_until: datetime | None = None


class Phase(StrEnum):
    """Where an Interval stands in its run."""

    IDLE = "idle"
    STARTING = "starting"
    SENDING = "sending"
    RESTING = "resting"


@dataclass(frozen=True)
class State:
    """What a schedule remembers between two questions.

    ``until``: the next tick while IDLE, the end of the batch delay while RESTING. ``left``: mails that the run may still start,
    ``group`` of them in this group. ``tick``: the one that began the run. ``drawn``: staggers drawn so far.
    """

    phase: Phase = Phase.IDLE
    until: datetime | None = None
    tick: datetime | None = None
    left: int = 0
    group: int = 0
    drawn: int = 0


class Reason(StrEnum):
    """Why a schedule answers as it does."""

    STARTED = "started"
    NOTHING_DUE = "nothing due"
    SLOTS_FULL = "every slot taken"
    HELD = "held by a limit or a host's share"
    BEFORE_TICK = "before the next tick"
    GROUP_IN_FLIGHT = "group in flight"
    BATCH_DELAY = "batch delay"


@dataclass(frozen=True)
class Decision:
    """What to start, and when to ask again at the latest; None: when a mail ends. Ends of mails are always told.

    ``starts``: for the first of those offered the instant at which to start, which is now or, staggered, a little later.
    """

    starts: tuple[datetime, ...]
    look_again: datetime | None
    state: State
    reason: Reason


class Schedule(Protocol):
    """What the engine asks of a schedule."""

    def wake(self, now: datetime, owed: Owed, since: datetime | None = None) -> Wake:
        """When this mailbox is due; see ``pacing.wake``."""

    def moment(
        self, now: float, rhythm: Rhythm, spent: int, not_before: float, seed: str, since: float | None = None
    ) -> Moment:
        """``wake`` in seconds, for a window with mails left."""

    def appetite(self, now: datetime, in_flight: int, state: State) -> int:
        """How many mailboxes ``decide`` would start now: the engine need not put more than these in order."""

    def decide(self, now: datetime, offer: Offer, in_flight: int, state: State) -> Decision:
        """What to start now. ``in_flight`` counts announced starts too."""

    def take_over(self, state: State) -> State:
        """What is left of the state of another schedule."""


def choose(
    settings: FleetSettings, worker: int = 1, workers: int = 1, seed: str = ""
) -> "Continuous | Interval":
    """The schedule of one worker that the fleet's settings ask for. ``seed`` draws its staggers."""
    if settings.pacing_mode == "Continuous":
        return Continuous(settings.max_concurrent_sends)
    milliseconds = timedelta(milliseconds=1)
    return Interval(
        every=settings.interval_ms * milliseconds,
        batch=settings.interval_batch,
        concurrent=settings.max_concurrent_sends,
        batch_delay=settings.batch_delay_ms * milliseconds,
        stagger_min=settings.stagger_min_ms * milliseconds,
        stagger_max=settings.stagger_max_ms * milliseconds,
        worker=worker,
        workers=workers,
        seed=seed,
    )


@dataclass(frozen=True)
class Continuous:
    """Each mailbox at its own instant, the most urgent first when there are more than slots."""

    concurrent: int

    def __post_init__(self) -> None:
        if self.concurrent < 1:
            raise ValueError(f"a worker needs at least one slot, not {self.concurrent}")

    def wake(self, now: datetime, owed: Owed, since: datetime | None = None) -> Wake:
        return pacing.wake(
            now, owed.plan, owed.quota, owed.spent, owed.not_before, owed.seed, owed.pace, since
        )

    def moment(
        self, now: float, rhythm: Rhythm, spent: int, not_before: float, seed: str, since: float | None = None
    ) -> Moment:
        return rhythm.wake(now, spent, not_before, seed, since)

    def appetite(self, now: datetime, in_flight: int, state: State) -> int:
        return max(0, self.concurrent - in_flight)

    def decide(self, now: datetime, offer: Offer, in_flight: int, state: State) -> Decision:
        free = self.appetite(now, in_flight, state)
        if not free:
            return Decision((), None, State(), Reason.SLOTS_FULL)
        starts = (now,) * min(offer.due, free)
        if len(starts) == free:
            return Decision(starts, None, State(), Reason.STARTED)
        look_again = offer.held_until if offer.held else offer.next_due
        idle = Reason.HELD if offer.held else Reason.NOTHING_DUE
        return Decision(starts, look_again, State(), Reason.STARTED if starts else idle)

    def take_over(self, state: State) -> State:
        return State()


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

    def moment(
        self, now: float, rhythm: Rhythm, spent: int, not_before: float, seed: str, since: float | None = None
    ) -> Moment:
        return rhythm.ready(now, not_before)

    def tick(self, after: datetime) -> datetime:
        """The first tick at or after this instant."""
        offset = self.every * ((self.worker - 1) % self.workers) / self.workers
        return after + (_EPOCH + offset - after) % self.every

    def appetite(self, now: datetime, in_flight: int, state: State) -> int:
        state = self._advance(now, in_flight, state)
        return self._room(in_flight, state) if state.phase is Phase.STARTING else 0

    def decide(self, now: datetime, offer: Offer, in_flight: int, state: State) -> Decision:
        state = self._advance(now, in_flight, state)
        match state.phase:
            case Phase.IDLE:
                return Decision((), state.until, state, Reason.BEFORE_TICK)
            case Phase.SENDING:
                return Decision((), None, state, Reason.GROUP_IN_FLIGHT)
            case Phase.RESTING:
                return Decision((), state.until, state, Reason.BATCH_DELAY)
            case Phase.STARTING:
                return self._start(now, offer, in_flight, state)

    def take_over(self, state: State) -> State:
        if state.phase is Phase.IDLE:
            return State(drawn=state.drawn)  # the other's next tick is not ours
        return replace(state, left=min(state.left, self.batch), group=min(state.group, self.concurrent))

    def _start(self, now: datetime, offer: Offer, in_flight: int, state: State) -> Decision:
        room = self._room(in_flight, state)
        if not room:
            return Decision((), None, state, Reason.SLOTS_FULL)
        starts = tuple(now + self._stagger(state.drawn + n) for n in range(min(offer.due, room)))
        begun = replace(
            state,
            left=state.left - len(starts),
            group=state.group - len(starts),
            drawn=state.drawn + len(starts),
        )
        if len(starts) == room:
            phase = Phase.STARTING if begun.group else Phase.SENDING
            return Decision(starts, None, replace(begun, phase=phase), Reason.STARTED)
        if offer.held:
            return Decision(starts, offer.held_until, begun, Reason.STARTED if starts else Reason.HELD)
        if starts or in_flight:  # these are the last of the run
            ending = replace(begun, phase=Phase.SENDING, left=0, group=0)
            return Decision(starts, None, ending, Reason.STARTED if starts else Reason.NOTHING_DUE)
        idle = self._rest(now, state)
        return Decision((), idle.until, idle, Reason.NOTHING_DUE)

    def _advance(self, now: datetime, in_flight: int, state: State) -> State:
        """The state as it is by ``now``."""
        if state.phase is Phase.SENDING and not in_flight:
            state = replace(state, phase=Phase.RESTING, until=now + self.batch_delay)
        if state.phase is Phase.RESTING and (state.until is None or now >= state.until):
            state = self._begin_group(state) if state.left else self._rest(now, state)
        if state.phase is Phase.IDLE:
            until = state.until or self.tick(now)
            if now < until:
                return replace(state, until=until)
            state = self._begin_group(replace(state, tick=until, left=self.batch))
        return state

    def _begin_group(self, state: State) -> State:
        return replace(state, phase=Phase.STARTING, until=None, group=min(self.concurrent, state.left))

    def _rest(self, now: datetime, state: State) -> State:
        """Idle until the next tick that is neither past nor the one that began this run."""
        after = now if state.tick is None else max(now, state.tick + timedelta.resolution)
        return replace(state, phase=Phase.IDLE, until=self.tick(after), left=0, group=0)

    def _room(self, in_flight: int, state: State) -> int:
        return max(0, min(self.concurrent - in_flight, state.group))

    def _stagger(self, draw: int) -> timedelta:
        return self.stagger_min + (self.stagger_max - self.stagger_min) * pacing.jitter(self.seed, draw)
