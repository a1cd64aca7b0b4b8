"""How long a sent mail holds its slot here, and how many a second this worker could send: what the fleet is sized by.

Kept over the last sends, so that it follows what servers do now. Waiting for a claim (and so for a limit's token) does not
count: a limit that binds must not look like a worker that is slow. Nor do failures: a dead host must not make a fleet grow.
Invariant: what it says never depends on how many mails are due. No I/O, no clock.
"""

from collections import deque
from datetime import timedelta
from typing import Final

from warmup_core.capacity import Measured

KEPT: Final = 200
"""Sends remembered."""
LEAST: Final = 20
"""Sends before anything is said."""


class Throughput:
    """The last sends of one worker: each with its host and the seconds it took."""

    def __init__(self) -> None:
        self._sends: deque[tuple[str, float]] = deque(maxlen=KEPT)

    def sent(self, host: str, seconds: float) -> None:
        """A mail was sent; its slot was held for so long."""
        self._sends.append((host, max(seconds, 0.001)))

    def measured(self, slots: int) -> Measured | None:
        """What a worker with so many slots could do with mails like the last ones; None before there are enough of them."""
        if len(self._sends) < LEAST:
            return None
        by_host: dict[str, float] = {}
        for host, seconds in self._sends:
            by_host[host] = by_host.get(host, 0.0) + seconds
        total = sum(by_host.values())
        return Measured.of(timedelta(seconds=total / len(self._sends)), slots, max(by_host.values()) / total)
