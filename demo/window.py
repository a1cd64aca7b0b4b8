"""A sending window that begins soon, or has begun, in a time zone whose midnight is far away. Pure.

The quota's day turns at the fleet's midnight, so a demo started shortly before it would be cut in two. A fixed zone in which it
is about noon now keeps every run inside one day. (POSIX signs: Etc/GMT-5 is five hours ahead of UTC.)
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class ShortWindow:
    """``start`` and ``end`` as HH:MM:SS in ``zone``; ``closes`` is the end as an instant."""

    zone: str
    start: str
    end: str
    closes: datetime


def soon(now: datetime, after: timedelta, length: timedelta) -> ShortWindow:
    """The window [now + after, now + after + length), rounded to whole seconds outwards. ``now`` is aware."""
    local = about_noon(now)
    opens, closes = local + after, local + after + length + timedelta(seconds=1)
    return _window(local, f"{opens:%H:%M:%S}", closes)


def begun(now: datetime, quota: int) -> ShortWindow:
    """A window open since midnight in which ``quota`` mails are all due by now: it ends in the last tenth of the last one's slot.

    With three mails that is in 25 minutes or more, so nothing that is sent now can come too late for it.
    """
    local = about_noon(now)
    midnight = local.replace(hour=0, minute=0, second=0)
    return _window(local, "00:00:00", midnight + (local - midnight) * 10 * quota // (10 * quota - 1))


def about_noon(now: datetime) -> datetime:
    """``now`` in a fixed zone where it is between 12:00 and 13:00."""
    ahead = 12 - now.astimezone(UTC).hour
    zone = "Etc/GMT" if ahead == 0 else f"Etc/GMT{-ahead:+d}"
    return now.astimezone(ZoneInfo(zone)).replace(microsecond=0)


def _window(local: datetime, start: str, closes: datetime) -> ShortWindow:
    return ShortWindow(str(local.tzinfo), start, f"{closes:%H:%M:%S}", closes)
