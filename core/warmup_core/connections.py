"""How many database connections one worker may hold, so that a fleet keeps to the budget that it declares. Pure.

Invariant: as long as the budget has room for one a worker and for ``APART``, all of them together never pass it.
"""

from typing import Final

MOST: Final = 3
"""More than a worker has any use for: a claim, an outcome or a reading beside it, a heartbeat."""
APART: Final = 4
"""Kept for the operator, a migration, and a person with the command."""


def of_worker(budget: int, workers: int, *, growing: bool = False) -> int:
    """The share of one of ``workers`` in a fleet's ``budget``, at least 1: without any it could do nothing.

    ``growing``: others are about to come, each with its first connection, before anybody sees them: all keep to one.
    """
    return 1 if growing else max(1, min(MOST, (budget - APART) // max(1, workers)))
