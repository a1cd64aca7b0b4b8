"""Whether a quota fits its window, said beforehand, with everything that stands in the way and the value that would do. Pure.

Whatever holds mails back is the same thing, a ``Bound``: at most so many claims in any period, for its sharers together. A
cooldown is one mail a gap for one mailbox, the slots of a worker are so many mails a send, a batch is so many an interval, and
a rate limit is what ``limits`` makes of its number. A bound counts at its steady pace, not by a burst that happens to fit,
unless it admits all mails of the window whenever they come: a limit of a day in a window of an hour.

Invariant: a quota called feasible is met inside its window by ``pacing.wake`` with the ``pace`` of the same bounds, whatever
the draws, where mailboxes with one window and one quota share the bounds and nothing fails. It is a guarantee: a quota a
mail beyond it may be met by luck.
Fails: a bound that can never let a mail through raises ValueError.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from warmup_core.hours import Hours, clock
from warmup_core.limits import Limit
from warmup_core.pacing import UNHINDERED, Pace, Window, slots, window
from warmup_core.schedules import Interval

SKIPPED = "skipped"
"""How the sentence of ``clock_change`` begins for a window that there is not."""
_NOTHING = timedelta()
_MICROSECOND = timedelta.resolution


@dataclass(frozen=True)
class Bound:
    """At most ``count`` claims in any ``period``, shared by ``sharers`` mailboxes.

    ``name``: the setting that a person would change. ``make``: the rate limit of a count, for a bound that is kept by GCRA,
    such as ``lambda count: limits.limit(count, 60, use_seconds=2)``; without it claims are counted one by one.
    """

    name: str
    count: int
    period: timedelta
    sharers: int = 1
    make: Callable[[int], Limit] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.count < 1 or self.period <= _NOTHING or self.sharers < 1:
            raise ValueError(
                f"{self.name} can never let a mail through: {self.count} in {self.period} for {self.sharers} mailboxes"
            )

    @property
    def turn(self) -> timedelta:
        """How long one mail from each sharer takes at the steady pace, to the microsecond above."""
        time, mails = self._steady()
        return _MICROSECOND * -(-time * self.sharers // mails)

    def paced(self, length: timedelta) -> int:
        """The most mails of each sharer that the steady pace admits in a window of this length."""
        time, mails = self._steady()
        return length // _MICROSECOND * mails // (time * self.sharers)

    def unpaced(self, length: timedelta) -> int:
        """The most mails of each sharer that never have to wait for each other, however they fall."""
        if self.make is None:
            return self.count // self.sharers
        limit = self.make(self.count)
        filled = (limit.burst + length // _MICROSECOND // limit.step_us) // self.sharers
        # Two mails of everybody may fall together, the late ones of a slot and the early ones of the next.
        return max(limit.burst // self.sharers, filled - 2 if limit.burst >= 2 * self.sharers else 0)

    def possible(self, length: timedelta) -> int:
        """The most mails of each sharer in a window of this length."""
        return max(self.paced(length), self.unpaced(length))

    def needed(self, length: timedelta, quota: int) -> int:
        """The least ``count`` that lets ``quota`` of each sharer through."""
        counts = range(1, 2**40)
        return counts[
            bisect_left(counts, quota, key=lambda count: replace(self, count=count).possible(length))
        ]

    def _steady(self) -> tuple[int, int]:
        """The microseconds in which so many mails pass at the steady pace."""
        if self.make is None:
            return self.period // _MICROSECOND, self.count
        return self.make(self.count).step_us, 1


@dataclass(frozen=True)
class Obstacle:
    """A setting that stands in the way, the mails of each mailbox that it lets through, and the sentence with the cure."""

    name: str
    possible: int
    reason: str


@dataclass(frozen=True)
class Feasibility:
    """Whether the quota fits; the most that does; what stands in the way, the hardest first; a sentence for a person."""

    ok: bool
    possible: int
    obstacles: tuple[Obstacle, ...]
    reason: str

    @property
    def obstacle(self) -> str | None:
        """The name of the hardest obstacle."""
        return self.obstacles[0].name if self.obstacles else None


def feasible(
    length: timedelta, quota: int, *, cooldown: timedelta, send: timedelta, bounds: Sequence[Bound] = ()
) -> Feasibility:
    """Whether each mailbox can send ``quota`` mails in a window of ``length``.

    ``cooldown``: the longest that may be drawn. ``send``: how long a mail is in flight. ``bounds``: all that hold for these
    mailboxes, each with all its sharers. ``possible`` of the answer is a number of mails a mailbox.
    """
    if quota == 0:
        return Feasibility(True, 0, (), "no mails are asked for")
    if length <= _NOTHING:
        return _infeasible(
            0, [Obstacle("schedule", 0, "the window is empty on this day: the clock skips it")]
        )
    everything = _all(cooldown, send, bounds)
    obstacles = [_obstacle(bound, length, quota) for bound in everything if bound.possible(length) < quota]
    if obstacles:
        obstacles.sort(key=lambda obstacle: obstacle.possible)
        return _infeasible(obstacles[0].possible, obstacles)
    if not everything:
        return Feasibility(True, quota, (), f"nothing bounds {quota} mails in {words(length)}")
    tightest = min(everything, key=lambda bound: bound.possible(length))
    possible = tightest.possible(length)
    return Feasibility(
        True, possible, (), f"{quota} mails fit into {words(length)}; {tightest.name} would admit {possible}"
    )


def pace(length: timedelta, *, cooldown: timedelta, send: timedelta, bounds: Sequence[Bound] = ()) -> Pace:
    """The pace that ``pacing.wake`` keeps under these bounds in a window of ``length``."""
    spreading = [
        bound for bound in _all(cooldown, send, bounds) if bound.paced(length) > bound.unpaced(length)
    ]
    return Pace(
        gap=max((bound.turn for bound in spreading if bound.sharers == 1), default=_NOTHING),
        turn=max((bound.turn for bound in spreading if bound.sharers > 1), default=_NOTHING),
    )


def batches(interval: Interval, send: timedelta, sharers: int) -> Bound:
    """What an ``Interval`` lets through: one batch a tick, or one every few ticks where a run takes longer than the interval.

    ``sharers``: the mailboxes of one worker. Runs that the window's end cuts short are not counted off.
    """
    sends, delays = run(interval, send)
    return Bound(
        "pacing.interval.batchSize",
        interval.batch,
        interval.every * max(1, -(-(sends + delays) // interval.every)),
        sharers,
    )


def run(interval: Interval, send: timedelta) -> tuple[timedelta, timedelta]:
    """How long the sends of a full run of an ``Interval`` take at the most, and how long its batch delays."""
    groups = -(-interval.batch // interval.concurrent)
    return groups * (interval.stagger_max + send), groups * interval.batch_delay


def feasible_in_a_row(plans: Iterable[tuple[Window, int]], bound: Bound) -> Feasibility:
    """Whether one mailbox can send these quotas in these windows, one after the other, under a count that knows no midnight.

    A provider's limit a day holds in every rolling 24 hours. Each mail is taken at the latest its draw may be, so that the
    answer holds for all draws. ``possible`` of the answer is the number of mails in all windows together.
    """
    claims: list[datetime] = []
    obstacles: list[Obstacle] = []
    for plan, quota in plans:
        before = len(claims)
        slot, draw = slots(plan, quota, UNHINDERED) if quota else (_NOTHING, _NOTHING)
        for k in range(quota):
            at = plan.opens + slot * k + draw
            if len(claims) >= bound.count:
                at = max(at, claims[-bound.count] + bound.period)
            if at < plan.closes:
                claims.append(at)
        fitted = len(claims) - before
        if fitted < quota:
            reason = (
                f"{bound.name} of {bound.count} holds in every {words(bound.period)}, so the window from"
                f" {plan.opens:%Y-%m-%d %H:%M} to {plan.closes:%Y-%m-%d %H:%M} UTC has room for {fitted} of its {quota} mails"
            )
            obstacles.append(Obstacle(bound.name, fitted, reason))
    if obstacles:
        return _infeasible(len(claims), obstacles)
    return Feasibility(True, len(claims), (), f"{len(claims)} mails fit under {bound.name} of {bound.count}")


def clock_change(day: date, zone: ZoneInfo, from_seconds: int, to_seconds: int) -> str | None:
    """The sentence for a planner when the clock skips, shortens or lengthens the window that opens on ``day``; None else."""
    across_midnight = 86_400 if to_seconds <= from_seconds else 0
    usual = timedelta(seconds=to_seconds + across_midnight - from_seconds)
    real = window(day, zone, from_seconds, to_seconds).length
    if real == usual:
        return None
    name = f"{clock(from_seconds)} to {clock(to_seconds)} on {day} in {zone.key}"
    if not real:
        return f"{SKIPPED}: the clock never shows {name}"
    return f"{name} lasts {words(real)} instead of {words(usual)}: the clock changes"


def clock_changes(first: date, days: int, hours: Hours) -> tuple[str, ...]:
    """What the clock does to the windows that open on ``first`` and the days after it, a sentence each."""
    opening = (first + timedelta(days=n) for n in range(days))
    found = (
        clock_change(day, hours.zone, hours.from_seconds, hours.to_seconds)
        for day in opening
        if hours.open_on(day)
    )
    return tuple(sentence for sentence in found if sentence)


def words(length: timedelta) -> str:
    """A duration as a person writes it: ``24h``, ``2h30m``, ``48s``, ``500ms``."""
    milliseconds = length // timedelta(milliseconds=1)
    if milliseconds % 1_000:
        return f"{milliseconds}ms"
    hours, rest = divmod(milliseconds // 1_000, 3_600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n]
    return "".join(parts) or "0s"


def _all(cooldown: timedelta, send: timedelta, bounds: Sequence[Bound]) -> list[Bound]:
    """The bounds with the two that every mailbox has of its own."""
    own = (("pacing.cooldown", cooldown), ("the time of a send", send))
    return [*(Bound(name, 1, period) for name, period in own if period), *bounds]


def _infeasible(possible: int, obstacles: Sequence[Obstacle]) -> Feasibility:
    return Feasibility(
        False, possible, tuple(obstacles), "; ".join(obstacle.reason for obstacle in obstacles)
    )


def _obstacle(bound: Bound, length: timedelta, quota: int) -> Obstacle:
    possible = bound.possible(length)
    if bound.count == 1 and bound.sharers == 1:
        found, cure = words(bound.period), f"it may be at most {words(length // quota)}"
    else:
        found, cure = str(bound.count), f"it has to be at least {bound.needed(length, quota)}"
    whose = f"of each of {bound.sharers} mailboxes" if bound.sharers > 1 else "of a mailbox"
    return Obstacle(
        bound.name,
        possible,
        f"{bound.name} of {found} lets {possible} of the {quota} mails {whose} through in {words(length)}; {cure}",
    )
