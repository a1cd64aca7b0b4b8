"""Whose turn it is at the few database connections that a worker may hold.

Heartbeats go first, and while there is more than one connection the others leave one to them: no amount of other work lets a
lease run out. The others go in the order in which they came.
Invariant: no turn begins while ``limit`` of them are under way, whenever the limit fell.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class Turns:
    """At most ``limit`` at a time, which may change at any moment. ``taken``: those under way."""

    def __init__(self, limit: int) -> None:
        self._limit, self.taken = limit, 0
        self._alone = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """The most turns at a time."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._next()

    @asynccontextmanager
    async def turn(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """A turn, once it has come."""
        await self._come(self._urgent if urgent else self._others)
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else begins: for who has the only turn and has something to do to all connections."""
        self._alone = True
        try:
            yield
        finally:
            self._alone = False
            self._next()

    async def _come(self, queue: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come, and nobody is left to take it
                self._end()
            raise

    def _end(self) -> None:
        self.taken -= 1
        self._next()

    def _next(self) -> None:
        for queue, most in ((self._urgent, self._limit), (self._others, max(1, self._limit - 1))):
            while queue and self.taken < most and not self._alone:
                turn = queue.popleft()
                if not turn.done():  # else it was given up
                    self.taken += 1
                    turn.set_result(None)
