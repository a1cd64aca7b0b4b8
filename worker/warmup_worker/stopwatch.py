"""How long each phase of a dialogue took, told as it ends. Knows neither the phases nor who listens."""

from collections.abc import Callable

Timed = Callable[[str, float], None]


def untimed(phase: str, seconds: float) -> None:
    """Nobody wants to know."""


class Stopwatch:
    """Tells how long each phase of a dialogue took, as it ends. ``clock``: seconds, any zero."""

    __slots__ = ("_clock", "_timed", "phase", "since")

    def __init__(self, phase: str, timed: Timed, clock: Callable[[], float]) -> None:
        self._timed, self._clock = timed, clock
        self.phase, self.since = phase, clock()

    def begin(self, phase: str) -> None:
        """The phase under way ends and ``phase`` begins."""
        now = self._clock()
        self._timed(self.phase, now - self.since)
        self.phase, self.since = phase, now

    def end(self) -> str:
        """The phase under way ends, and none follows; returns which."""
        self._timed(self.phase, self._clock() - self.since)
        return self.phase
