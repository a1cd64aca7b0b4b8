"""Which quota day a mail counts for, where a sending window and the quota's day do not end together. Pure.

A mail counts for the fleet's day at its claim, by the database's clock and in the fleet's time zone: the ledger's key and the
quota row are of that day. A window belongs to the day on which it opens in the mailbox's own zone: its working day, its
ramp. A window from 22:00 to 06:00, or one of a zone far from the fleet's, thus lies in two quota days, and its mails are
shared out: each day gets a ``Portion``, the part of the window inside it and the mails that belong there.

Invariants: the portions of a window add up to its quota, so nothing is lost or doubled where the fleet's midnight falls into
it. A quota day, of 23, 24 or 25 hours, never gets more than ``ceiling``. What a window missed before midnight it makes up
after it, as far as the ceiling leaves room beside what the day has planned; the rest is missed, as at the end of any window.
So it is where the clocks change and two windows ask for more than the ceiling on that day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from warmup_core import pacing
from warmup_core.pacing import UNHINDERED, Pace, Rhythm, Wake, WakeReason, Window, window

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Sending:
    """A mailbox's window, the day it opens on in its own zone, its quota, and what it spent before the quota day asked for."""

    opens_on: date
    window: Window
    quota: int
    spent_before: int = 0

    def planned_by(self, at: datetime) -> int:
        """The mails that are planned before an instant: the even share, rounded exactly so that all readers agree."""
        whole = self.window
        if whole.closes <= at:
            return self.quota
        if at <= whole.opens:
            return 0
        return (2 * self.quota * (at - whole.opens) + whole.length) // (2 * whole.length)


@dataclass(frozen=True)
class Portion:
    """The part of a window inside one quota day, the mails that are planned there, and how fast they may follow each other."""

    opens_on: date
    window: Window
    mails: int
    pace: Pace = UNHINDERED

    @cached_property
    def rhythm(self) -> Rhythm:
        """Its slots in seconds, made once for all mailboxes that share it. Only where it has mails."""
        return pacing.rhythm(self.window, self.mails, self.pace)


@dataclass(frozen=True, eq=False)
class DayPlan:
    """A mailbox's quota day, its portions in the order of time. Many mailboxes share one, so it is compared by identity."""

    portions: tuple[Portion, ...]

    @cached_property
    def mails(self) -> int:
        """The day's quota."""
        return sum(portion.mails for portion in self.portions)

    def expected(self, at: datetime) -> int:
        """The mails whose slot is over by ``at``."""
        return sum(int(pacing.elapsed(it.window, at) * it.mails) for it in self.portions)

    def elapsed(self, at: datetime) -> float:
        """The share of the day's mails whose time has passed, 0 to 1."""
        if not self.portions:
            return 0.0
        return sum(pacing.elapsed(it.window, at) * it.mails for it in self.portions) / self.mails

    def ahead(self, at: datetime) -> float:
        """The share of the day's mails whose portion is not over, 0 to 1."""
        if not self.portions:
            return 0.0
        return sum(it.mails for it in self.portions if at < it.window.closes) / self.mails

    def left(self, at: datetime) -> timedelta:
        """How much of the hours in which mails are sent is still to come."""
        ends = (it.window for it in self.portions if at < it.window.closes)
        return sum((it.closes - max(at, it.opens) for it in ends), timedelta())


NOTHING = DayPlan(())


def quota_day(day: date, zone: ZoneInfo) -> Window:
    """The instants of a day of the fleet: 24 hours, or 23 or 25."""
    return window(day, zone, 0, 86_400)


def windows_in(
    day: Window, zone: ZoneInfo, from_seconds: int, to_seconds: int
) -> tuple[tuple[date, Window], ...]:
    """The windows of ``zone`` that lie wholly or partly in a quota day, each with the day on which it opens."""
    first = day.opens.astimezone(zone).date() - _ONE_DAY
    last = day.closes.astimezone(zone).date()
    candidates = (first + timedelta(days=n) for n in range((last - first).days + 1))
    opened = ((opens_on, window(opens_on, zone, from_seconds, to_seconds)) for opens_on in candidates)
    return tuple((opens_on, plan) for opens_on, plan in opened if _meet(plan, day))


def _meet(plan: Window, day: Window) -> bool:
    """Whether a window lies partly in a day. One that the clock skips lies where it would have opened, to be accounted for."""
    return plan.opens < day.closes and (day.opens < plan.closes or day.opens <= plan.opens)


def portions(day: Window, sendings: Iterable[Sending], ceiling: int) -> tuple[Portion, ...]:
    """How a quota day is shared among the windows in it, in the order of time. The day's quota is the sum of ``mails``."""
    inside = sorted((it for it in sendings if _meet(it.window, day)), key=lambda it: it.window.opens)
    wanted = [max(0, it.planned_by(day.closes) - it.spent_before) for it in inside]
    planned = [
        min(want, it.planned_by(day.closes) - it.planned_by(day.opens))
        for it, want in zip(inside, wanted, strict=True)
    ]
    room = ceiling
    mails = [0] * len(inside)
    for asked in (planned, wanted):  # what was missed comes after everything that is planned
        for n, upto in enumerate(asked):
            more = min(room, upto - mails[n])
            mails[n] += more
            room -= more
    return tuple(
        Portion(
            it.opens_on, Window(max(it.window.opens, day.opens), min(it.window.closes, day.closes)), found
        )
        for it, found in zip(inside, mails, strict=True)
    )


def soonest(wakes: Sequence[Wake]) -> Wake:
    """The answer of a day from the answers of its portions, in the order of time: the first that still has an instant.

    Where none has, the reason is that of the first one that was not met.
    """
    if not wakes:
        return Wake(None, WakeReason.QUOTA_MET)
    unmet = [found for found in wakes if found.reason is not WakeReason.QUOTA_MET]
    return next((found for found in wakes if found.at is not None), unmet[0] if unmet else wakes[-1])
