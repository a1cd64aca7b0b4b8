"""The two clocks of a worker: one for ages, which nobody can set, and the database's for instants.

A worker never reads its wall clock. An age is a difference of ``boottime``, which goes on while the process or the machine
sleeps. An instant is the database's clock as the last heartbeat brought it, moved on by ``boottime``; it is never ahead of
the database, because the heartbeat's journey back is counted as none.
"""

import time
from datetime import UTC, datetime

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def boottime() -> float:
    """Seconds on a clock that only goes on, suspension counted (Linux); elsewhere the monotonic clock."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


class DatabaseClock:
    """The database's clock, estimated between two heartbeats. ``now`` before the first ``set`` is an error."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def set(self, at: datetime) -> None:
        """Note what the database's clock says now."""
        self._offset = at.timestamp() - boottime()

    def now(self) -> float:
        """Seconds since the epoch, by the database's clock."""
        if self._offset is None:
            raise RuntimeError("the database's clock is asked before the first heartbeat")
        return self._offset + boottime()

    def instant(self) -> datetime:
        """``now`` as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)
