"""How many workers a fleet wants, and which term decided it. Pure.

The formula is ``max(ceil(mailboxes / maxMailboxesPerWorker), min)``, at most ``max``; a fixed count overrides it.
Invariants: the answer lies in [min, max] unless fixed; more mailboxes never want fewer workers.
"""

from dataclasses import dataclass
from enum import StrEnum


class SizedBy(StrEnum):
    """The term that binds."""

    MAILBOXES = "Mailboxes"
    MIN = "Min"
    MAX = "Max"
    FIXED = "Fixed"


@dataclass(frozen=True)
class Sizing:
    """``wanted`` workers, the term that decided, and the sentence for status."""

    wanted: int
    by: SizedBy
    reason: str


def size(
    mailboxes: int, *, minimum: int, maximum: int, max_mailboxes_per_worker: int | None, fixed: int | None
) -> Sizing:
    """Workers wanted for this many active mailboxes. ``fixed`` (``workers.replicas``) may be 0: stopped."""
    if fixed is not None:
        return Sizing(fixed, SizedBy.FIXED, f"workers.replicas fixes the count at {fixed}")
    by_mailboxes = -(-mailboxes // max_mailboxes_per_worker) if max_mailboxes_per_worker else 0
    if by_mailboxes > maximum:
        return Sizing(
            maximum,
            SizedBy.MAX,
            f"{mailboxes} mailboxes at {max_mailboxes_per_worker} a worker want {by_mailboxes}, workers.max is {maximum}",
        )
    if by_mailboxes < minimum or not by_mailboxes:
        return Sizing(minimum, SizedBy.MIN, f"{mailboxes} mailboxes need no more than workers.min, {minimum}")
    return Sizing(
        by_mailboxes, SizedBy.MAILBOXES, f"{mailboxes} mailboxes at {max_mailboxes_per_worker} a worker"
    )
