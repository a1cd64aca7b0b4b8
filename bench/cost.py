"""What a run of a sender costs: CPU of sender, PostgreSQL and sink between two moments, and how fast it went meanwhile."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import machine
from bench.sink import Sink

_FIRST, _LAST = 0.1, 0.98
"""The shares of the mails between which is measured: no start, and no end at which nothing is left to do."""
_STALLED_SECONDS = 60.0


@dataclass(frozen=True)
class Cost:
    """CPU in ms a mail; how much of their core sink and PostgreSQL were busy; the sender's memory at the end."""

    sender: float
    postgres: float
    sink: float
    mails_per_second: float
    sink_busy: float
    postgres_busy: float
    resident_mb: float

    @property
    def total(self) -> float:
        """CPU ms a mail of sender and PostgreSQL."""
        return self.sender + self.postgres

    def __str__(self) -> str:
        return (
            f"{self.total:.3f} ms a mail: sender {self.sender:.3f}, Postgres {self.postgres:.3f};"
            f" sink {self.sink:.3f} ms, {self.sink_busy:.0%} busy (Postgres {self.postgres_busy:.0%});"
            f" {self.mails_per_second:.0f} mails/s, {self.resident_mb:.0f} MB"
        )


@dataclass(frozen=True)
class Moment:
    """Where the counters stand."""

    at: float
    mails: int
    sender: float
    postgres: float
    sink: float

    @classmethod
    def now(cls, sender: int, postgres: int, target: Sink) -> "Moment":
        """Read them. ``sender`` and ``postgres``: the first process of each tree."""
        used = (machine.cpu_seconds(sender), machine.cpu_seconds(postgres), machine.cpu_seconds(target.pid))
        return cls(time.perf_counter(), target.counts().accepted, *used)

    def until(self, end: "Moment", resident_mb: float) -> Cost:
        """What happened from here to ``end``."""
        mails, seconds = end.mails - self.mails, end.at - self.at
        sender, postgres, sink = end.sender - self.sender, end.postgres - self.postgres, end.sink - self.sink
        return Cost(
            sender=sender / mails * 1000,
            postgres=postgres / mails * 1000,
            sink=sink / mails * 1000,
            mails_per_second=mails / seconds,
            sink_busy=sink / seconds,
            postgres_busy=postgres / seconds,
            resident_mb=resident_mb,
        )


def measure(sender: int, postgres: int, target: Sink, mails: int) -> Cost:
    """Follow a run that has begun until it has sent ``mails``. Raises RuntimeError when nothing comes any more."""
    began = target.counts().accepted
    reach(target, began + int(mails * _FIRST))
    first = Moment.now(sender, postgres, target)
    reach(target, began + int(mails * _LAST))
    resident = machine.resident_mb(sender)
    return first.until(Moment.now(sender, postgres, target), resident)


def reach(target: Sink, count: int) -> None:
    """Wait until the sink has accepted ``count``. Raises RuntimeError when nothing comes any more."""
    seen, since = -1, time.perf_counter()
    while (accepted := target.counts().accepted) < count:
        if accepted > seen:
            seen, since = accepted, time.perf_counter()
        if time.perf_counter() - since > _STALLED_SECONDS:
            raise RuntimeError(f"no mail for {_STALLED_SECONDS:.0f} s, {count - accepted} are missing")
        time.sleep(0.02)


def spread(figures: Sequence[float], form: str = ".2f") -> str:
    """Median and range."""
    return f"{statistics.median(figures):{form}} ({min(figures):{form}} to {max(figures):{form}})"
