"""The judge: how many claims the fullest window of the ledger holds, both of its ends included."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tests.integration.worker.fleet import Fleet


def fullest(instants: Sequence[datetime], seconds: float) -> int:
    """The most instants in any closed window of this length."""
    ordered, window = sorted(instants), timedelta(seconds=seconds)
    most = first = 0
    for last, instant in enumerate(ordered):
        while instant - ordered[first] > window:
            first += 1
        most = max(most, last - first + 1)
    return most


def some(instants: Sequence[datetime], seconds: float, count: float) -> bool:
    """Whether some window of this length holds so many."""
    return fullest(instants, seconds) >= count


async def claimed(fleet: Fleet, where: str = "true", **values: object) -> list[datetime]:
    """When each claim of the ledger was made; ``where`` may speak of ``l`` (mails) and ``m`` (their mailboxes)."""
    rows = await fleet.rows(
        f"SELECT l.claimed_at FROM mails l JOIN mailboxes m ON m.id = l.mailbox_id WHERE {where} ORDER BY 1",
        **values,
    )
    return [row.claimed_at for row in rows]
