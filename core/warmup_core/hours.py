"""When a mailbox may send: a daily window of a time zone, and the days on which one opens; the fleet's or its own. Pure.

A window that does not end after its start ends on the next day. Its day is the one on which it opens, in its own zone: that is
the day for which ``days`` and the ramp are asked. Which quota day a mail counts for is another matter (``warmup_core.days``).
Fails: what a person wrote that makes no sense raises ValueError in words.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from warmup_core import pacing
from warmup_core.pacing import Window
from warmup_core.ramp import Weekday
from warmup_core.types import START_PATTERN, end_of_window, seconds_of_day

_IN_ORDER = tuple(Weekday)


class OwnHours(NamedTuple):
    """What a mailbox says for itself, as its row has it. None: as the fleet. ``days``: ``Mon,Tue``, in the order of the week."""

    window_from: int | None = None
    window_to: int | None = None
    time_zone: str | None = None
    days: str | None = None

    def __str__(self) -> str:
        if self == AS_THE_FLEET:
            return "as the fleet"
        window = (
            ""
            if self.window_from is None or self.window_to is None
            else f"{clock(self.window_from)} to {clock(self.window_to)}"
        )
        return ", ".join(filter(None, (window, self.time_zone, self.days)))


AS_THE_FLEET = OwnHours()


@dataclass(frozen=True)
class Hours:
    """A window of the wall clock [from, to) in seconds of the day, its zone, and the weekdays on which it opens."""

    zone: ZoneInfo
    from_seconds: int
    to_seconds: int
    days: Collection[Weekday]

    def of(self, own: OwnHours) -> "Hours":
        """These hours for a mailbox that says something else for itself.

        A zone that this machine does not know is the fleet's: the row was written where it is known, and one row stops nobody.
        """
        try:
            zone = self.zone if own.time_zone is None else ZoneInfo(own.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            zone = self.zone
        return Hours(
            zone,
            self.from_seconds if own.window_from is None else own.window_from,
            self.to_seconds if own.window_to is None else own.window_to,
            self.days if own.days is None else frozenset(map(Weekday, own.days.split(","))),
        )

    def window(self, opens_on: date) -> Window:
        """The window that opens on this day; empty where the clock skips it."""
        return pacing.window(opens_on, self.zone, self.from_seconds, self.to_seconds)

    def open_on(self, day: date) -> bool:
        """Whether mails belong to the window that opens on this day."""
        return _IN_ORDER[day.weekday()] in self.days


def read_start(text: str) -> int:
    """``08:30`` or ``08:30:15`` as seconds of the day. Raises ValueError."""
    if not re.match(START_PATTERN, text):
        raise ValueError(f"{text!r} is not a time of day before 24:00: write HH:MM or HH:MM:SS")
    return seconds_of_day(text)


def read_end(text: str) -> int:
    """``18:00``; midnight may be 24:00 or 00:00. Raises ValueError."""
    return end_of_window(text)


def read_zone(text: str) -> str:
    """An IANA name that this machine knows. Raises ValueError."""
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text!r} is no IANA time zone, such as Europe/Berlin") from None


def read_days(text: str) -> tuple[Weekday, ...]:
    """``mon, Tue`` or ``Mon-Fri`` in the order of the week, each once. Raises ValueError."""
    known = {day.lower(): n for n, day in enumerate(_IN_ORDER)}
    found: set[Weekday] = set()
    for word in re.split(r"[,\s]+", text.strip()):
        first, _, last = word.lower().partition("-")
        if first not in known or (last or first) not in known:
            raise ValueError(f"{word!r} is none of {', '.join(Weekday)}; write them like Mon,Tue or Mon-Fri")
        length = (known[last or first] - known[first]) % 7 + 1
        found |= {_IN_ORDER[(known[first] + n) % 7] for n in range(length)}
    return tuple(day for day in Weekday if day in found)


def clock(seconds: int) -> str:
    """Seconds of the day as a person writes them: ``08:30``, ``24:00``."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}" + (f":{rest:02}" if rest else "")
