"""A sending window that begins soon, in a time zone whose midnight is far away. Pure.

The quota's day turns at the fleet's midnight, so a demo started shortly before it would be cut in two. A fixed zone in which it
is about noon now keeps every run inside one day. (POSIX signs: Etc/GMT-5 is five hours ahead of UTC.)
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
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
    utc = now.astimezone(ZoneInfo("UTC"))
    ahead = 12 - utc.hour
    zone = "Etc/GMT" if ahead == 0 else f"Etc/GMT{-ahead:+d}"
    local = now.astimezone(ZoneInfo(zone)).replace(microsecond=0)
    opens, closes = local + after, local + after + length + timedelta(seconds=1)
    return ShortWindow(zone, f"{opens:%H:%M:%S}", f"{closes:%H:%M:%S}", closes)
