"""What the person at the terminal sees while a demo runs: each step with the seconds since the start, and one live line.

On a terminal the live line stays in place; elsewhere it is printed every few seconds, so that a log stays readable.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_QUIET_SECONDS = 5.0


class Progress:
    """The clock of one run. ``prefix`` begins every line."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._started = time.monotonic()
        self._live_at = 0.0
        self._live = False

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._live:
            print()
            self._live = False
        for line in text.rstrip().splitlines() or [""]:
            print(f"{self.prefix}: {self.seconds:4.0f} s  {line}", flush=True)

    def live(self, text: str) -> None:
        """A line that the next one replaces."""
        if sys.stdout.isatty():
            print(f"\r{self.prefix}: {self.seconds:4.0f} s  {text}\x1b[K", end="", flush=True)
            self._live = True
        elif self.seconds - self._live_at >= _QUIET_SECONDS:
            self._live_at = self.seconds
            self.say(text)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Something that takes a while: said before, and how long it took after."""
        self.say(f"{text} ...")
        began = self.seconds
        yield
        self.say(f"{text}: done in {self.seconds - began:.1f} s")
