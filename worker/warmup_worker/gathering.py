"""When a batch is worth its statement: a moment after the first one came, sooner once many wait. Knows nothing of what waits."""

import asyncio
from contextlib import suppress
from typing import Final

ENOUGH: Final = 128
"""From here on a statement costs by its rows: waiting for more saves nothing."""


class Gathering:
    """One queue's. Who puts something in says how many wait then; who takes some out awaits ``batch`` first, and says how many
    wait still if any do."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._some, self._enough = asyncio.Event(), asyncio.Event()

    def came(self, waiting: int) -> None:
        """So many wait now."""
        self._some.set()
        if waiting >= ENOUGH:
            self._enough.set()

    async def batch(self) -> None:
        """Return when what waits is to be taken. Whoever comes from now on begins another batch."""
        await self._some.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._enough.wait()
        self._some.clear()
        self._enough.clear()
