"""Whether a quota fits its window, said beforehand, with everything that stands in the way and the value that would do. Pure.

Whatever holds mails back is the same thing, a ``Limit``: at most so many claims in any period, for its sharers together.
A cooldown is one mail a gap for one mailbox, the slots of a worker are so many mails a send, a batch is so many an interval.
A limit counts at its steady pace, not by a burst that happens to fit; one whose period is as long as the window counts whole.

Invariant: a quota called feasible is met inside its window by ``pacing.wake`` with the ``pace`` of the same limits, whatever
the draws, where mailboxes with one window and one quota share the limits and nothing fails. It is a guarantee: a quota a
mail beyond it may be met by luck.
Fails: a limit that can never let a mail through raises ValueError.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from warmup_core.pacing import Pace, Window, slots, window

_NOTHING = timedelta()


@dataclass(frozen=True)
class Limit:
    """At most ``mails`` claims in any ``period``, shared by ``sharers`` mailboxes.

    ``name``: the setting that a person would change. ``burst`` and ``use_by`` (B and U) are those of a limit that is kept by
    GCRA with T = (period + U) / (mails - B), so that no period ever holds more than ``mails``; without them it is counted.
    """

    name: str
    mails: int
    period: timedelta
    sharers: int = 1
    burst: int = 0
    use_by: timedelta = _NOTHING

    def __post_init__(self) -> None:
        if self.mails <= self.burst or self.period <= _NOTHING or self.sharers < 1:
            raise ValueError(
                f"{self.name} can never let a mail through: {self.mails} mails in {self.period},"
                f" burst {self.burst}, {self.sharers} sharers"
            )

    @property
    def turn(self) -> timedelta:
        """How long one mail from each sharer takes at the steady pace, to the microsecond above."""
        return timedelta.resolution * -(-self._served // (self.mails - self.burst))

    def counts_whole(self, length: timedelta) -> bool:
        """Whether the window is so short that no claim in it ever leaves the period again."""
        return self.period >= length and not self.burst

    def possible(self, length: timedelta) -> int:
        """The most mails of each sharer in a window of this length."""
        if self.counts_whole(length):
            return self.mails // self.sharers
        return length // timedelta.resolution * (self.mails - self.burst) // self._served

    def needed(self, length: timedelta, quota: int) -> int:
        """The least ``mails`` that lets ``quota`` of each sharer through."""
        if self.counts_whole(length):
            return quota * self.sharers
        return self.burst - (-self._served * quota // (length // timedelta.resolution))

    @property
    def _served(self) -> int:
        """The microseconds in which each sharer gets (mails - burst) through; whole numbers, so that nothing is rounded."""
        return (self.period + self.use_by) // timedelta.resolution * self.sharers


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
    length: timedelta, quota: int, *, cooldown: timedelta, send: timedelta, limits: Sequence[Limit] = ()
) -> Feasibility:
    """Whether each mailbox can send ``quota`` mails in a window of ``length``.

    ``cooldown``: the longest that may be drawn. ``send``: how long a mail is in flight. ``limits``: all that hold for these
    mailboxes, each with all its sharers. ``possible`` of the answer is a number of mails a mailbox.
    """
    if quota == 0:
        return Feasibility(True, 0, (), "no mails are asked for")
    if length <= _NOTHING:
        reason = "the window is empty on this day: the clock skips it"
        return Feasibility(False, 0, (Obstacle("schedule", 0, reason),), reason)
    everything = _all(cooldown, send, limits)
    obstacles = sorted(
        (_obstacle(limit, length, quota) for limit in everything if limit.possible(length) < quota),
        key=lambda obstacle: obstacle.possible,
    )
    if obstacles:
        return Feasibility(
            False,
            obstacles[0].possible,
            tuple(obstacles),
            "; ".join(obstacle.reason for obstacle in obstacles),
        )
    if not everything:
        return Feasibility(True, quota, (), f"nothing limits {quota} mails in {words(length)}")
    tightest = min(everything, key=lambda limit: limit.possible(length))
    possible = tightest.possible(length)
    return Feasibility(
        True, possible, (), f"{quota} mails fit into {words(length)}; {tightest.name} would admit {possible}"
    )


def pace(length: timedelta, *, cooldown: timedelta, send: timedelta, limits: Sequence[Limit] = ()) -> Pace:
    """The pace that ``pacing.wake`` keeps under these limits in a window of ``length``."""
    spreading = [limit for limit in _all(cooldown, send, limits) if not limit.counts_whole(length)]
    return Pace(
        gap=max((limit.turn for limit in spreading if limit.sharers == 1), default=_NOTHING),
        turn=max((limit.turn for limit in spreading if limit.sharers > 1), default=_NOTHING),
    )


def feasible_in_a_row(plans: Iterable[tuple[Window, int]], limit: Limit) -> Feasibility:
    """Whether one mailbox can send these quotas in these windows, one after the other, under a limit that knows no midnight.

    A provider's limit a day holds in every rolling 24 hours. Each mail is taken at the latest its draw may be, so that the
    answer holds for all draws. ``possible`` of the answer is the number of mails in all windows together.
    """
    claims: list[datetime] = []
    obstacles: list[Obstacle] = []
    asked = 0
    for plan, quota in plans:
        asked += quota
        before = len(claims)
        slot, draw = slots(plan, quota) if quota else (_NOTHING, _NOTHING)
        for k in range(quota):
            at = plan.opens + slot * k + draw
            if len(claims) >= limit.mails:
                at = max(at, claims[-limit.mails] + limit.period)
            if at < plan.closes:
                claims.append(at)
        fitted = len(claims) - before
        if fitted < quota:
            reason = (
                f"{limit.name} of {limit.mails} holds in every {words(limit.period)}, so the window from"
                f" {plan.opens:%Y-%m-%d %H:%M} to {plan.closes:%Y-%m-%d %H:%M} UTC has room for {fitted} of its {quota} mails"
            )
            obstacles.append(Obstacle(limit.name, fitted, reason))
    if obstacles:
        return Feasibility(
            False, len(claims), tuple(obstacles), "; ".join(obstacle.reason for obstacle in obstacles)
        )
    return Feasibility(True, len(claims), (), f"{asked} mails fit under {limit.name} of {limit.mails}")


def clock_change(day: date, zone: ZoneInfo, from_seconds: int, to_seconds: int) -> str | None:
    """The sentence for a planner when the clock skips, shortens or lengthens the window that opens on ``day``; None else."""
    across_midnight = 86_400 if to_seconds <= from_seconds else 0
    wall = timedelta(seconds=to_seconds + across_midnight - from_seconds)
    real = window(day, zone, from_seconds, to_seconds).length
    if real == wall:
        return None
    name = f"{_clock(from_seconds)} to {_clock(to_seconds)} on {day} in {zone.key}"
    if not real:
        return f"skipped: the clock never shows {name}"
    return f"{name} lasts {words(real)} instead of {words(wall)}: the clock changes"


def words(length: timedelta) -> str:
    """A duration as a person writes it: ``24h``, ``2h30m``, ``48s``, ``500ms``."""
    milliseconds = length // timedelta(milliseconds=1)
    if milliseconds % 1_000:
        return f"{milliseconds}ms"
    hours, rest = divmod(milliseconds // 1_000, 3_600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n]
    return "".join(parts) or "0s"


def _all(cooldown: timedelta, send: timedelta, limits: Sequence[Limit]) -> list[Limit]:
    """The limits with the two that every mailbox has of its own."""
    own = [
        Limit(name, 1, period)
        for name, period in (("pacing.cooldown", cooldown), ("the time of a send", send))
        if period
    ]
    return [*own, *limits]


def _obstacle(limit: Limit, length: timedelta, quota: int) -> Obstacle:
    possible = limit.possible(length)
    if limit.mails == 1 and limit.sharers == 1:
        cure = f"it may be at most {words(length // quota)}"
        found = f"{limit.name} of {words(limit.period)}"
        whose = "of a mailbox"
    else:
        cure = f"it has to be at least {limit.needed(length, quota)}"
        found = f"{limit.name} of {limit.mails}"
        whose = f"of each of {limit.sharers} mailboxes" if limit.sharers > 1 else "of a mailbox"
    return Obstacle(
        limit.name,
        possible,
        f"{found} lets {possible} of the {quota} mails {whose} through in {words(length)}; {cure}",
    )


def _clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3_600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
