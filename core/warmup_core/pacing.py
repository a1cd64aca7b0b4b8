"""When a mailbox wakes: its day's quota spread over its window with jitter, never closer than the cooldown. Pure.

The window of a day is cut into ``quota`` equal slots; mail k is due at a drawn place in the first nine tenths of slot k, so
no mail waits for the last instant of the window. Where mailboxes share limits, ``Pace.turn`` is what one mail from each of
them takes: the slots then end so early that the last turn still fits, and where even that is tight the draw shrinks first.
So if ``quota`` times the longer of ``gap`` and ``turn`` fits the window, every mail finds its place: mail k is claimed before
its slot, its draw and one turn are over (``warmup_core.feasibility`` asks that question beforehand).

A mailbox that is behind (its slot has passed: enrolled late, an outage) is due at once. Where it missed more than a turn,
as all have after an outage, each takes its own place in the turn that follows, so the backlog comes no faster than the limits
let it through. Who waited with others for a pause comes back likewise, each at its own place (``Rhythm.comes_back``).
``not_before`` holds back all of this. After the window closes nothing is claimed: what is left is the day's
miss. Of several mailboxes that are due the one with the earliest ``deadline`` goes first.

The draws are made from a seed and k, so the same mailbox on the same day has the same plan after a restart.
Every instant is an aware datetime of the database's clock. Days of 23 and 25 hours: slots follow the real length.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from warmup_core.backoff import doubled

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True)
class Window:
    """From ``opens`` (inclusive) to ``closes`` (exclusive), both aware. Empty where the clock skips it."""

    opens: datetime
    closes: datetime

    @property
    def length(self) -> timedelta:
        return self.closes - self.opens


@dataclass(frozen=True)
class Pace:
    """How fast mails may follow each other: ``gap`` from claim to claim of one mailbox, ``turn`` for one mail from everybody."""

    gap: timedelta = timedelta()
    turn: timedelta = timedelta()

    @property
    def least(self) -> timedelta:
        """The shortest slot that a mailbox and the limits can keep up with."""
        return max(self.gap, self.turn)


UNHINDERED: Final = Pace()


class WakeReason(StrEnum):
    """Why a mailbox wakes when it does, or does not wake any more today."""

    SCHEDULED = "scheduled"
    BEHIND = "behind"
    COOLDOWN = "cooldown"
    QUOTA_MET = "quota met"
    WINDOW_OVER = "window over"
    NO_WINDOW = "the clock skips the window today"


@dataclass(frozen=True)
class Wake:
    """The next instant to claim at; ``at`` is None when today holds no more."""

    at: datetime | None
    reason: WakeReason


def window(day: date, zone: ZoneInfo, from_seconds: int, to_seconds: int) -> Window:
    """The instants of the wall-clock window [from, to) that opens on ``day`` in ``zone``; 86400 is the next midnight.

    A window whose end is not after its start closes on the next day; equal bounds are the whole turn of the clock.
    A bound that the clock skips is the instant of the skip, so a window inside the skipped hour is empty. A bound that the
    clock shows twice is the first of the two, so the doubled hour is one window of two hours.
    """
    across_midnight = _DAY_SECONDS if to_seconds <= from_seconds else 0
    return Window(_instant(day, zone, from_seconds), _instant(day, zone, to_seconds + across_midnight))


def _instant(day: date, zone: ZoneInfo, seconds: int) -> datetime:
    whole_days, rest = divmod(seconds, _DAY_SECONDS)
    wall = datetime.combine(day + timedelta(days=whole_days), time()) + timedelta(seconds=rest)
    at = wall.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall:
        return at
    # The clock never shows ``wall``: PEP 495 reads it with the new offset (fold=1) before the skip, with the old one after.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    new_offset = at.astimezone(zone).utcoffset()

    def skipped(after: int) -> bool:
        return (before + timedelta(seconds=after)).astimezone(zone).utcoffset() == new_offset

    return before + timedelta(
        seconds=bisect_left(range(int((at - before).total_seconds())), True, key=skipped)
    )


def jitter(seed: str, k: int) -> float:
    """A reproducible draw in [0, 1) for the k-th mail of the plan that ``seed`` names."""
    return int.from_bytes(blake2b(f"{seed}/{k}".encode(), digest_size=7).digest(), "big") / 2**56


def slots(plan: Window, quota: int, pace: Pace) -> tuple[timedelta, timedelta]:
    """The length of a slot, and how much of it the draw may use: (quota - 1) slots, one draw and one turn fit the window."""
    length = plan.length
    slot = min(length // quota, max(pace.least, (length - pace.turn) * 10 // (10 * quota - 1)))
    draw = min(slot * 9 // 10, max(timedelta(), length - pace.turn - slot * (quota - 1)))
    return slot, draw


class Moment(NamedTuple):
    """A ``Wake`` in seconds since the epoch."""

    at: float | None
    reason: WakeReason


class Rhythm(NamedTuple):
    """A window with its mails in seconds since the epoch, for who asks for a million mailboxes: it answers as the functions of
    the same names do, to the microsecond, for a mailbox that has mails left."""

    opens: float
    closes: float
    slot: float
    draw: float
    least: float
    turn: float

    def wake(
        self, now: float, spent: int, not_before: float, seed: str, since: float | None = None
    ) -> Moment:
        """When the next mail is claimed, and why then."""
        begins = self.opens + self.slot * spent
        latest = begins + self.draw  # if that is over it is behind, whatever the draw says
        at, reason = (
            begins + self.draw * jitter(seed, spent) if now <= latest else latest,
            WakeReason.SCHEDULED,
        )
        if at < now:
            at, reason = now, WakeReason.BEHIND
            if self.turn and now > latest + self.turn:
                after = max(not_before, self.opens if since is None else since)
                own = self.opens + self.turn * jitter(seed, -1)
                at = max(now, after + (own - after) % self.turn)
                if at >= self.closes:
                    at = now
        return self._open(at, reason, not_before)

    def ready(self, now: float, not_before: float) -> Moment:
        """When the next mail may be claimed at the earliest."""
        return self._open(max(now, self.opens), WakeReason.SCHEDULED, not_before)

    def deadline(self, left: int) -> float:
        """Until when the next of ``left`` mails has to be claimed."""
        return self.closes - self.least * left

    def comes_back(self, over: float, waited: float, deadline: float, seed: str) -> float:
        """When a mailbox goes on after a pause that was over at ``over`` for it and others, who may have waited for ``waited``.

        Its own place in as long a time again, a slot at most: then all that waited add to what becomes due meanwhile no more
        than what is ordinary. Half of what its deadline leaves at most, so that the pause's end costs no quota.
        """
        span = min(waited, self.slot, (deadline - over) / 2)
        return over + span * jitter(seed, -2) if span > 0 else over

    def _open(self, at: float, reason: WakeReason, not_before: float) -> Moment:
        if self.closes <= self.opens:
            return Moment(None, WakeReason.NO_WINDOW)
        if not_before > at:
            at, reason = not_before, WakeReason.COOLDOWN
        return Moment(at, reason) if at < self.closes else Moment(None, WakeReason.WINDOW_OVER)


def rhythm(plan: Window, quota: int, pace: Pace = UNHINDERED) -> Rhythm:
    """The rhythm of ``quota`` mails in a window, at least one."""
    spans = (*slots(plan, quota, pace), pace.least, pace.turn)
    return Rhythm(plan.opens.timestamp(), plan.closes.timestamp(), *(it.total_seconds() for it in spans))


def due(plan: Window, quota: int, k: int, seed: str, pace: Pace = UNHINDERED) -> datetime:
    """When mail k (from 0) of ``quota`` is due. Strictly inside the window, ascending in k."""
    slot, draw = slots(plan, quota, pace)
    return plan.opens + slot * k + draw * jitter(seed, k)


def deadline(plan: Window, quota: int, spent: int, pace: Pace = UNHINDERED) -> datetime:
    """The instant at which the next mail has to be claimed so that the rest of the quota still fits behind it."""
    return plan.closes - pace.least * (quota - spent)


def wake(
    now: datetime,
    plan: Window,
    quota: int,
    spent: int,
    not_before: datetime,
    seed: str,
    pace: Pace = UNHINDERED,
    since: datetime | None = None,
) -> Wake:
    """When a mailbox that has spent ``spent`` of ``quota`` claims its next mail.

    ``since``: when the worker that asks became able to send (its start, the database's return, the end of a pause).
    """
    if spent >= quota:
        return Wake(None, WakeReason.QUOTA_MET)
    if plan.closes <= plan.opens:
        return Wake(None, WakeReason.NO_WINDOW)
    slot, draw = slots(plan, quota, pace)
    at, reason = plan.opens + slot * spent + draw * jitter(seed, spent), WakeReason.SCHEDULED
    if at < now:
        missed_its_turn = now > plan.opens + slot * spent + draw + pace.turn
        at, reason = now, WakeReason.BEHIND
        if missed_its_turn and pace.turn:
            at = max(now, _place(plan, max(not_before, since or plan.opens), seed, pace.turn))
            if at >= plan.closes:
                at = now
    if not_before > at:
        at, reason = not_before, WakeReason.COOLDOWN
    if at >= plan.closes:
        return Wake(None, WakeReason.WINDOW_OVER)
    return Wake(at, reason)


def ready(now: datetime, plan: Window, quota: int, spent: int, not_before: datetime) -> Wake:
    """When a mailbox may claim its next mail at the earliest: ``wake`` without the spreading."""
    if spent >= quota:
        return Wake(None, WakeReason.QUOTA_MET)
    if plan.closes <= plan.opens:
        return Wake(None, WakeReason.NO_WINDOW)
    at = max(now, plan.opens)
    reason = WakeReason.SCHEDULED
    if not_before > at:
        at, reason = not_before, WakeReason.COOLDOWN
    return Wake(at, reason) if at < plan.closes else Wake(None, WakeReason.WINDOW_OVER)


def _place(plan: Window, after: datetime, seed: str, turn: timedelta) -> datetime:
    """The first instant from ``after`` on that is this mailbox's own in the endless row of turns since the window opened."""
    own = plan.opens + turn * jitter(seed, -1)
    return after + (own - after) % turn


def backoff(failures: int, draw: float) -> float:
    """Seconds to leave a mailbox alone after its ``failures``-th failure in a row: 60 s doubling to an hour, within a quarter.

    ``draw`` in [0, 1) is the jitter, so that mailboxes of one broken host do not come back together.
    """
    return doubled(60.0, failures - 1, 3600.0) * (0.75 + 0.5 * draw)


def elapsed(plan: Window, at: datetime) -> float:
    """The share of the window that has passed, 0 to 1; a window that the clock skips has no inside to be in."""
    if at >= plan.closes:
        return 1.0
    return 0.0 if at <= plan.opens else (at - plan.opens) / (plan.closes - plan.opens)
