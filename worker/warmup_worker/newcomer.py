"""Whether a process may take its number now, or first lets the one that has just taken it have its time.

The newest process of a number wins. Where two supervisors start the same number (`restart: always` on two machines), each would
end the other's process for ever, so a newcomer stands back while the number's holder beats and has had it for less than
``calm`` seconds: they take turns every few minutes, and a sentence on /readyz names both until a person ends one of them.

Nobody who is replaced properly is waited for: a process that ended gave its lease back, one that was killed does not beat and is
known by that within three heartbeats, one that has run for longer gives way at once.
Fails: ``Unreachable`` from the reading; it is tried again.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from warmup_worker.timing import Timing


@dataclass(frozen=True)
class Holder:
    """Who has the number. ``held_for``: seconds; ``live``: its lease runs. By the database's clock."""

    incarnation: int
    host: str
    held_for: float
    live: bool
    lease_until: datetime


_HOLDER = text("""
SELECT incarnation, host, extract(epoch FROM clock_timestamp() - started_at)::float8 AS held_for,
    lease_until > clock_timestamp() AS live, lease_until
FROM workers WHERE number = :number
""")


async def holder(connection: AsyncConnection, number: int) -> Holder | None:
    """Who has this number; None when nobody ever had it."""
    row = (await connection.execute(_HOLDER, {"number": number})).first()
    return Holder(**row._mapping) if row is not None else None


class Newcomer:
    """One process's patience. ``crowded`` is asked with each look at the holder until it has nothing to say."""

    def __init__(self, number: int, timing: Timing) -> None:
        self._number, self._timing = number, timing
        self._seen: tuple[int, datetime] | None = None
        self._since = 0.0

    def crowded(self, holder: Holder | None, now: float) -> str | None:
        """Why this process stands back; None when the number is its to take. ``now``: seconds on a clock that only goes on."""
        if holder is None or not holder.live or holder.held_for >= self._timing.calm:
            return None
        if self._seen != (holder.incarnation, holder.lease_until):
            self._seen, self._since = (holder.incarnation, holder.lease_until), now
        if now - self._since > 3 * self._timing.heartbeat:
            return None  # it does not beat any more
        return (
            f"Another process runs as worker {self._number}, on {holder.host}. Each process needs a number of its own: end one."
            f" This one takes over when the other has had its {self._timing.calm:.0f} s, or has gone."
        )
