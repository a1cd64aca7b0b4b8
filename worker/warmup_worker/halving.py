"""Writing many rows in one statement although one of them may never be taken: halve until the bad one stands alone.

Fails: what is neither ``Rejected`` nor a row's own fault comes through; what was written before it stays written.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from warmup_worker.connection import Rejected

T = TypeVar("T")


async def in_halves(
    rows: Sequence[T],
    write: Callable[[Sequence[T]], Awaitable[None]],
    set_aside: Callable[[T, Rejected], None],
) -> None:
    """Write rows together; on ``Rejected`` halve until the one that the database will not take stands alone."""
    try:
        await write(rows)
    except Rejected as error:
        if len(rows) == 1:
            set_aside(rows[0], error)
            return
        middle = len(rows) // 2
        await in_halves(rows[:middle], write, set_aside)
        await in_halves(rows[middle:], write, set_aside)
