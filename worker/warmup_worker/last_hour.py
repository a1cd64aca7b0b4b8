"""How often something happened within the last hour, by this process.

One bucket a minute: the answer covers between 60 and 61 minutes and costs the same however often it happened.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

_MINUTE: Final = 60.0
_MINUTES: Final = 60


class LastHour:
    """A count that forgets. ``clock``: seconds, any zero."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: deque[list[int]] = deque()
        """Minute and count, the oldest first."""

    def add(self) -> None:
        """It happened now."""
        minute = int(self._clock() // _MINUTE)
        if self._buckets and self._buckets[-1][0] == minute:
            self._buckets[-1][1] += 1
        else:
            self._forget(minute)
            self._buckets.append([minute, 1])

    def count(self) -> int:
        """How often, up to now."""
        self._forget(int(self._clock() // _MINUTE))
        return sum(count for _, count in self._buckets)

    def _forget(self, minute: int) -> None:
        while self._buckets and self._buckets[0][0] < minute - _MINUTES:
            self._buckets.popleft()
