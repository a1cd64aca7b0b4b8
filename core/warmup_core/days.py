"""Which quota day a mail counts for, where a sending window and the quota's day do not end together. Pure.

A mail counts for the fleet's day at its claim, by the database's clock and in the fleet's time zone: the ledger's key and the
quota row are of that day. A window belongs to the day on which it opens in the mailbox's own zone: its working day, its
ramp. A window from 22:00 to 06:00, or one of a zone far from the fleet's, thus lies in two quota days, and its mails are
shared out: each day gets a ``Portion``, the part of the window inside it and the mails that belong there.

Invariants: what a window did not spend before the fleet's midnight it may still spend after it, so the portions of a window
add up to its quota and nothing is lost or doubled. A quota day, of 23, 24 or 25 hours, never gets more than ``ceiling``: where
two windows ask for more (the clocks changed, or the first part was missed) the later one waits for the next day, as far as
it is still open then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from warmup_core.pacing import Wake, WakeReason, Window, window

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Sending:
    """A mailbox's window, the day it opens on in its own zone, its quota, and what it spent before the quota day asked for."""

    opens_on: date
    window: Window
    quota: int
    spent_before: int = 0


@dataclass(frozen=True)
class Portion:
    """The part of a window inside one quota day, and the mails that are planned there."""

    opens_on: date
    window: Window
    mails: int


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
    shared: list[Portion] = []
    room = ceiling
    for sending in sorted(sendings, key=lambda sending: sending.window.opens):
        whole = sending.window
        if not _meet(whole, day):
            continue
        inside = Window(max(whole.opens, day.opens), min(whole.closes, day.closes))
        by_midnight = sending.quota
        if whole.closes > day.closes:
            # Rounded to the nearest mail, exactly, so that every reader finds the same number.
            by_midnight = (2 * sending.quota * (day.closes - whole.opens) + whole.length) // (
                2 * whole.length
            )
        mails = min(room, max(0, by_midnight - sending.spent_before))
        room -= mails
        shared.append(Portion(sending.opens_on, inside, mails))
    return tuple(shared)


def soonest(wakes: Sequence[Wake]) -> Wake:
    """The answer of a day from the answers of its portions, in the order of time: the first that still has an instant."""
    for found in wakes:
        if found.at is not None:
            return found
    return wakes[-1] if wakes else Wake(None, WakeReason.QUOTA_MET)
