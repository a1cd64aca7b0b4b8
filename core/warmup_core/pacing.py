"""When a mailbox wakes: its day's quota spread over its window with jitter, never closer than the cooldown. Pure.

The window of a day is cut into ``quota`` equal slots; mail k is due at a drawn place in the first nine tenths of slot k, so
no mail waits for the last instant of the window. A mailbox that is behind (its slot has passed: enrolled late, an outage) is
due at once, and ``not_before`` alone holds it back. After the window closes nothing is sent: what is left is the day's miss.

The draw is made from a seed and k, so the same mailbox on the same day has the same plan after a restart.
Every instant is an aware datetime of the database's clock. Days of 23 and 25 hours: slots follow the real length.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from hashlib import blake2b
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Window:
    """From ``opens`` (inclusive) to ``closes`` (exclusive), both aware."""

    opens: datetime
    closes: datetime


class WakeReason(StrEnum):
    """Why a mailbox wakes when it does, or does not wake any more today."""

    SCHEDULED = "scheduled"
    BEHIND = "behind"
    COOLDOWN = "cooldown"
    QUOTA_MET = "quota met"
    WINDOW_OVER = "window over"


@dataclass(frozen=True)
class Wake:
    """The next instant to claim at; ``at`` is None when today holds no more."""

    at: datetime | None
    reason: WakeReason


def window(day: date, zone: ZoneInfo, from_seconds: int, to_seconds: int) -> Window:
    """The instants of the wall-clock window [from, to) of ``day`` in ``zone``; 86400 is the next midnight."""

    def instant(seconds: int) -> datetime:
        whole_days, rest = divmod(seconds, 86_400)
        wall = datetime.combine(day + timedelta(days=whole_days), time(), zone) + timedelta(seconds=rest)
        return wall.astimezone(ZoneInfo("UTC"))

    return Window(instant(from_seconds), instant(to_seconds))


def jitter(seed: str, k: int) -> float:
    """A reproducible draw in [0, 1) for the k-th mail of the plan that ``seed`` names."""
    return int.from_bytes(blake2b(f"{seed}/{k}".encode(), digest_size=7).digest(), "big") / 2**56


def due(plan: Window, quota: int, k: int, seed: str) -> datetime:
    """When mail k (from 0) of ``quota`` is due. Strictly inside the window, ascending in k."""
    slot = (plan.closes - plan.opens) / quota
    return plan.opens + slot * (k + 0.9 * jitter(seed, k))


def wake(now: datetime, plan: Window, quota: int, spent: int, not_before: datetime, seed: str) -> Wake:
    """When a mailbox that has spent ``spent`` of ``quota`` claims its next mail."""
    if spent >= quota:
        return Wake(None, WakeReason.QUOTA_MET)
    planned = due(plan, quota, spent, seed)
    at, reason = planned, WakeReason.SCHEDULED
    if planned < now:
        at, reason = now, WakeReason.BEHIND
    if not_before > at:
        at, reason = not_before, WakeReason.COOLDOWN
    if at >= plan.closes:
        return Wake(None, WakeReason.WINDOW_OVER)
    return Wake(at, reason)


def backoff(failures: int, draw: float) -> float:
    """Seconds to leave a mailbox alone after its ``failures``-th failure in a row: 60 s doubling to an hour, within a quarter.

    ``draw`` in [0, 1) is the jitter, so that mailboxes of one broken host do not come back together.
    """
    return float(min(3600.0, 60.0 * 2.0 ** min(failures - 1, 16))) * (0.75 + 0.5 * draw)


def elapsed(plan: Window, at: datetime) -> float:
    """The share of the window that has passed, 0 to 1; a window that the clock skips has no inside to be in."""
    if at >= plan.closes:
        return 1.0
    return 0.0 if at <= plan.opens else (at - plan.opens) / (plan.closes - plan.opens)
